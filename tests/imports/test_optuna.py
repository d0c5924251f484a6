"""Studies that Optuna itself ran are imported: a price point a trial, and nothing of the source is written to."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker import import_optuna
from tracker.errors import RequestError, StoreError
from tracker.imports.optuna import OptunaTrials
from tracker.records import Direction
from tracker.store.home import Home

SKU = "aws/p4d.24xlarge"
START = datetime(2026, 3, 2, 9)
DISTRIBUTIONS = {
    "rate": optuna.distributions.FloatDistribution(1e-5, 1.0, log=True),
    "kind": optuna.distributions.CategoricalDistribution(["a", True, None, 2]),
}


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def home(tmp_path):
    put_mlflow_database(tmp_path / "home")
    return Home(tmp_path / "home")


def trial(hours=1.0, at=0, state=TrialState.COMPLETE, value=None, **more):
    """A trial that ended ``hours`` after its start; Optuna's own function sets no times."""
    made = create_trial(
        state=state,
        params={"rate": 0.1, "kind": "a"},
        distributions=DISTRIBUTIONS,
        **({"value": value} if state is TrialState.COMPLETE and value is not None else {}),
        **more,
    )
    made.datetime_start = START + timedelta(hours=at)
    made.datetime_complete = None if state is TrialState.RUNNING else made.datetime_start + timedelta(hours=hours)
    return made


def study_with(storage, *trials, name="tune", **more):
    study = optuna.create_study(storage=storage, study_name=name, **({"direction": "maximize"} | more))
    study.add_trials(trials)
    return study


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "optuna.db"
    study_with(
        f"sqlite:///{path}",
        trial(1.0, value=0.7, user_attrs={"gpu": "A100", "size": 3}),
        trial(2.0, at=1, state=TrialState.PRUNED, intermediate_values={0: 0.2, 4: 0.5}),
        trial(0.5, at=3, state=TrialState.FAIL),
        trial(at=4, state=TrialState.RUNNING),
    ).enqueue_trial({"rate": 0.2})
    return path


