"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output; a column whose name ends in a space is text, the others are figures.

    Cut to the terminal's width; as wide as it needs to be where the output is not a terminal.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.strip(), justify="left" if column.endswith(" ") else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    natural_width = Console(width=10_000).measure(table).maximum
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=natural_width)
    console.print(table)
