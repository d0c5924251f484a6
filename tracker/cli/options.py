"""Options and helpers that several commands share."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from tracker.cli.output import say
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario, compose
from tracker.pricing.scenario_file import read_scenario
from tracker.records import Market
from tracker.store.home import Home
from tracker.study.spec import ENGINES
from tracker.study.study_name import composed

Command = TypeVar("Command", bound=Callable[..., Any])


def _home(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Home:
    del ctx, parameter
    return Home.find(value)


STUDY_NAME = click.types.FuncParamType(composed)
"""The name of a study, whichever way its accents were typed."""
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    callback=_home,
    help="The folder of all studies.  [default: TRACKER_HOME or ./results]",
)
storage_option = click.option(
    "--storage",
    metavar="URL",
    help="The Optuna database, any SQLAlchemy URL.  [default: TRACKER_STORAGE or optuna.db in the home]",
)
MARKETS = click.Choice([market.value for market in Market])
"""The values of a market option; given the enumeration, click would offer its member names."""
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
workers_option = click.option("--workers", type=click.IntRange(min=1), help="At most this many trials at once.")
budget_option = click.option("--budget-usd", type=float, help="Stop when this many dollars are spent.")
trials_option = click.option("--trials", type=int, help="Start at most this many trials.")
detach_option = click.option(
    "--detach", is_flag=True, help="Run in a separate process and return once it runs: you can close the terminal."
)
allow_open_option = click.option(
    "--allow-open-cluster",
    is_flag=True,
    help="Use a Ray cluster without a token too: whoever reaches its ports runs code there.",
)
states_option = click.option(
    "--states",
    metavar="URL",
    help="Where saved states go: a folder that the whole cluster reaches, file:///…, s3://…, gs://….  "
    "[default: the coordinator's disk]",
)
address_option = click.option(
    "--address",
    metavar="ADDRESS",
    help="The Ray cluster: auto, HOST:PORT or ray://HOST:PORT.  [default: auto, that of this machine]",
)


def engine_options(command: Command) -> Command:
    """The options that say where attempts run; the command takes ``engine``, a [engine] table."""

    @functools.wraps(command)
    def with_engine(
        *arguments: Any,
        engine_name: str | None,
        address: str | None,
        allow_open_cluster: bool,
        states: str | None,
        **options: Any,
    ) -> Any:
        given = {"name": engine_name, "address": address, "allow_open": allow_open_cluster or None, "states": states}
        return command(*arguments, engine={key: each for key, each in given.items() if each is not None}, **options)

    named = click.option(
        "--engine", "engine_name", type=click.Choice(ENGINES), help="Where trials run: on this machine or on Ray's."
    )
    return cast(Command, named(address_option(allow_open_option(states_option(with_engine)))))


wall_option = click.option("--wall-seconds", type=float, help="Stop after this many seconds of work.")


def _day(ctx: click.Context, parameter: click.Parameter, value: datetime | None) -> date | None:
    del ctx, parameter
    return value.date() if value else None


def day_option(name: str, help_: str) -> Callable[[Command], Command]:
    """An option for a day, such as 2024-03-01."""
    return click.option(name, type=click.DateTime(["%Y-%m-%d"]), callback=_day, metavar="DATE", help=help_)


_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_until(text: str, now: datetime) -> float:
    """The seconds of a duration such as 90, 90s, 45min, 2h or 1.5d, or until a time such as 2027-01-31T18:00.

    A time without a zone is local. Raises RequestError for what is neither, for a duration that is not above 0, and for
    a time that is past.
    """
    wanted = text.strip()
    unit = next((unit for unit in sorted(_UNITS, key=len, reverse=True) if wanted.endswith(unit)), "")
    with contextlib.suppress(ValueError):
        seconds = float(wanted.removesuffix(unit)) * _UNITS.get(unit, 1.0)
        if not (math.isfinite(seconds) and seconds > 0):
            raise RequestError(f"--deadline {text}: allowed is a time above 0, such as 45min or 2h")
        return seconds
    try:
        left = (datetime.fromisoformat(wanted).astimezone() - now).total_seconds()
    except (ValueError, OverflowError, OSError):
        raise RequestError(
            f"--deadline {text!r} is no time; allowed: seconds (90), a number with {', '.join(_UNITS)} (2h), or a time"
            " such as 2027-01-31T18:00"
        ) from None
    if left <= 0:
        raise RequestError(f"--deadline {text} is past: it is {now:%Y-%m-%dT%H:%M} now")
    return left


def _deadline(ctx: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    del ctx, parameter
    return None if value is None else seconds_until(value, datetime.now().astimezone())


deadline_option = click.option(
    "--deadline",
    callback=_deadline,
    metavar="TIME",
    help="Only what was trained in that time: 90s, 45min, 2h, 1d, or until 2027-01-31T18:00.",
)


def scenario_options(command: Command) -> Command:
    """The options that change prices; the command takes ``scenario`` and ``currency``."""

    @functools.wraps(command)
    def with_scenario(
        *arguments: Any,
        market: str | None,
        region: str | None,
        as_of: date | None,
        skus: tuple[str, ...],
        scenario_files: tuple[Path, ...],
        **options: Any,
    ) -> Any:
        chosen = Scenario(market=Market(market) if market else None, region=region or None, as_of=as_of, skus=skus)
        scenario = compose([*map(read_scenario, scenario_files), chosen])
        return command(*arguments, scenario=scenario, **options)

    for option in reversed(_SCENARIO_OPTIONS):
        with_scenario = option(with_scenario)
    return cast(Command, with_scenario)


_SCENARIO_OPTIONS = (
    click.option("--market", type=MARKETS, help="Use the rates of this market."),
    click.option("--region", help="Use the rates of this region."),
    day_option("--as-of", "Use the rates of that day."),
    click.option(
        "--sku",
        "skus",
        multiple=True,
        help="Bill as this SKU, for runs on the same kind of device; repeatable for other kinds.",
    ),
    click.option(
        "--scenario",
        "scenario_files",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Apply a price scenario; repeatable, in order.",
    ),
    click.option(
        "--currency", default="USD", show_default=True, help="Show amounts in this currency, at your own exchange rate."
    ),
)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on standard output; NaN becomes null."""
    say(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))
