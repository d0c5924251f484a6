"""What the columns of exported tables are, with their units; the same names in every format.

``settings.*``, ``summary.*`` and ``metrics.*`` are a study's own: their unit is that which the name ends in.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracker.records import BOOKED_METRICS

_UNITS = {
    "usd_per_hour": "USD/h",
    "usd_per_point": "USD",
    "usd_ratio": "1",
    "usd": "USD",
    "seconds": "s",
    "bytes": "B",
    "joules": "J",
    "kwh": "kWh",
    "grams": "g",
}
"""The unit of a column by the end of its name."""
UNIX_SECONDS = "seconds since 1970-01-01 UTC"
_MEANINGS = {
    "run_id": "MLflow's id of the run",
    "role": "trial, baseline, preparation or repeat",
    "trial": "the trial's number; of a repeat, that of the trial which it repeats; -1 for other roles",
    "label": "what the run is called",
    "state": "running, paused, completed, stopped, failed or killed",
    "reason": "why it is in that state, in a word",
    "message": "why it is in that state, in a sentence",
    "attempts": "how many times it was started",
    "quality": "the study's measure of quality; of a run, that of its last checkpoint",
    "price_usd": "all attempts together; at a checkpoint, up to there",
    "wall_seconds": "all attempts together; at a checkpoint, up to there",
    "sku": "the machine that it is billed as",
    "market": "how the machine is bought: on_demand, spot, reserved or on_prem",
    "usd_per_hour": "the rate of the whole machine",
    "price_source": "where the rate is from",
    "price_date": "the day from which the rate holds",
    "hardware": "the machine that it ran on",
    "energy_source": "measured, estimated or unavailable",
    "busy": "measured while other work kept the machine busy",
    "started_at": "when it was started",
    "user": "who ran it; none where that is not known",
    "region": "the region of the rate",
    "price_basis": "billed: metered as it ran; estimated: from timestamps; repriced, repriced estimate: at other rates",
    "data_usd": "acquiring, cleaning and labelling the data, once",
    "compute_usd": "device time at the share of the machine; the electricity of own hardware",
    "storage_usd": "data, checkpoints and models on disk",
    "maintenance_usd": "upkeep and upgrades",
    "billed_seconds": "the time that compute was billed for",
    "machine_share": "the share of the machine that was billed, from 0 to 1",
    "cores": "CPU cores that were reserved",
    "accelerators": "accelerators that were reserved",
    "peak_memory_bytes": "the most memory that was in use",
    "startup_seconds": "before the training began",
    "cpu_seconds": "CPU time, summed over cores",
    "train_seconds": "of the wall time, training",
    "evaluation_seconds": "of the wall time, evaluating",
    "data_seconds": "of the wall time, waiting for training data, where the training keeps it apart",
    "saving_seconds": "of the wall time, writing states and files",
    "waiting_seconds": "how long threads were ready to run but had no core, summed over threads",
    "peak_accelerator_memory_bytes": "the most memory of an accelerator that was in use",
    "acquired_samples": "samples that were brought in",
    "acquired_bytes": "data that were brought in",
    "stored_bytes": "on disk while it ran",
    "kept_bytes": "of it, what the run made and left there",
    "energy_joules": "electricity",
    "energy_kwh": "electricity",
    "co2_grams": "CO2-equivalent of the electricity",
    "price_point": "the machine and its rate: the place in price_points of study.json",
    "attempt": "which attempt at the run it is, from 1",
    "ended_at": "when it ended",
    "node": "the machine of a cluster that it ran on, or machines with + between; empty for the coordinator's own",
    "epoch": "how far training had come: its step, from 1",
    "timestamp": "when it was reached",
    "run": "the row of the run in the table of runs, from 0",
    "usd_per_point": "what one more point (0.01) of quality costs on the way from the row before",
    "test_accuracy": "on the test split; of a run's last checkpoint alone",
    "repeats": "how many repeats reached that epoch",
    "quality_mean": "over the repeats",
    "quality_low": "lower bound of the 95 % interval",
    "quality_high": "upper bound of the 95 % interval",
    "price_mean_usd": "geometric mean over the repeats",
    "probability_on_frontier": "how probable it is to be on the frontier, from 0 to 1",
    "tied_with": "the next cheaper point whose quality cannot be distinguished",
    "lever": "the setting",
    "without": "its plain value",
    "with": "the value that it is compared with",
    "pairs": "pairs of trials that differ in it alone",
    "usd_without": "mean price of a trial without",
    "usd_difference": "mean of the price with less without",
    "usd_low": "lower bound of the 95 % interval",
    "usd_high": "upper bound of the 95 % interval",
    "usd_ratio": "geometric mean of the price with over without",
    "quality_without": "mean quality of a trial without",
    "quality_difference": "mean of the quality with less without",
}
_OWN = {
    "settings": "the value of this setting; none where the run has none of it",
    "summary": "the last value of this metric",
    "metrics": "the value of this metric at the checkpoint",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What a column is, and its unit; "" for none."""

    meaning: str
    unit: str


def column(name: str) -> Column:
    """What the column of this name is.

    >>> column("compute_usd").unit, column("metrics.train_seconds").unit, column("settings.batch_size").unit
    ('USD', 's', '')
    """
    kind, dot, own = name.partition(".")
    if dot and kind in _OWN:
        booked = own in BOOKED_METRICS
        return Column(_MEANINGS.get(own, _OWN[kind]) if booked else _OWN[kind], _unit(own) if booked else "")
    if name in ("started_at", "ended_at", "timestamp"):
        return Column(_MEANINGS[name], UNIX_SECONDS)
    return Column(_MEANINGS.get(name, ""), _unit(name))


def _unit(name: str) -> str:
    if name.startswith("usd_") and name not in _UNITS:
        return "USD"
    return next((unit for end, unit in _UNITS.items() if name == end or name.endswith(f"_{end}")), "")
