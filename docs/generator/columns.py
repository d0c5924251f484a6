"""The columns of a study's tables, and the metrics that the tracker itself logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from docs.generator.markdown import code, plain, table
from tracker.export.columns import column
from tracker.records import BOOKED_METRICS
from tracker.report.levers import COLUMNS as LEVER_COLUMNS
from tracker.report.repeats import CERTAINTY_COLUMNS
from tracker.report.tables import POINT_COLUMNS
from tracker.store.attempts import COUNTED
from tracker.store.run_table import CHECKPOINT_COLUMNS, RUN_COLUMNS

TABLES: Mapping[str, tuple[str, Sequence[str]]] = {
    "runs": ("One row a run.", [*RUN_COLUMNS, "price_point", "settings.KNOB", "summary.METRIC"]),
    "checkpoints": (
        "One row a checkpoint.",
        [*(name for name in CHECKPOINT_COLUMNS if name != "run"), "metrics.METRIC"],
    ),
    "frontier": (
        "One row a point of the frontier, by rising price. The columns from `repeats` on are there once "
        "`tracker confirm` has trained points again.",
        [
            *(name for name in POINT_COLUMNS if name != "settings"),
            *("run", "run_id", "usd_per_point", "test_accuracy", "settings.KNOB"),
            *CERTAINTY_COLUMNS,
        ],
    ),
    "levers": ("One row for each value of a setting that pairs of trials tell of.", LEVER_COLUMNS),
    "attempts": (
        "One row an attempt; the attempts of a run add up to it.",
        [
            *("run", "run_id", "label", "role", "trial", "attempt", "state", "started_at", "ended_at"),
            *("price_usd", *COUNTED, "sku", "market", "region", "node"),
        ],
    ),
}
"""What each table has in it. Capitals stand for a study's own names."""


def columns() -> str:
    """A section a table."""
    return "\n".join(f"## {name}\n\n{about}\n\n{_columns(names)}" for name, (about, names) in TABLES.items())


def _columns(names: Sequence[str]) -> str:
    known = [(name, column(name)) for name in names]
    return table(["column", "unit", "meaning"], ([code(name), each.unit, plain(each.meaning)] for name, each in known))


def metrics() -> str:
    """Those that training code need not report: the tracker measures and prices them."""
    return _columns(BOOKED_METRICS)
