"""Who spent what on what over all studies, as files: a page, csv, a workbook and FOCUS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from tracker.errors import RequestError, did_you_mean
from tracker.export.arrow_tables import arrow_table
from tracker.export.focus import LATEST, focus_table
from tracker.export.formats import as_text, write_files
from tracker.export.tables import write_csv, write_csv_as_it_is
from tracker.export.templates import page
from tracker.pricing.currency import USD
from tracker.report import words
from tracker.report.spend_across import Spend
from tracker.store.home import Home, folder_name


@dataclass(frozen=True, slots=True)
class SpendFile:
    """A file of a format: its name, and what writes it."""

    name: str
    write: Callable[[Spend, IO[bytes]], None]


def spend_page(spend: Spend) -> str:
    """The page itself, as text."""
    money = partial(words.money_part, unit=spend.unit)
    groups = spend.table.to_dict("records")
    column = next(iter(spend.bases.values()))
    largest = max(row[column] for row in groups)
    first, last = spend.period
    return page(
        "spend.html.jinja",
        spend=spend,
        groups=groups,
        money=money,
        hours=words.hours,
        one_basis=len(spend.bases) == 1,
        share=lambda row: row[column] / largest if largest else 0.0,
        first=first.date(),
        last=last.date(),
        studies=_studies(spend),
        tags=words.tags,
    )


def _studies(spend: Spend) -> list[dict[str, Any]]:
    """What each study cost, as ``tracker runs`` says it where the spend is not cut at a day."""
    return [
        {
            "name": table.study,
            "user": table.user,
            "tags": table.tags,
            "runs": charges["run_id"].nunique(),
            "usd": {basis: float(charges["usd"][charges["basis"] == basis].sum()) for basis in spend.bases},
        }
        for table, charges in spend.studies
    ]


def _write_page(spend: Spend, file: IO[bytes]) -> None:
    file.write(as_text(spend_page(spend)))


def _write_groups(spend: Spend, file: IO[bytes]) -> None:
    write_csv(arrow_table(spend.table), file)


def _write_charges(spend: Spend, file: IO[bytes]) -> None:
    write_csv(_charges(spend), file)


def _write_workbook(spend: Spend, file: IO[bytes]) -> None:
    from tracker.export.spend_workbook import write_spend_workbook  # XlsxWriter, which the other formats do not need

    write_spend_workbook(spend, arrow_table(spend.table), _charges(spend), file)


def _charges(spend: Spend) -> pa.Table:
    return arrow_table(spend.charges.drop(columns="run"))


def _write_focus(spend: Spend, file: IO[bytes], version: str) -> None:
    rows = [focus_table(table, charges.reset_index(drop=True), version) for table, charges in spend.studies]
    write_csv_as_it_is(pa.concat_tables(rows), file)


SPEND_FORMATS: Mapping[str, tuple[SpendFile, ...]] = {
    "html": (SpendFile("spend.html", _write_page),),
    "csv": (SpendFile("spend.csv", _write_groups), SpendFile("charges.csv", _write_charges)),
    "xlsx": (SpendFile("spend.xlsx", _write_workbook),),
    "focus": (SpendFile("focus.csv", partial(_write_focus, version=LATEST)),),
    "focus-1.4": (SpendFile("focus-1.4.csv", partial(_write_focus, version="1.4")),),
    "focus-1.2": (SpendFile("focus-1.2.csv", partial(_write_focus, version="1.2")),),
}
"""The formats of spend over all studies, and the files of each."""


def spend_folder(home: Home, spend: Spend) -> Path:
    """Where it goes: _all in the home's reports, and for other prices than the billed ones a folder below it."""
    folder = home.reports / "_all"  # no study's folder begins with this sign alone
    if spend.scenario is not None:
        folder /= folder_name(spend.scenario.label)
    return folder if spend.currency.code == USD.code else folder / spend.currency.code


def write_spend(spend: Spend, out: Path, formats: Iterable[str], *, force: bool = False) -> list[Path]:
    """Write it into the folder ``out``, all files or none; their paths.

    Raises RequestError for a format that it has not, and for a file that is there already unless ``force``; OSError
    where ``out`` cannot be written.
    """
    names = list(dict.fromkeys(formats))
    for name in names:
        if name not in SPEND_FORMATS:
            raise RequestError(f"--all has no format '{name}'; {did_you_mean(name, SPEND_FORMATS)}")
    files = [file for name in names for file in SPEND_FORMATS[name]]
    return write_files(((file.name, partial(file.write, spend)) for file in files), out, force=force)
