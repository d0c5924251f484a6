"""The tracker from Python: run a study, read it, write its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypedDict, Unpack

import pandas as pd

from tracker.engine.forkserver import Forkserver
from tracker.export.formats import DEFAULT, report_folder, write_report
from tracker.imports.past_runs import PastSource
from tracker.pricing.scenario import AS_BILLED, Scenario
from tracker.report.advice import advise, candidates
from tracker.report.advice_document import advice_document
from tracker.report.decisions import decisions_document
from tracker.report.estimate.estimate import Estimate, check_known, estimate_cost
from tracker.report.hosted_api import build_or_buy
from tracker.report.levers import levers_table
from tracker.report.predicted_candidates import predicted_candidates
from tracker.report.prediction_targets import ALL, targets_of
from tracker.report.predictions import frontier_predictions
from tracker.report.repricing import priced_study_table
from tracker.report.scenarios import compare_scenarios
from tracker.report.sides import read_sides
from tracker.report.spend_across import Spend, parse_by, spend_across
from tracker.report.study_comparison import StudyComparison, compare_sides
from tracker.report.tables import confirmed_frontier_table, frontier_document, with_dictionaries
from tracker.report.wish import Wish
from tracker.runner.audit.finding import Audit
from tracker.runner.progress import Observer, Silent
from tracker.runner.study_lookup import folder_of
from tracker.store.home import Home
from tracker.store.run_table import StudyTable
from tracker.study.document import StudyDocument

__all__ = [
    *("Study", "audit_study", "compare", "confirm_study", "estimate_study", "open_study"),
    *("import_export", "import_mlflow", "import_optuna"),
    *("import_table", "import_tensorboard", "import_wandb"),
    *("resume_study", "run_study", "spend"),
    *("start_resume", "start_study", "stop_study"),  # in a process of their own
]


@dataclass(frozen=True, slots=True)
class Study:
    """A study that was run: its name, and the home that it lives in."""

    name: str
    home: Home

    def table(self, scenario: Scenario = AS_BILLED, currency: str = "USD") -> StudyTable:
        """All runs and checkpoints, read again; priced under ``scenario`` where it changes anything.

        ``currency`` is what reports show amounts in; tables are in USD. Where MLflow is behind or cannot be read, the
        study's events are read, and errors.BehindWarning says so. Raises StudyNotFoundError, StoreError,
        PriceBookError, ScenarioError.
        """
        return priced_study_table(self.home, self.name, scenario, currency)

    def runs(self, scenario: Scenario = AS_BILLED) -> pd.DataFrame:
        """Every run, one row each, its settings and its summary as dictionaries; see StudyTable for the columns."""
        return with_dictionaries(self.table(scenario))

    def checkpoints(self, scenario: Scenario = AS_BILLED) -> pd.DataFrame:
        """Every checkpoint, one row each; see StudyTable for the columns."""
        return self.table(scenario).checkpoints

    def frontier(self, scenario: Scenario = AS_BILLED) -> pd.DataFrame:
        """The non-dominated checkpoints by rising price; see report.tables.confirmed_frontier_table."""
        return confirmed_frontier_table(self.table(scenario))

    def frontier_document(self, scenario: Scenario = AS_BILLED) -> dict[str, Any]:
        """What ``tracker frontier NAME --json`` prints."""
        return frontier_document(self.table(scenario))

    def compare(self, first: Scenario, second: Scenario) -> dict[str, Any]:
        """The frontier under two scenarios side by side; see report.scenarios.compare_scenarios."""
        tables = self.table(first), self.table(second)
        return compare_scenarios(*tables, (first.label, second.label))

    def levers(self, scenario: Scenario = AS_BILLED) -> pd.DataFrame:
        """What each lever saved, from pairs of trials that differ in it alone; see report.levers.levers_table."""
        return levers_table(self.table(scenario))

    def predict(
        self, on: Sequence[str] = (ALL,), scenario: Scenario = AS_BILLED, *, trial: int | None = None
    ) -> pd.DataFrame:
        """The frontier's points, or one trial's last checkpoint, on accelerators and SKUs that nobody rented.

        ``on`` names them; see report.predictions.predictions_table for the columns. Raises PredictionError,
        PriceBookError.
        """
        table = self.table(scenario)
        return frontier_predictions(table, targets_of(table, self.home, on), trial)

    def build_or_buy(self, model: str, **options: Any) -> dict[str, Any]:
        """The frontier's models beside a hosted language model; see report.hosted_api.build_or_buy."""
        return build_or_buy(self.name, self.home, model, **options)

    def advise(
        self,
        *,
        min_quality: float | None = None,
        max_usd: float | None = None,
        predictions: float | None = None,
        deadline_seconds: float | None = None,
        on: Sequence[str] = (),
        scenario: Scenario = AS_BILLED,
    ) -> dict[str, Any]:
        """What ``tracker advise NAME --json`` prints: the run to take, and what more money would bring.

        ``on`` names accelerators and SKUs that nobody rented, in place of what was measured. Raises RequestError where
        there is nothing to advise on, and for a bound that is none; PredictionError, PriceBookError; see report.advice.
        """
        table = self.table(scenario)
        found = candidates(table, predictions)
        found = predicted_candidates(found, targets_of(table, self.home, on)) if on else found
        wish = Wish(quality=min_quality, cost=max_usd, wall_seconds=deadline_seconds)
        return advice_document(advise(found, wish), predictions)

    def why(self, trial: int) -> list[dict[str, Any]]:
        """What the search decided about a trial, with its numbers; see runner.decisions.Decisions."""
        decisions: list[dict[str, Any]] = decisions_document(self.home, self.name, trial)["decisions"]
        return decisions

    @property
    def spend_usd(self) -> float:
        """All that the study has cost, in USD."""
        return self.table().spend_usd

    def report(
        self,
        out: str | Path | None = None,
        scenario: Scenario = AS_BILLED,
        currency: str = "USD",
        *,
        formats: Sequence[str] = DEFAULT,
        on: Sequence[str] = (),
        force: bool = False,
    ) -> list[Path]:
        """Write the report into ``out``, or below reports/ in the home (report_folder); the files' paths.

        ``formats`` are names of export.formats.FORMATS; ``on`` names hardware to predict the frontier for. Raises
        RequestError for an unknown one, and for a file that is there already unless ``force``, and where ``out`` is no
        folder that can be written.
        """
        table = replace(self.table(scenario, currency), hardware=tuple(on))
        return write_report(table, Path(out) if out else report_folder(self.home, table), formats, force=force)


