"""A report's tables as csv and as parquet files: full precision, the same columns in both, and study.json beside them.

``tracker import export`` reads them back.
"""

from __future__ import annotations

from typing import IO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tracker.export.arrow_tables import TABLES
from tracker.export.cells import harmless_table
from tracker.export.formats import ReportFile
from tracker.export.study_file import STUDY_FILE
from tracker.store.run_table import StudyTable

_ROWS_AT_ONCE = 65_536


def write_csv(table: pa.Table, file: IO[bytes]) -> None:
    """A table as csv: UTF-8, a line of column names, nothing for no value and "" for an empty text.

    What a spreadsheet would take for a formula is made harmless (cells.harmless).
    """
    write_csv_as_it_is(harmless_table(table), file)


def write_csv_as_it_is(table: pa.Table, file: IO[bytes]) -> None:
    """The same, of a table whose texts are harmless already."""
    plain = pa.schema([pa.field(field.name, _decoded(field.type)) for field in table.schema])
    with pyarrow.csv.CSVWriter(file, plain) as writer:
        for at in range(0, len(table), _ROWS_AT_ONCE):  # texts that are coded need their space for a while only
            writer.write_table(table.slice(at, _ROWS_AT_ONCE).cast(plain))


def write_parquet(table: pa.Table, file: IO[bytes]) -> None:
    """A table as parquet, with units and descriptions in the metadata of its fields."""
    pyarrow.parquet.write_table(table, file, compression="zstd", compression_level=1)


def _decoded(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _csv_file(name: str) -> ReportFile:
    help_, make = TABLES[name]

    def write(table: StudyTable, file: IO[bytes]) -> None:
        write_csv(make(table), file)

    return ReportFile(f"{name}.csv", help_, write)


def _parquet_file(name: str) -> ReportFile:
    help_, make = TABLES[name]

    def write(table: StudyTable, file: IO[bytes]) -> None:
        write_parquet(make(table), file)

    return ReportFile(f"{name}.parquet", help_, write)


CSV_FILES = (*map(_csv_file, TABLES), STUDY_FILE)
PARQUET_FILES = (*map(_parquet_file, TABLES), STUDY_FILE)
