"""What the machines of a cluster cost while a study had them: what its attempts took, and what nobody did."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from tracker.engine.cluster.node_times import read_node_times
from tracker.errors import StoreError
from tracker.pricing.cost import SECONDS_PER_HOUR
from tracker.records import TrialState
from tracker.report.attempts import PLACE, places_in
from tracker.runner.account import BESIDE, SHORT_ID
from tracker.store.home import Home
from tracker.store.run_table import StudyTable

LINES = {
    "provisioning_usd": "until a machine could start its first attempt",
    "trained_usd": "attempts, but for what was lost",
    "lost_usd": "work that vanished with its machine, and attempts that had been given up",
    "copying_usd": "files on their way, with cores reserved",
    "idle_usd": "nothing of this study: also what other studies ran there",
}
"""The lines that the cost of a machine divides into, with their meanings; they add up to it."""
SUMMED = ("hours", *LINES, "usd")
_OF_NODE = ("node_id", "address", "cores", "accelerators", "accelerator_model")
_OF_RATE = ("sku", "market", "region", "usd_per_hour")


def machines_table(table: StudyTable) -> pd.DataFrame:
    """One row a machine, the dearest first; none where the study ran on one machine or its folder is not here.

    Columns: node_id, address, cores, accelerators, accelerator_model, running (attempts there now), sku, market,
    region, usd_per_hour (the rate at which it is billed, whatever the scenario), hours (for which the study had it),
    LINES, and usd, which they add up to. Of a machine without a rate these are NaN, and sku, market and region "".
    """
    running = _running(table)
    try:
        times = [] if table.home is None else read_node_times(Home(table.home).study(table.study))
    except StoreError:
        times = []
    rows = [
        {
            **{name: getattr(time.node, name) for name in _OF_NODE},
            "running": running[time.node.node_id[:SHORT_ID]],
            **{name: getattr(time.point, name) if time.point else "" for name in _OF_RATE[:3]},
            "usd_per_hour": time.point.usd_per_hour if time.point else float("nan"),
            "hours": time.total_seconds / SECONDS_PER_HOUR,
            **{f"{name}_usd": usd for name, usd in (time.lines_usd or {}).items()},
        }
        for time in times
    ]
    found = pd.DataFrame(rows, columns=[*_OF_NODE, "running", *_OF_RATE, "hours", *LINES])
    found["usd"] = found[list(LINES)].sum(axis=1, skipna=False)
    return found.sort_values("usd", ascending=False, ignore_index=True, kind="stable")


def machines_by_sku(machines: pd.DataFrame) -> pd.DataFrame:
    """``machines_table`` summed by what machines are billed as.

    Columns: sku, market, region, usd_per_hour, machines, running, and SUMMED.
    """
    groups = machines.groupby(list(_OF_RATE), dropna=False, sort=False)
    sums = groups[["running", *SUMMED]].sum(min_count=1)
    return pd.concat([groups.size().rename("machines"), sums], axis=1).reset_index()


def _running(table: StudyTable) -> Counter[str]:
    """How many attempts run on each machine, by a part of its id."""
    runs = table.runs[(table.runs["state"] == TrialState.RUNNING).to_numpy()]
    places = [places_in(text) for text in runs["places"] if text] if "places" in runs else []
    return Counter(node for each in places if each for node in each[-1][PLACE.index("node")].split(BESIDE))
