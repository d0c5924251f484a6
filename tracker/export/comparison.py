"""A comparison of studies as files: a page, tables, one JSON document, pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import pandas as pd

from tracker.export.formats import as_text, parse_formats, write_files
from tracker.export.templates import page
from tracker.report.comparison_words import (
    SIDE,
    corner_sentence,
    equal_dollars_words,
    same_quality_words,
    spent_sentences,
)
from tracker.report.same_quality import few_qualities
from tracker.report.study_comparison import StudyComparison

Write = Callable[[StudyComparison, IO[bytes]], None]


def _page(comparison: StudyComparison, file: IO[bytes]) -> None:
    # plotly takes a third of a second to import, which a JSON document must not wait for.
    from tracker.export.embedding import embedded, library
    from tracker.report.study_comparison_charts import equal_dollars_figure, overlaid_frontiers_figure

    names = ", ".join(comparison.names)
    text = page(
        "comparison.html.jinja",
        comparison=comparison,
        spent=spent_sentences(comparison),
        corner=corner_sentence(comparison),
        equal_dollars=equal_dollars_words(comparison),
        same_quality=same_quality_words(comparison),
        text=SIDE,
        has_more=len(few_qualities(comparison.same_quality)) < len(comparison.same_quality),
        hypervolume=embedded(
            equal_dollars_figure(comparison),
            "hypervolume",
            f"Chart: hypervolume against dollars of {names}; the table below has the figures",
        ),
        frontiers=embedded(overlaid_frontiers_figure(comparison), "frontiers", f"Chart: the frontiers of {names}"),
        library=library(),
    )
    file.write(as_text(text))


def _json(comparison: StudyComparison, file: IO[bytes]) -> None:
    file.write(as_text(json.dumps(comparison.document(), indent=2, allow_nan=False, ensure_ascii=False)))


def _csv(columns: Callable[[StudyComparison], pd.DataFrame]) -> Write:
    def write(comparison: StudyComparison, file: IO[bytes]) -> None:
        from tracker.export.arrow_tables import arrow_table  # Arrow, which the page and the JSON document do without
        from tracker.export.tables import write_csv

        write_csv(arrow_table(columns(comparison)), file)

    return write


def _pictures(kind: str) -> dict[str, Write]:
    """Both charts as images."""

    def written(chart: str) -> Write:
        def write(comparison: StudyComparison, file: IO[bytes]) -> None:
            from tracker.export.drawing import draw
            from tracker.report import study_comparison_charts

            file.write(draw(getattr(study_comparison_charts, chart)(comparison), kind))

        return write

    return {
        f"comparison-hypervolume.{kind}": written("equal_dollars_figure"),
        f"comparison-frontiers.{kind}": written("overlaid_frontiers_figure"),
    }


COMPARISON_FORMATS: Mapping[str, Mapping[str, Write]] = {
    "html": {"comparison.html": _page},
    "csv": {
        "comparison.csv": _csv(lambda comparison: comparison.equal_dollars),
        "comparison-same-quality.csv": _csv(lambda comparison: comparison.same_quality),
        "comparison-frontiers.csv": _csv(lambda comparison: comparison.frontiers),
    },
    "json": {"comparison.json": _json},
    "png": _pictures("png"),
    "svg": _pictures("svg"),
}
"""The files of each format, by its name; amounts in them are in USD, but for the page."""
DEFAULT = ("html", "csv", "json")


def write_comparison(
    comparison: StudyComparison, out: Path, formats: Iterable[str] = DEFAULT, *, force: bool = False
) -> list[Path]:
    """Write a comparison into the folder ``out``, as formats.write_report writes a report; the files' paths."""
    chosen = parse_formats(",".join(formats), COMPARISON_FORMATS)
    files = {name: write for each in chosen for name, write in COMPARISON_FORMATS[each].items()}
    return write_files(((name, _writer(write, comparison)) for name, write in files.items()), out, force=force)


def _writer(write: Write, comparison: StudyComparison) -> Callable[[IO[bytes]], Any]:
    return lambda file: write(comparison, file)
