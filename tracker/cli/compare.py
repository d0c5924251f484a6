"""tracker compare: studies at equal dollars and at equal quality."""

from __future__ import annotations

from pathlib import Path

import click
import pandas as pd

from tracker.cli.options import STUDY_NAME, home_option, json_option, print_json, scenario_options
from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import RequestError
from tracker.export.comparison import COMPARISON_FORMATS, DEFAULT, write_comparison
from tracker.export.formats import parse_formats
from tracker.pricing.scenario import Scenario
from tracker.report.comparison_words import (
    SIDE,
    corner_sentence,
    equal_dollars_words,
    same_quality_words,
    spent_sentences,
)
from tracker.report.sides import read_sides
from tracker.report.study_comparison import StudyComparison, compare_sides
from tracker.store.home import Home

LONGEST_TEXT = 60
"""Characters of a setting that a table in a terminal shows; the files have all."""


def _amounts(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Numbers with commas between them."""
    del ctx
    if value is None:
        return ()
    try:
        return tuple(float(each) for each in value.split(","))
    except ValueError:
        raise RequestError(f"{parameter.opts[0]} {value!r}: allowed are numbers with commas between them") from None


def _reference(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    numbers = _amounts(ctx, parameter, value)
    if not numbers:
        return None
    if len(numbers) != 2:
        raise RequestError(f"--reference {value!r}: allowed is a quality, a comma and a price in dollars")
    return numbers[0], numbers[1]


def _formats(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    del ctx, parameter
    return None if value is None else parse_formats(value, COMPARISON_FORMATS)


@click.command(short_help="Studies at equal dollars and at equal quality, with intervals.")
@click.argument("names", type=STUDY_NAME, nargs=-1, required=True, metavar="A B [C …]")
@click.option(
    "--at-usd", callback=_amounts, metavar="USD,…",
    help="Compare when so much was spent on trials.  [default: 10, 25, 50 and 100 % of the smallest spend]",
)  # fmt: skip
@click.option(
    "--reference", callback=_reference, metavar="QUALITY,USD",
    help="Measure hypervolume from here.  [default: the worst quality, and the largest budget or price of a trial]",
)  # fmt: skip
@scenario_options
@click.option("--out", type=click.Path(path_type=Path), help="Also write the comparison as files into this folder.")
@click.option(
    "--format", "formats", callback=_formats, metavar="NAMES",
    help=f"What to write there: any of {', '.join(COMPARISON_FORMATS)}, with commas.  [default: {','.join(DEFAULT)}]",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@json_option
@home_option
def compare(
    names: tuple[str, ...],
    at_usd: tuple[float, ...],
    reference: tuple[float, float] | None,
    scenario: Scenario,
    currency: str,
    out: Path | None,
    formats: tuple[str, ...] | None,
    force: bool,
    as_json: bool,
    home: Home,
) -> None:
    """Compare two to eight studies of one quality. A,B,C is a group: studies that are the same but for the seed."""
    if formats is not None and out is None:
        raise RequestError("--format is for files; say by --out where")
    comparison = compare_sides(read_sides(home, names, scenario, currency), at_usd, reference)
    written = write_comparison(comparison, out, formats or DEFAULT, force=force) if out is not None else []
    if as_json:
        print_json(comparison.document())
    else:
        _print(comparison)
    for path in written:
        say(path, err=as_json)
    for remark in comparison.remarks:
        say(remark, err=True)


def _print(comparison: StudyComparison) -> None:
    for sentence in (*comparison.verdicts, *spent_sentences(comparison)):
        say(sentence)
    for title, table in (("What changed", comparison.changes), ("Settings tried", comparison.tried)):
        say(f"\n{title}" if len(table) else f"\n{title}: nothing")
        if len(table):
            print_table(
                ["what ", *(f"{name} " for name in comparison.names)],
                [(str(what), *map(_cut, row)) for what, row in zip(table.index, table.to_numpy(), strict=True)],
            )
    _print_words(f"Hypervolume at equal dollars, {corner_sentence(comparison)}", equal_dollars_words(comparison))
    _print_words("What the same quality cost", same_quality_words(comparison))
    say()
    for sentence in comparison.method:
        say(f"- {sentence}")


def _print_words(title: str, table: pd.DataFrame) -> None:
    say(f"\n{title}")
    columns = [f"{name} " if name == SIDE else _cut(str(name)) for name in table]
    print_table(columns, table.itertuples(index=False, name=None))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
