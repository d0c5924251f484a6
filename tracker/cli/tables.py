"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.report.words import visible

GAP = 2
SHORTEST_TEXT = 8
"""The least characters of a text column in a narrow terminal; cut text ends in an ellipsis."""


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output. A column whose name ends in a space is text, one without a name is a drawing,
    others are figures.

    In a narrow terminal only texts are cut; if that is not enough, lines wrap. Outside a terminal, nothing is cut.
    """
    body = [tuple(visible(" ".join(cell.split("\n"))) for cell in row) for row in rows]
    columns = [visible(column) for column in columns]
    natural = [
        max(cell_len(cell) for cell in (column.strip(), *(row[at] for row in body)))
        for at, column in enumerate(columns)
    ]
    console = Console(highlight=False)
    room = console.width if console.is_terminal else sum(natural) + GAP * len(columns)
    widths = _cut([column.endswith(" ") for column in columns], natural, room - GAP * len(columns))
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.strip() == column != "" else "left"
        table.add_column(Text(column.strip()), justify=justify, no_wrap=True, width=width)
    for row in body:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=sum(widths) + GAP * len(columns), soft_wrap=True).print(table)


def _cut(texts: Sequence[bool], natural: Sequence[int], room: int) -> list[int]:
    """The widths of columns that share ``room``: the widest texts are cut first."""
    widths = list(natural)
    while sum(widths) > room:
        cuttable = [at for at, text in enumerate(texts) if text and widths[at] > SHORTEST_TEXT]
        if not cuttable:
            break
        widths[max(cuttable, key=lambda at: widths[at])] -= 1
    return widths
