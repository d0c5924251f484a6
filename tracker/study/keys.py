"""Every key that a study file may have: what it takes, what holds without it, and what it means.

The checker takes the names from here, so a key that is not described is not accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracker.records import Market
from tracker.study.costs import ASSUMPTIONS


@dataclass(frozen=True, slots=True)
class StudyKey:
    """What a key takes, in words; its default as TOML or in words, "" where there is none; its meaning."""

    takes: str
    default: str
    help: str


_MARKETS = ", ".join(f'"{market}"' for market in Market)
_NUMBER = "a number above 0"

TOP_KEYS: Mapping[str, StudyKey] = {
    "name": StudyKey("a text of at most 80 bytes", "", "the study's name; required"),
    "workload": StudyKey(
        '"package.module:name" or "file.py:name"', "", "the training code; a study has this or `command`"
    ),
    "command": StudyKey(
        "a shell command", "", "a command that trains; names in braces are knobs, `{python}` is the tracker's Python"
    ),
    "folder": StudyKey("a path", "the study file's folder", "where `command` runs"),
    "seed": StudyKey("a whole number from 0 to 2147483647", "0", "seeds the search and the trials' own seeds"),
    "strategy": StudyKey(
        '"frontier", "optuna" or "grid"',
        '"frontier"',
        "how the budget is spent: checkpoint by checkpoint where the frontier grows most for a dollar, on full "
        "trainings that Optuna suggests, or on a full training of every combination",
    ),
}
TABLE_KEYS: Mapping[str, Mapping[str, StudyKey]] = {
    "quality": {
        "metric": StudyKey("the name of a metric", "", "what quality is measured by; required"),
        "direction": StudyKey('"maximize" or "minimize"', "what the workload says", "which way the metric gets better"),
        "last_step": StudyKey(
            "a whole number of at least 1, or a knob's name",
            "what completed trials show",
            "the step that trainings end at, or the knob that says it",
        ),
    },
    "report": {
        "METRIC": StudyKey(
            "a regular expression with one group; with `tensorboard` a tag, with `csv` a column",
            "",
            "where `command` says a metric: what it prints, line by line, or what it logs; without it, tags and "
            "columns are metrics under their own names",
        ),
        "step": StudyKey(
            "as METRIC",
            "each value of the quality is a step; with `csv`, the column `step` or `epoch`",
            "the step that the values on the same line and after it belong to",
        ),
        "tensorboard": StudyKey(
            "a path, from where the command runs", "", "the folder that the command writes TensorBoard's event files to"
        ),
        "csv": StudyKey(
            "a path, from where the command runs", "", "the csv log that the command writes, or a folder with such logs"
        ),
    },
    "limits": {
        "METRIC": StudyKey(
            "{ min = …, max = … }, or one of the two",
            "",
            "a bound that a checkpoint must keep to be on the frontier; any metric that training reports, or "
            "`peak_memory_bytes`",
        ),
    },
    "budget": {
        "usd": StudyKey(_NUMBER, "", "dollars that the study may spend, all attempts of all runs counted"),
        "trials": StudyKey("a whole number of at least 1", "", "trials that may be started"),
        "wall_seconds": StudyKey(_NUMBER, "", "seconds that workers may be at work, pauses between runs not counted"),
        "trial_seconds": StudyKey(_NUMBER, "", "seconds that one attempt may take; one that hangs is ended then"),
    },
    "pricing": {
        "market": StudyKey(_MARKETS, '"on_demand"', "how the machine is bought"),
        "region": StudyKey("a region's name", "any", "whose rates are taken"),
        "sku_cpu": StudyKey('"provider/name" or "auto"', '"auto"', "the machine that a CPU run is billed as"),
        "sku_cuda": StudyKey('"provider/name" or "auto"', '"auto"', "the machine that a GPU run is billed as"),
        "prices": StudyKey("a path, from the study file's folder", "none", "a TOML file with rates of your own"),
        "country": StudyKey(
            "an ISO 3166 code of three letters", "the region's country", "where the electricity is from, for CO2"
        ),
    },
    "engine": {
        "name": StudyKey(
            '"local" or "ray"', '"local"', "where trials run: on this machine, or on those of a Ray cluster"
        ),
        "address": StudyKey(
            '"auto", "HOST:PORT" or "ray://HOST:PORT"', '"auto"', "of the cluster; `auto` is the one of this machine"
        ),
        "allow_open": StudyKey(
            "true or false", "false", "use a cluster without a token too: whoever reaches its ports runs code there"
        ),
        "states": StudyKey(
            "a URL", "the coordinator's disk", "where saved states go: file:///shared, s3://…, gs://… by fsspec"
        ),
    },
    "costs": {
        name: StudyKey(each.knob.allowed, str(each.knob.default).lower(), f"{each.knob.help} ({each.source})")
        for name, each in ASSUMPTIONS.items()
    },
    "search": {
        "objectives": StudyKey(
            "a list of 1 to 3 names",
            '["price_usd"]',
            "what is to be good beside quality: `price_usd`, `wall_seconds`, `energy_joules`, `prediction_usd`, or a "
            'metric (with `{ metric = "…", direction = "…" }` where the workload does not say its direction)',
        ),
        "sampler": StudyKey("a class in optuna.samplers", '"TPESampler"', "suggests settings for new trials"),
        "options": StudyKey("a table", "{}", "keyword arguments of the sampler"),
        "reference": StudyKey(
            "a table with a number for some objectives",
            "frozen once the first trials have a checkpoint",
            "the point that the hypervolume is measured from",
        ),
        "predictions": StudyKey(
            "a whole number of at least 1", "1000000", "how many predictions `prediction_usd` is the price of"
        ),
        "least_growth": StudyKey(
            "a number from 0 to 1",
            "0.001 where the budget has dollars, else 0",
            "the study ends where the last quarter of the spend changed the hypervolume by less than this share of "
            "itself, and all that is left is expected to as well; 0: it spends its budget",
        ),
        "disk_limit_gb": StudyKey(_NUMBER, "10", "GB (10^9 bytes) that the states of paused trials may take on disk"),
    },
    "settings": {
        "KNOB": StudyKey("a value of the knob", "the knob's default", "the same value for every trial"),
    },
    "space": {
        "KNOB": StudyKey(
            "a list, or { low = …, high = …, log = true, step = … }",
            "",
            "searched: one of these choices, or any value of this range",
        ),
    },
    "data": {
        "KEY": StudyKey("what the workload says", "", "passed to the training code as `run.data`"),
    },
    "tags": {
        "NAME": StudyKey(
            "a text of 1 to 200 characters, under a name of 1 to 50 letters, digits, _ and -",
            "",
            "a tag of your own, such as a team or a cost centre: in MLflow, on every charge, in `tracker report --all`",
        ),
    },
    "smoke": {
        "KNOB": StudyKey("a value of the knob", "", "fixed in `tracker run FILE --smoke`, a study that takes seconds"),
        "trials": StudyKey("a whole number of at least 1", "2", "trials of the smoke study"),
        "data": StudyKey("a table", "", "keys that go before those of [data] in the smoke study"),
    },
}
"""The tables of a study file. A key in capitals stands for names that the training code or the user chooses."""


def names(table: str) -> tuple[str, ...]:
    """The keys of a table that are names themselves."""
    return tuple(name for name in TABLE_KEYS[table] if not name.isupper())
