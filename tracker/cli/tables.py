"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

SHORTEST_TEXT = 8
"""Characters that a text column keeps in a narrow terminal; what is cut ends in an ellipsis."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on standard output; a column whose name ends in a space is text, the others are figures.

    In a narrow terminal texts are cut, figures never: where even that is too wide, lines wrap. As wide as it
    needs to be where the output is not a terminal.
    """
    body = [tuple(row) for row in rows]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    least_width = 0
    for at, column in enumerate(columns):
        text = column.endswith(" ")
        natural = max(cell_len(cell) for cell in (column.strip(), *(row[at] for row in body)))
        least = min(natural, SHORTEST_TEXT) if text else natural
        least_width += least + 2
        table.add_column(column.strip(), justify="left" if text else "right", no_wrap=True, min_width=least)
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=Console(width=10_000).measure(table).maximum)
    elif console.width < least_width:
        console = Console(highlight=False, width=least_width, soft_wrap=True)
    console.print(table)