def test_each_trial_that_ended_is_a_price_point(database, home):
    before = database.read_bytes(), sorted(database.parent.iterdir())
    done = tracker("import", "optuna", database, "tune", "--sku", SKU, "--share", "1/8", home=home.path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("study 'tune': 3 runs added")
    assert "1 trial WAITING: not imported" in done.stderr
    assert "1 trial RUNNING: not imported" in done.stderr
    assert (database.read_bytes(), sorted(database.parent.iterdir())) == before
    study = import_optuna(database, home=home.path, sku=SKU, share="1/8")
    table = study.table()
    assert table.quality.name == "value"
    assert table.quality.direction is Direction.MAXIMIZE
    runs = table.runs.sort_values("trial")
    assert list(runs["label"]) == ["trial 0", "trial 1", "trial 2"]
    assert list(runs["state"]) == ["completed", "stopped", "failed"]
    assert list(runs["wall_seconds"]) == [3600, 7200, 1800]
    hourly = runs["usd_per_hour"].iloc[0] / 8
    assert list(runs["price_usd"]) == pytest.approx([hourly, 2 * hourly, hourly / 2], rel=0.05)
    points = table.checkpoints.sort_values("trial")
    assert list(zip(points["trial"], points["epoch"], points["quality"], strict=True)) == [(0, 1, 0.7), (1, 4, 0.5)]
    assert study.runs()["settings"].iloc[0] == {"rate": 0.1, "kind": "a"}


def test_again_only_what_is_new_is_added(database, home):
    import_optuna(database, home=home.path, sku=SKU)
    study = optuna.load_study(study_name="tune", storage=f"sqlite:///{database}")
    study.tell(3, 0.9)
    study.add_trial(trial(value=0.8, at=9))
    done = tracker("import", "optuna", f"sqlite:///{database}", "--sku", SKU, home=home.path)
    assert done.stdout.startswith("study 'tune': 2 runs added, 3 unchanged"), done.stderr
    assert len(import_optuna(database, home=home.path, sku=SKU).runs()) == 5


def test_a_journal_is_read_while_it_is_written_to(tmp_path, home):
    path = tmp_path / "journal.log"
    study = study_with(JournalStorage(JournalFileBackend(str(path))), trial(value=0.3), name="écrit 'ici'")
    study.set_metric_names(["val_loss"])
    path.write_bytes(path.read_bytes() + b'{"op_code": 4, "work')
    before = path.read_bytes(), sorted(tmp_path.iterdir())
    table = import_optuna(path, home=home.path, sku=SKU, name="journal").table()
    assert (path.read_bytes(), sorted(tmp_path.iterdir())) == before
    assert table.quality.name == "val_loss"
    assert table.checkpoints["quality"].tolist() == [0.3]


def test_what_a_real_optimization_leaves_is_read(tmp_path):
    def objective(trial):
        rate = trial.suggest_float("rate", 0.0, 1.0)
        for step in range(3):
            trial.report(rate + step, step)
            if trial.number == 3 and step == 1:
                raise optuna.TrialPruned
        if trial.number == 4:
            raise ValueError
        return rate

    path = tmp_path / "optuna.db"
    study = optuna.create_study(storage=f"sqlite:///{path}", study_name="real", direction="minimize")
    study.optimize(objective, n_trials=6, catch=ValueError)
    source = OptunaTrials(str(path))
    past = source.read(list(source.versions()))
    assert list(past.runs["state"].value_counts().sort_index().items()) == [
        ("completed", 4),
        ("failed", 1),
        ("stopped", 1),
    ]
    assert (past.runs["ended_at"] > past.runs["started_at"]).all()
    assert abs(past.runs["started_at"] - datetime.now().timestamp()).max() < 600
    by_run = dict(zip(past.values["run"], past.values["value"], strict=True))
    assert by_run[3] == study.trials[3].params["rate"] + 1
    assert by_run[0] == study.trials[0].params["rate"]
    assert 4 not in by_run


def test_of_several_objectives_one_is_the_quality(tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study = study_with(
        storage, trial(values=[0.9, 5.0]), name="two", direction=None, directions=["maximize", "minimize"]
    )
    with pytest.raises(RequestError, match="2 objectives, values_0, values_1: say which"):
        OptunaTrials(storage)
    assert OptunaTrials(storage, objective=1).direction is Direction.MINIMIZE
    study.set_metric_names(["accuracy", "latency"])
    source = OptunaTrials(storage, quality="latency")
    assert (source.quality, source.direction) == ("latency", Direction.MINIMIZE)
    assert dict(source.read(["0"]).values[["metric", "value"]].to_numpy().tolist()) == {"accuracy": 0.9, "latency": 5.0}
    with pytest.raises(RequestError, match="no objective 'acuracy'; did you mean 'accuracy'"):
        OptunaTrials(storage, quality="acuracy")
    with pytest.raises(RequestError, match=r"no objective 2: 0 to 1 \(accuracy, latency\)"):
        OptunaTrials(storage, objective=2)
    with pytest.raises(RequestError, match="objective 1 of Optuna study 'two' is 'latency', not 'accuracy'"):
        OptunaTrials(storage, quality="accuracy", objective=1)


def test_a_database_of_an_older_optuna_is_upgraded_in_a_copy(database):
    with sqlite3.connect(database) as old:  # as before version 3.2 of its tables
        old.execute("update alembic_version set version_num = 'v3.0.0.d'")
    old.close()
    before = database.read_bytes()
    assert len(OptunaTrials(str(database)).versions()) == 3
    assert database.read_bytes() == before


def test_a_study_that_the_tracker_ran_is_refused(tmp_path):
    storage = f"sqlite:///{tmp_path / 'optuna.db'}"
    study_with(storage, trial(value=0.5, user_attrs={"tracker.state": "completed"}))
    with pytest.raises(RequestError, match="this tracker ran"):
        OptunaTrials(storage)


def test_bad_input_is_said_in_a_line_and_nothing_is_made(database, home, tmp_path):
    def refused(*words):
        done = tracker("import", "optuna", *words, "--sku", SKU, home=home.path)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) <= 2
        return done.stderr

    other, text, empty = tmp_path / "other.db", tmp_path / "notes.txt", tmp_path / "empty"
    with sqlite3.connect(other) as made:
        made.execute("create table cats (name text)")
    made.close()
    text.write_text("hello\n")
    empty.touch()
    before = other.read_bytes()
    assert "no study 'tunes'; did you mean 'tune'" in refused(database, "tunes")
    assert "there is no Optuna storage at" in refused(tmp_path / "none.db")
    assert "there is no Optuna storage at" in refused(f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()
    assert "this database is not Optuna's" in refused(other)
    assert other.read_bytes() == before
    assert "neither a SQLite database nor a journal" in refused(text)
    assert "no study" in refused(empty)
    assert "there is no Optuna storage at" in refused(tmp_path)
    assert "has no objective 3" in refused(database, "--objective", "3")
    study_with(f"sqlite:///{database}", name="second")
    assert "has 2 studies: name one of second, tune" in refused(database)
    assert "has no runs to import" in refused(database, "second")


def test_a_database_that_cannot_be_reached_or_understood(tmp_path):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 3\0" + bytes(3000))
    with pytest.raises(StoreError, match="cannot be read"):
        OptunaTrials(str(damaged))
    with pytest.raises(StoreError, match="cannot be read"):
        OptunaTrials("nonsense://ada:secret@host/x")