def run_study(
    study: str | Path | Mapping[str, Any],
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    seed: int | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    smoke: bool = False,
    settings: Mapping[str, object] | None = None,
    tags: Mapping[str, str] | None = None,
    engine: Mapping[str, object] | None = None,
    workers: int | None = None,
    warm_start: Sequence[str] = (),
    observer: Observer | None = None,
) -> Study:
    """Run a study from a TOML file, or from a mapping of the same shape, and return it when it has ended.

    ``smoke`` takes the study's [smoke] table for it; ``settings`` fixes knobs; ``tags`` are of your own; ``engine``
    replaces keys of [engine]; ``warm_start`` names earlier studies to learn from;
    the other arguments are the options of ``tracker run``. Raises TrackerError.
    """
    document = StudyDocument("study", study) if isinstance(study, Mapping) else StudyDocument.read(Path(study))
    document = document.smoke() if smoke else document
    document = document.override(
        settings or {},
        name=name,
        seed=seed,
        budget_usd=budget_usd,
        trials=trials,
        wall_seconds=wall_seconds,
        tags=tags,
        engine=engine,
    )
    Forkserver(document.workload or "").warm_up()
    from tracker.runner import session, studies  # MLflow and Optuna, while the forkserver imports torch

    places = session.Places(Home.find(home), storage)
    studies.run_study(document, places, workers=workers, warm_start=warm_start, observer=observer)
    return Study(str(document.content["name"]), places.home)


def estimate_study(
    study: str | Path | Mapping[str, Any],
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    name: str | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    smoke: bool = False,
    settings: Mapping[str, object] | None = None,
    workers: int | None = None,
    scenario: Scenario = AS_BILLED,
    currency: str = "USD",
    on: Sequence[str] = (),
    probe: bool = False,
    observer: Observer | None = None,
) -> Estimate:
    """What a study will cost, from past runs of its training code in the home; see report.estimate.

    ``on`` are SKUs to price it on too. ``probe`` trains two short trials first, as a study of their own: NAME-probe.
    The other arguments are those of ``run_study`` and the options of ``tracker estimate``. Raises TrackerError.
    """
    document = StudyDocument("study", study) if isinstance(study, Mapping) else StudyDocument.read(Path(study))
    document = document.smoke() if smoke else document
    document = document.override(
        settings or {}, name=name, budget_usd=budget_usd, trials=trials, wall_seconds=wall_seconds
    ).anchored(Path.cwd())
    places, probed = Home.find(home), ""
    if probe:
        Forkserver(document.workload or "").warm_up()
        from tracker.runner.probe import run_probe  # MLflow and Optuna, while the forkserver imports torch
        from tracker.runner.session import Places

        probed = run_probe(document, Places(places, storage), workers=workers, observer=observer or Silent())
    found = estimate_cost(document, places, scenario=scenario, currency=currency, on=on, workers=workers, probe=probed)
    check_known(found)
    return found


