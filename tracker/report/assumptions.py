"""What prices rest on: the assumptions about costs, and the rates that runs are priced at."""

from __future__ import annotations

import pandas as pd

from tracker.store.run_table import StudyTable
from tracker.study.costs import ASSUMPTIONS

RATE_COLUMNS = ("sku", "region", "market", "usd_per_hour", "price_source", "price_date")


def assumptions_table(table: StudyTable) -> pd.DataFrame:
    """Every assumption, one row each. Columns: name, value, default, help, source, and changed.

    ``source`` is that of the default; ``changed`` says that the study or the scenario set another value.
    """
    rows = [
        {
            "name": name,
            "value": getattr(table.terms, name),
            "default": assumption.knob.default,
            "help": assumption.knob.help,
            "source": assumption.source,
            "changed": name in table.terms.changed,
        }
        for name, assumption in ASSUMPTIONS.items()
    ]
    return pd.DataFrame(rows).astype({"value": object, "default": object})


def rates_table(table: StudyTable) -> pd.DataFrame:
    """The rates that runs are priced at, each once. Columns: RATE_COLUMNS, runs, spend_usd."""
    rates = table.runs.groupby(list(RATE_COLUMNS), dropna=False, sort=True)["price_usd"]
    return rates.agg(runs="size", spend_usd="sum").reset_index()
