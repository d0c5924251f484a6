"""A folder of MLflow files that came through git, whose runs logged everything at their end."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from tests.support.mlflow_database import put_mlflow_database
from tracker import import_mlflow
from tracker.errors import RequestError

EXPERIMENT = "artifact_location: file:///elsewhere\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n"
RUN = """\
artifact_uri: file:///elsewhere/0/{id}/artifacts
end_time: {end}
experiment_id: '0'
lifecycle_stage: active
name: ''
run_id: {id}
run_uuid: {id}
source_type: 4
start_time: {start}
status: 3
user_id: ada
"""
STARTED_MS = 1_790_000_000_000


@pytest.fixture
def home(tmp_path):
    put_mlflow_database(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def mlruns(tmp_path):
    folder = tmp_path / "mlruns"
    (folder / "0").mkdir(parents=True)
    (folder / "0/meta.yaml").write_text(EXPERIMENT)
    (folder / "figures").mkdir()  # what people keep beside it
    for number, (accuracy, seconds) in enumerate([(0.8, 60.0), (0.9, 1800.0)]):
        start = STARTED_MS + number * 7_200_000
        run = folder / "0" / f"{number:032x}"
        files = {
            "meta.yaml": RUN.format(id=run.name, start=start, end=start + 150),
            "metrics/test/accuracy": f"{start + 100} {accuracy} 0\n",
            "metrics/seconds": f"{start + 110} {seconds} 0\n",
            "params/batch size": str(8 * (number + 1)),
            "tags/mlflow.user": "ada",
        }
        for name, text in files.items():
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_text(text)
    return folder


def state_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def test_its_runs_are_read_and_it_stays_as_it_is(mlruns, home):
    before = state_of(mlruns)
    study = import_mlflow(str(mlruns), "Default", quality="test/accuracy", sku="aws/m5.large", home=home)
    runs = study.runs()
    assert runs["quality"].tolist() == [0.8, 0.9]
    assert runs["settings"].tolist() == [{"batch size": 8}, {"batch size": 16}]
    assert runs["user"].unique().tolist() == ["ada"]
    assert runs["wall_seconds"].tolist() == pytest.approx([0.15, 0.15]), "by their timestamps they took no time"
    assert state_of(mlruns) == before


def test_a_metric_says_how_long_runs_took(mlruns, home):
    asked = {"quality": "test/accuracy", "sku": "aws/m5.large", "home": home}
    study = import_mlflow(str(mlruns), "Default", **asked, seconds_metric="seconds")
    runs, rate = study.runs(), study.runs()["usd_per_hour"].iloc[0]
    assert runs["wall_seconds"].tolist() == [60.0, 1800.0]
    assert runs["price_usd"].tolist() == pytest.approx([rate / 60, rate / 2])
    assert study.frontier()["price_usd"].tolist() == pytest.approx([rate / 60, rate / 2])
    with pytest.raises(RequestError, match="has logged 'second'; did you mean 'seconds'"):
        import_mlflow(str(mlruns), "Default", **asked, seconds_metric="second", name="other")


def test_a_broken_file_is_named_and_nothing_is_written(mlruns, home):
    path = mlruns / "0" / f"{1:032x}" / "metrics/test/accuracy"
    path.write_text("1790000000000 0.9 1\n17900000")
    with pytest.raises(RequestError, match=r"metrics/test/accuracy', line 2 is no value: '17900000'"):
        import_mlflow(str(mlruns), "Default", quality="test/accuracy", sku="aws/m5.large", home=home, name="broken")
    with pytest.raises(RequestError, match="has no experiment 'Defualt'; did you mean 'Default'"):
        import_mlflow(str(mlruns), "Defualt", quality="test/accuracy", sku="aws/m5.large", home=home)


def test_a_run_that_has_logged_more_keeps_its_trial(mlruns, home):
    asked = {"quality": "test/accuracy", "sku": "aws/m5.large", "home": home}
    import_mlflow(str(mlruns), "Default", **asked)
    first = mlruns / "0" / f"{0:032x}"
    (first / "metrics/test/accuracy").write_text(f"{STARTED_MS + 100} 0.8 0\n{STARTED_MS + 60_000} 0.95 1\n")
    study = import_mlflow(str(mlruns), "Default", **asked)
    runs = study.runs().set_index("trial")
    assert runs.loc[0, "quality"] == 0.95 and runs.loc[1, "quality"] == 0.9 and len(runs) == 2
    later = mlruns / "0" / f"{7:032x}"
    shutil.copytree(mlruns / "0" / f"{1:032x}", later)
    (later / "meta.yaml").write_text(
        RUN.format(id=later.name, start=STARTED_MS + 9_000_000, end=STARTED_MS + 9_000_150)
    )
    assert sorted(import_mlflow(str(mlruns), "Default", **asked).runs()["trial"]) == [0, 1, 2]
