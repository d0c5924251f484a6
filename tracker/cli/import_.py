"""tracker import: studies and runs that come from elsewhere, brought into the home."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracker.cli.options import MARKETS, home_option, json_option
from tracker.cli.output import say
from tracker.records import Direction, Market
from tracker.store.home import Home

if TYPE_CHECKING:
    from tracker.imports.past_runs import PastSource

_MOST_LISTED = 20
DIRECTIONS = click.Choice([direction.value for direction in Direction])


@click.group("import", short_help="Bring in past runs or an exported study, to read like any other.")
def import_() -> None:
    """Bring in runs from elsewhere as a study: frontier, runs, report and dashboard read it like any other."""


@import_.command("export", short_help="A study that `tracker report --format csv` or `parquet` wrote.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="", metavar="NAME", help="What to call it here.  [default: its own name]")
@home_option
def export(folder: Path, name: str, home: Home) -> None:
    """Bring in the study that was exported into FOLDER: its runs, checkpoints, prices and settings.

    It cannot be resumed: neither its code nor a saved state comes with it.
    """
    from tracker.imports.export import import_export  # MLflow, which takes seconds

    study = import_export(folder, home, name, lambda message: say(message, err=True))
    say(study)


def _import_options(command: Callable[..., Any]) -> Callable[..., None]:
    """What every import of past runs takes; the command returns the source, the quality and a default name."""

    @functools.wraps(command)
    def importing(
        *arguments: Any, quality: str | None, name: str | None, as_json: bool, home: Home, **options: Any
    ) -> None:
        from tracker.imports.into_home import import_request, import_runs  # MLflow, which takes seconds

        shared = {each: options.pop(each) for each in _SHARED}
        source, metric, own_name = command(*arguments, quality=quality, **options)
        request = import_request(metric, name or own_name, **shared)
        imported = import_runs(source, request, home, lambda message: say(message, err=True))
        if as_json:
            say(json.dumps(imported.document, ensure_ascii=False))
            return
        say(imported.sentence)
        for remark in imported.remarks:
            say(remark, err=True)
        for each in imported.left_out[:_MOST_LISTED]:
            say(f"  {each['run']}: {each['seconds'] / 3600:,.1f} h {each['why']}, from {each['since']}", err=True)
        if len(imported.left_out) > _MOST_LISTED:
            say(f"  and {len(imported.left_out) - _MOST_LISTED:,} more: --json lists all", err=True)

    for option in reversed(_OPTIONS):
        importing = option(importing)
    return importing


_SHARED = (
    *("sku", "share", "market", "region", "machine_map", "direction", "longest_pause_seconds", "seconds_metric"),
)
"""The options that every import takes as import_request does."""
_QUALITY = click.option("--quality", required=True, metavar="METRIC", help="The logged metric that is the quality.")
_OPTIONS = (
    click.option(
        "--direction",
        type=DIRECTIONS,
        help="Which way is better.  [default: by the metric's name]",
    ),
    click.option("--sku", metavar="SKU", help="The machine that runs are billed as, such as aws/p4d.24xlarge."),
    click.option(
        "--share",
        metavar="SHARE",
        help="Their share of it, such as 1/8.  [default: the GPUs that system metrics saw, or all of it]",
    ),
    click.option(
        "--market",
        type=MARKETS,
        default=str(Market.ON_DEMAND),
        show_default=True,
        help="How it was bought.",
    ),
    click.option("--region", default="", metavar="REGION", help="The region of the rate.  [default: the home region]"),
    click.option(
        "--map",
        "machine_map",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A TOML file that says which runs are billed as which machine; --sku is for the others.",
    ),
    click.option(
        "--longest-pause",
        "longest_pause_seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="A longer time without a value does not count.  [default: 1 h and 5 times the median]",
    ),
    click.option(
        "--seconds-metric",
        default="",
        metavar="METRIC",
        help="The seconds that a run took as it logged them itself, in place of its timestamps.",
    ),
    click.option("--name", metavar="NAME", help="What to call the study."),
    json_option,
    home_option,
)


@import_.command("mlflow", short_help="The runs of an MLflow experiment.")
@click.argument("uri")
@click.argument("experiment")
@_QUALITY
@_import_options
def mlflow(uri: str, experiment: str, quality: str) -> tuple[PastSource, str, str]:
    """Bring in the runs of EXPERIMENT (its name or id) in the MLflow store at URI, which is only read.

    URI is as MLflow takes it, a database file or a folder such as mlruns. Each step at which a run logged the quality
    is a price point: the time since the run's start × the rate. Again with new runs there: only those are added.
    """
    from tracker.imports.mlflow import MlflowRuns

    source = MlflowRuns(uri, experiment, quality)
    return source, quality, source.study


@import_.command("optuna", short_help="The trials of an Optuna study.")
@click.argument("storage")
@click.argument("study", default="")
@click.option("--quality", metavar="NAME", help="The objective that is the quality.  [default: the only one]")
@click.option("--objective", type=int, metavar="NUMBER", help="The same by its number, from 0.")
@_import_options
def optuna(storage: str, study: str, quality: str | None, objective: int | None) -> tuple[PastSource, str, str]:
    """Bring in the trials of STUDY in the Optuna database at STORAGE, which is only read.

    STORAGE is an SQLAlchemy URL, a database file or the file of a JournalStorage; without STUDY it is the only one.
    Each trial is a price point: its time × the rate. Again with new trials there: only those are added.
    """
    from tracker.imports.optuna import OptunaTrials

    source = OptunaTrials(storage, study, quality or "", objective)
    return source, source.quality, source.study


@import_.command("table", short_help="The runs of a csv or parquet file, a row a logged step.")
@click.argument("file", type=click.Path(path_type=Path))
@_QUALITY
@click.option("--run", metavar="COLUMN", default="", help="Which run a row is of.  [default: all rows are of one]")
@click.option("--time", metavar="COLUMN", default="", help="When it was logged: ISO 8601, or s or ms since 1970.")
@click.option(
    "--seconds", metavar="COLUMN", default="", help="The seconds since the run's start; beside or without --time."
)
@click.option("--step", metavar="COLUMN", default="", help="The step, a whole number.  [default: rows are counted]")
@_import_options
def table(file: Path, quality: str, **columns: str) -> tuple[PastSource, str, str]:
    """Bring in the runs of FILE, a csv or parquet table in which a row is a logged step.

    The column --quality and other numbers that change within a run are metrics; columns with one value in each run are
    its settings. Again with new rows there: only runs that are new or have more rows are read.
    """
    from tracker.imports.table import TableColumns, table_runs

    return table_runs(file, quality, TableColumns(**columns)), quality, file.name.partition(".")[0]


@import_.command("tensorboard", short_help="The runs of a folder of TensorBoard logs.")
@click.argument("folder", type=click.Path(path_type=Path))
@_QUALITY
@_import_options
def tensorboard(folder: Path, quality: str) -> tuple[PastSource, str, str]:
    """Bring in the runs in FOLDER and the folders below it, which are only read.

    A folder that logged the quality is a run, with those below that did not. Folders named train, validation and the
    like are part of the one around them: Keras's quality is validation/epoch_accuracy. Each step with the quality is a
    price point: the time since the run's first event × the rate. Again with new logs there: only those are added.
    """
    from tracker.imports.tensorboard import TensorboardRuns

    source = TensorboardRuns(folder, quality)
    return source, quality, source.name


@import_.command("wandb", short_help="Runs of Weights & Biases: an export, or its folder.")
@click.argument("place", metavar="FILE_OR_FOLDER", type=click.Path(path_type=Path))
@_QUALITY
@_import_options
def wandb(place: Path, quality: str) -> tuple[PastSource, str, str]:
    """Bring in W&B runs from FILE_OR_FOLDER: no account and no library of W&B's is needed.

    It is W&B's own folder with the logs of runs (also offline ones), a run's history as csv or parquet, a folder of
    these, or the csv of a table of runs. Again with new runs there: only those are added.
    """
    from tracker.imports.wandb import wandb_runs

    return wandb_runs(place, quality), quality, place.resolve().name.partition(".")[0]