def resume_study(
    name: str,
    *,
    home: str | Path | None = None,
    storage: str | None = None,
    budget_usd: float | None = None,
    trials: int | None = None,
    wall_seconds: float | None = None,
    update: bool = False,
    engine: Mapping[str, object] | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Study:
    """Resume a study until its budget, or a new one, is spent. What MLflow or Optuna lack is made again.

    ``update`` takes what was edited in the study's file since it was started; see study.edits. ``engine`` replaces keys
    of [engine]: a study may continue on other machines. Raises TrackerError.
    """
    Forkserver(folder_of(Home.find(home), name).document().workload or "").warm_up()
    from tracker.runner import session, studies  # MLflow and Optuna, while the forkserver imports torch

    places = session.Places(Home.find(home), storage)
    studies.resume_study(
        name,
        places,
        budget_usd=budget_usd,
        trials=trials,
        wall_seconds=wall_seconds,
        update=update,
        engine=engine,
        workers=workers,
        observer=observer,
    )
    return Study(name, places.home)


def confirm_study(
    name: str,
    *,
    home: str | Path | None = None,
    seeds: int = 3,
    budget_usd: float | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
) -> Study:
    """Train the frontier's points again with ``seeds`` new seeds each; see runner.confirm. Raises TrackerError."""
    Forkserver(folder_of(Home.find(home), name).document().workload or "").warm_up()
    from tracker.runner import confirm, session  # MLflow and Optuna, while the forkserver imports torch

    places = session.Places(Home.find(home))
    confirm.confirm_study(name, places, seeds=seeds, budget_usd=budget_usd, workers=workers, observer=observer)
    return Study(name, places.home)


def compare(
    *sides: str | Study | Sequence[str | Study],
    home: str | Path | None = None,
    scenario: Scenario = AS_BILLED,
    currency: str = "USD",
    at_usd: Sequence[float] = (),
    reference: tuple[float, float] | None = None,
) -> StudyComparison:
    """What ``tracker compare`` tells, as tables: two to eight studies, or groups that are the same but for the seed.

    A side is a study or its name, or a sequence of them: a group. ``home`` is where the names are looked for, that of
    the first Study unless given. ``at_usd`` are amounts of USD, ``reference`` a quality and a price in USD.
    ``export.comparison.write_comparison`` writes it as files. Raises RequestError where they cannot be compared,
    StudyNotFoundError, and what ``Study.table`` raises.
    """
    groups = [[side] if isinstance(side, str | Study) else list(side) for side in sides]
    studies = [each for group in groups for each in group if isinstance(each, Study)]
    place = studies[0].home if home is None and studies else Home.find(home)
    names = [[each.name if isinstance(each, Study) else each for each in group] for group in groups]
    return compare_sides(read_sides(place, names, scenario, currency), at_usd, reference)


def audit_study(
    name: str, *, home: str | Path | None = None, storage: str | None = None, repair: bool = False
) -> Audit:
    """What differs between a study's event logs, MLflow and Optuna; see runner.audit.

    ``repair`` mends what can be mended; the findings are then what remains. Without it nothing is written. Raises
    StudyNotFoundError, StoreError, and with ``repair`` RequestError where a coordinator runs the study.
    """
    if repair:
        from tracker.runner.audit.repair import repair_study  # MLflow, which takes seconds
        from tracker.runner.session import Places

        return repair_study(name, Places(Home.find(home), storage))
    from tracker.runner.audit import audit  # Optuna, which takes half a second

    return audit.audit_study(name, Home.find(home), storage)


def open_study(name: str, *, home: str | Path | None = None) -> Study:
    """A study that was run before. Raises StudyNotFoundError where there is none of this name."""
    study = Study(name, Home.find(home))
    study.table()
    return study


def import_export(folder: str | Path, *, home: str | Path | None = None, name: str = "") -> Study:
    """Bring in a study that a report in csv or parquet exported into ``folder``; ``name`` is what to call it here.

    It reads like any other, and cannot be resumed. Raises RequestError, StudyExistsError, StoreError; see
    imports.exported.
    """
    from tracker.imports import export  # MLflow, which takes seconds

    found = Home.find(home)
    return Study(export.import_export(Path(folder), found, name), found)


class ImportOptions(TypedDict, total=False):
    """What every import of past runs takes.

    ``sku``, ``share``, ``market`` and ``region`` say what runs are billed as, ``machine_map`` is a TOML file that says
    it for some of them (imports.machines). ``direction`` is which way is better, by the quality's name without it.
    ``longest_pause_seconds``: a longer time without a value does not count (imports.clock). ``seconds_metric`` is one
    that runs logged their seconds as, in place of their timestamps. ``name`` is the study's.
    """

    sku: str
    share: str
    market: str
    region: str
    machine_map: str | Path
    direction: str
    longest_pause_seconds: float
    seconds_metric: str
    name: str
    home: str | Path


def import_mlflow(uri: str, experiment: str, *, quality: str, **options: Unpack[ImportOptions]) -> Study:
    """Bring in the runs of an MLflow experiment that knows nothing of the tracker; again, only the new ones.

    Each step at which a run logged ``quality`` is a price point. ``options`` are those of ``tracker import mlflow``:
    sku, share, market, region, machine_map, direction, longest_pause_seconds, seconds_metric, name and home. Raises
    RequestError, PriceBookError, StudyExistsError, StoreError.
    """
    from tracker.imports.mlflow import MlflowRuns

    source = MlflowRuns(uri, experiment, quality)
    return _import(source, quality, source.study, options)


def import_optuna(
    storage: str | Path,
    study: str = "",
    *,
    quality: str = "",
    objective: int | None = None,
    **options: Unpack[ImportOptions],
) -> Study:
    """Bring in the trials of an Optuna study, each as one price point; again, only the new ones.

    ``storage`` is an SQLAlchemy URL, a database file or the file of a JournalStorage; without ``study`` it is the only
    one there. Of several objectives ``quality`` says by name, or ``objective`` by number from 0, which is the quality.
    ``options`` as for import_mlflow. Raises RequestError, PriceBookError, StudyExistsError, StoreError.
    """
    from tracker.imports.optuna import OptunaTrials

    source = OptunaTrials(str(storage), study, quality, objective)
    return _import(source, source.quality, source.study, options)


def import_table(
    path: str | Path,
    *,
    quality: str,
    run: str = "",
    time: str = "",
    seconds: str = "",
    step: str = "",
    **options: Unpack[ImportOptions],
) -> Study:
    """Bring in the runs of a csv or parquet file, a row a logged step; again, only what is new.

    ``run``, ``time``, ``seconds`` and ``step`` name its columns; see imports.table. ``options`` as for
    ``import_mlflow``. Raises RequestError, PriceBookError, StudyExistsError, StoreError.
    """
    from tracker.imports.table import TableColumns, table_runs

    source = table_runs(Path(path), quality, TableColumns(run, time, seconds, step))
    return _import(source, quality, Path(path).name.partition(".")[0], options)


def import_tensorboard(folder: str | Path, *, quality: str, **options: Unpack[ImportOptions]) -> Study:
    """Bring in the runs of a folder of TensorBoard logs; again, only the new ones and those that logged more.

    Each step at which a run logged ``quality`` is a price point; imports.tensorboard says which folders are one run.
    ``options`` as for import_mlflow. Raises RequestError, PriceBookError, StudyExistsError, StoreError.
    """
    from tracker.imports.tensorboard import TensorboardRuns

    source = TensorboardRuns(Path(folder), quality)
    return _import(source, quality, source.name, options)


def import_wandb(path: str | Path, *, quality: str, **options: Unpack[ImportOptions]) -> Study:
    """Bring in runs of Weights & Biases from its folder, or from an export; again, only what is new.

    ``path`` is as for ``tracker import wandb`` (imports.wandb), ``options`` as for import_mlflow. Raises RequestError,
    PriceBookError, StudyExistsError, StoreError.
    """
    from tracker.imports.wandb import wandb_runs

    return _import(wandb_runs(Path(path), quality), quality, Path(path).resolve().name.partition(".")[0], options)


def _import(source: PastSource, quality: str, own_name: str, options: ImportOptions) -> Study:
    from tracker.imports.into_home import import_request, import_runs  # MLflow, which takes seconds

    given: dict[str, Any] = {**options}
    home, name = Home.find(given.pop("home", None)), given.pop("name", own_name)
    import_runs(source, import_request(quality, name, **given), home)
    return Study(name, home)


def spend(
    by: str = "study",
    *,
    home: str | Path | None = None,
    since: date | None = None,
    scenario: Scenario = AS_BILLED,
    currency: str = "USD",
) -> Spend:
    """Who spent what on what over all studies of a home, from the day ``since`` on (UTC).

    ``by`` is one or more of report.spend_across.BY and tag:NAME, with commas. ``table`` of what is returned has the
    groups, ``charges`` what they are made of, ``total_usd`` the sums. Raises RequestError where there is nothing.
    """
    return spend_across(Home.find(home), parse_by(by), since, scenario, currency)
