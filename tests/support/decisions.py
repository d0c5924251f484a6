"""Decisions of a search, as a study's folder keeps them."""

from __future__ import annotations

from tracker.runner.decisions import FILE_NAME, Decisions
from tracker.store.home import Home


def forecast(expected, likely=(0.0, 1.0), at_epoch=2.0, metric="accuracy", rate=None, price_usd=1.0):
    """The numbers of a step; ``rate`` is its expected gain per dollar and that of the next best step."""
    numbers = {
        f"expected_{metric}": expected,
        "likely_from": likely[0],
        "likely_to": likely[1],
        "at_epoch": at_epoch,
        "price_then_usd": price_usd,
        "hypervolume": 0.5,
    }
    if rate is not None:
        numbers |= {"next_best": None, "expected_gain_per_usd": rate, "next_best_gain_per_usd": rate}
    return numbers


def write_decisions(home, study, steps):
    """Write (time, trial, action, numbers) as the study's decisions."""
    path = Home(home).study(study) / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = Decisions(path)
    for _, trial, action, numbers in steps:
        kept.write(trial, action, "highest acquisition", numbers)
    lines = path.read_text(encoding="utf-8").splitlines()
    timed = [
        line.replace(line.split(", ")[0], f'{{"time": {time!r}') for line, (time, *_) in zip(lines, steps, strict=True)
    ]
    path.write_text("\n".join(timed) + "\n", encoding="utf-8")
    return path
