"""Folders of real event files are imported: each step with the quality is a price point, and the files stay."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tracker import import_tensorboard
from tracker.errors import RequestError
from tracker.imports.tensorboard import TensorboardRuns
from tracker.store.home import Home

SKU = "aws/p4d.24xlarge"


@pytest.fixture
def home(tmp_path):
    put_mlflow_database(tmp_path / "home")
    return Home(tmp_path / "home")


def write(folder, *, every_seconds=60.0, new_style=False, suffix="", **metrics):
    """A run's folder as a script leaves it, values at steps 1, 2, …; returns when its first event was written."""
    before = set(folder.glob("*"))
    writer = SummaryWriter(folder, filename_suffix=suffix)
    writer.flush()
    (path,) = set(folder.glob("*tfevents*")) - before
    start = next(iter(LegacyEventFileLoader(str(path)).Load())).wall_time
    for name, values in metrics.items():
        for step, value in enumerate(values, 1):
            writer.add_scalar(name, value, step, walltime=start + step * every_seconds, new_style=new_style)
    writer.close()
    return start


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_names(folder, quality):
    return sorted(TensorboardRuns(folder, quality).versions())


def test_each_step_with_the_quality_is_a_price_point(tmp_path, home):
    logs = tmp_path / "logs"
    start = write(logs / "a", val_acc=[0.5, 0.7, 0.75], loss=[3.0, 2.0, 1.0])
    write(logs / "group" / "b", every_seconds=30.0, val_acc=[0.6, 0.65])
    before = contents(logs)
    words = ("import", "tensorboard", logs, "--quality", "val_acc", "--sku", SKU, "--share", "1/8")
    done = tracker(*words, home=home.path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("study 'logs': 2 runs added")
    assert contents(logs) == before
    assert tracker(*words, home=home.path).stdout.startswith("study 'logs': nothing new in 2 runs")
    table = import_tensorboard(logs, quality="val_acc", home=home.path, sku=SKU, share="1/8").table()
    assert list(table.runs["label"]) == ["a", "group/b"]
    assert list(table.runs["wall_seconds"]) == pytest.approx([180.0, 60.0], abs=0.01)
    points = table.checkpoints[table.checkpoints["trial"] == 0]
    assert list(points["epoch"]) == [1, 2, 3]
    assert list(points["quality"]) == [0.5, 0.7, 0.75]
    assert list(points["wall_seconds"]) == pytest.approx([60, 120, 180], abs=0.01)
    assert table.runs["started_at"].iloc[0] == pytest.approx(start, abs=0.01)


def test_again_new_runs_are_added_and_longer_ones_updated(tmp_path, home):
    logs = tmp_path / "logs"
    write(logs / "a", acc=[0.5])
    write(logs / "b", acc=[0.5])
    import_tensorboard(logs, quality="acc", home=home.path, sku=SKU, name="again")
    write(logs / "b", acc=[0.5, 0.9], suffix=".resumed")
    write(logs / "c", acc=[0.6])
    words = ("import", "tensorboard", logs, "--quality", "acc", "--sku", SKU, "--name", "again")
    assert tracker(*words, home=home.path).stdout.startswith("study 'again': 1 run added, 1 updated, 1 unchanged")


def test_keras_train_and_validation_are_one_run(tmp_path, home):
    logs = tmp_path / "logs"
    for run in ("fit-1", "fit-2"):
        write(logs / run / "train", new_style=True, epoch_accuracy=[0.5, 0.9], epoch_loss=[2.0, 1.0])
        write(logs / run / "validation", new_style=True, epoch_accuracy=[0.4, 0.8])
    write(logs / "killed" / "train", new_style=True, epoch_accuracy=[0.5])
    quality = "validation/epoch_accuracy"
    table = import_tensorboard(logs, quality=quality, home=home.path, sku=SKU).table()
    assert list(table.runs["label"]) == ["fit-1", "fit-2", "killed"]
    assert table.checkpoints["quality"].tolist() == [0.4, 0.8, 0.4, 0.8]
    assert "train/epoch_accuracy" in table.metrics.names
    assert run_names(logs / "fit-1", quality) == ["."]
    with pytest.raises(RequestError, match=r"no run of .* has logged 'epoch_accuracy'; did you mean '"):
        import_tensorboard(logs, quality="epoch_accuracy", home=home.path, sku=SKU, name="wrong")


def test_hyperparameters_beside_a_run_are_its_settings(tmp_path):
    for run, rate in (("a", 0.1), ("b", 0.2)):
        write(tmp_path / run, acc=[0.5, 0.6])
        with SummaryWriter(tmp_path / run) as writer:
            settings = {"rate": rate, "layers": 3, "kind": "wide", "fast": True}
            writer.add_hparams(settings, {"acc": 0.6, "hparam/best": 0.6})
    source = TensorboardRuns(tmp_path, "acc")
    assert set(source.versions()) == {"a", "b"}
    past = source.read(["a", "b"])
    assert past.settings == [{"rate": rate, "layers": 3, "kind": "wide", "fast": True} for rate in (0.1, 0.2)]
    assert type(past.settings[0]["layers"]) is int
    assert past.values.groupby(["run", "metric"]).size().to_dict() == {
        (run, metric): count for run in (0, 1) for metric, count in (("acc", 2), ("hparam/best", 1))
    }


def test_folders_below_a_run_are_part_of_it_unless_they_logged_the_quality(tmp_path):
    write(tmp_path, acc=[0.1])
    write(tmp_path / "loss_train", loss=[0.1])
    write(tmp_path / "sweep" / "1", acc=[0.2])
    write(tmp_path / "sweep" / "1" / "lr", lr=[0.2])
    source = TensorboardRuns(tmp_path, "acc")
    assert sorted(source.versions()) == [".", "sweep/1"]
    assert sorted(source.metric_names()) == ["acc", "loss_train/loss", "lr/lr"]
    past = source.read(["."])
    assert list(past.runs["name"]) == [tmp_path.name]
    assert past.tags[0]["folder"] == tmp_path.name
    assert past.tags[0]["host"]


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path, home):
    logs = tmp_path / "logs"
    write(logs / "killed", acc=[0.5, 0.6, 0.7])
    write(logs / "damaged", acc=[0.5, 0.6, 0.7])
    (cut,), (damaged,) = ((logs / name).iterdir() for name in ("killed", "damaged"))
    cut.write_bytes(cut.read_bytes()[:-5])
    damaged.write_bytes(damaged.read_bytes()[:-60] + bytes(60))
    (logs / "killed" / "events.out.tfevents.1.host.2.0").touch()
    done = tracker("import", "tensorboard", logs, "--quality", "acc", "--sku", SKU, home=home.path)
    assert done.returncode == 0, done.stderr
    assert f"1 event file cut off within a record, read up to there: killed/{cut.name}" in done.stderr
    assert f"1 event file damaged, read up to there: damaged/{damaged.name}" in done.stderr
    source = TensorboardRuns(logs, "acc")
    past = source.read(["killed", "damaged"])
    assert list(past.runs["state"]) == ["stopped", "completed"]
    values = [past.values[past.values["run"] == run]["value"].tolist() for run in (0, 1)]
    assert values[0] == [0.5, 0.6]
    assert values[1][:1] == [0.5]
    assert len(values[1]) < 3


def test_bad_input_is_said_in_a_line_and_nothing_is_made(tmp_path, home):
    def refused(folder, quality="acc"):
        done = tracker("import", "tensorboard", folder, "--quality", quality, "--sku", SKU, home=home.path)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert len(done.stderr.splitlines()) <= 2
        return done.stderr

    logs, empty, text = tmp_path / "logs", tmp_path / "empty", tmp_path / "text"
    write(logs / "a", acc=[0.5])
    empty.mkdir()
    text.mkdir()
    (text / "events.out.tfevents.1.host").write_text("step,loss\n1,0.5\n2,0.25\n")
    assert "there is no folder" in refused(tmp_path / "none")
    assert "there is no folder" in refused(next((logs / "a").iterdir()))
    assert "there is no event file of TensorBoard's" in refused(empty)
    assert "is no event file of TensorBoard's" in refused(text)
    assert "did you mean 'acc'" in refused(logs, "accc")
    writer = SummaryWriter(empty)
    writer.close()
    assert "has no runs to import" in refused(empty)
    assert not home.path.joinpath("logs").exists()
