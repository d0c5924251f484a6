"""The files of an export: study.json, and the tables beside it as it describes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tracker.errors import RequestError, did_you_mean
from tracker.export.cells import harmless, original_table
from tracker.export.study_file import FORMAT, FORMAT_VERSION, NAME
from tracker.records import EnergySource, Role, TrialState

_CHOICES: Mapping[str, type[StrEnum]] = {"role": Role, "state": TrialState, "energy_source": EnergySource}


def read_document(folder: Path) -> dict[str, Any]:
    """study.json of an export at billed prices. Raises RequestError."""
    path = folder / NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(
            f"there is no export in '{folder}': {NAME}: {error.strerror}; "
            "`tracker report NAME --format csv` or `parquet` writes one"
        ) from None
    except ValueError as error:
        raise RequestError(f"'{path}' cannot be read: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RequestError(f"'{path}' is not of an export: its format is not '{FORMAT}'")
    format_version = document.get("format_version")
    if not isinstance(format_version, int) or format_version > FORMAT_VERSION:
        raise RequestError(
            f"'{path}' has format_version {format_version}, and this tracker reads up to {FORMAT_VERSION}: upgrade it"
        )
    if document.get("scenario") is not None:
        raise RequestError(
            f"'{folder}' holds what the study would have cost under a scenario, not what was billed: "
            "export it without one; an imported study is priced under any scenario again"
        )
    return document


def read_table(folder: Path, name: str, described: Mapping[str, Any], needed: Sequence[str]) -> pa.Table:
    """A table as study.json describes it. Raises RequestError where the file is not like that."""
    types = {each: pa.type_for_alias(column["type"]) for each, column in described["columns"].items()}
    paths = [folder / f"{name}.{ending}" for ending in ("parquet", "csv")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise RequestError(f"half an export: '{folder}' has neither {name}.parquet nor {name}.csv")
    try:
        table = _parquet(path) if path.suffix == ".parquet" else _csv(path, types)
        missing = [each for each in (*types, *needed) if each not in table.column_names]
        if missing:
            raise RequestError(f"'{path}' lacks column '{missing[0]}'{_more(missing)}, which {NAME} tells of")
        table = table.select(list(types)).cast(pa.schema(list(types.items())))
    except (pa.ArrowException, OSError) as error:
        raise RequestError(f"'{path}' cannot be read: {(str(error).splitlines() or ['?'])[0][:300]}") from None
    if len(table) != described["rows"]:
        raise RequestError(f"'{path}' has {len(table):,} rows, and {NAME} says {described['rows']:,}: half an export?")
    for each in needed:
        kind = table.schema.field(each).type
        if (pa.types.is_integer(kind) or pa.types.is_boolean(kind)) and each != "price_point":
            _refuse_gaps(path, each, table.column(each))
    for each, choices in _CHOICES.items():
        if each in needed:
            _refuse_others(path, each, table.column(each), [str(choice) for choice in choices])
    return table


def _parquet(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return pyarrow.parquet.read_table(file)


def _csv(path: Path, types: Mapping[str, pa.DataType]) -> pa.Table:
    convert = pyarrow.csv.ConvertOptions(
        column_types={harmless(name): kind for name, kind in types.items()},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return original_table(pyarrow.csv.read_csv(path, parse_options=parse, convert_options=convert))


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _refuse_gaps(path: Path, name: str, column: pa.ChunkedArray) -> None:
    if column.null_count:
        raise RequestError(f"'{path}': column '{name}' has no value in {column.null_count} of {len(column)} rows")


def _refuse_others(path: Path, name: str, column: pa.ChunkedArray, allowed: Sequence[str]) -> None:
    for value in column.unique().to_pylist():
        if value not in allowed:
            raise RequestError(f"'{path}': {name} '{value}' is none; {did_you_mean(str(value), allowed)}")
