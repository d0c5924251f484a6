"""A shell command is a workload: values reach it whole, its reports count, and nothing of it is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests.support.runs import assembled_run
from tracker.errors import StudyFileError, TrainingFailedError, WorkloadError
from tracker.records import Direction, QualityMetric
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.training.command_workload import CommandWorkload
from tracker.training.describe import describe_workload
from tracker.training.loading import load_workload
from tracker.training.meter import Meter
from tracker.training.precision import PRECISIONS
from tracker.training.run import Paused
from tracker.training.state import COMMAND_STATE_NAME

REPORT = """
import json, os, sys, time
def report(**fields):
    with open(os.environ["TRACKER_REPORT"], "a") as file:
        file.write(json.dumps(fields) + "\\n")
"""


REPORTS = """echo '{{"epoch": 1, "accuracy": 1}}' >> $TRACKER_REPORT"""


@pytest.fixture
def make_run(tmp_path):
    """Makes a run in a trial's folder, with the list that its events go to."""

    def make(**arguments):
        events = []
        defaults = {
            "settings": {"threads": 2, "precision": "fp32", **arguments.pop("settings", {})},
            "data": {},
            "data_card": None,
            "seed": 7,
            "device": torch.device("cpu"),
            "precision": PRECISIONS["fp32"],
            "cache": tmp_path,
            "artifacts": tmp_path / "artifacts",
            "quality": QualityMetric("accuracy", Direction.MAXIMIZE),
            "meter": Meter(asked_steady=time.monotonic(), cores=1),
            "write": lambda event, *fields: events.extend((event, each) for each in fields),
            "folder": tmp_path,
            "output": tmp_path / "1.log",
            "state_path": tmp_path / "state.pt",
        }
        return assembled_run(**{**defaults, **arguments}), events

    return make


@pytest.fixture
def script(tmp_path):
    """Writes a script, which has ``report``, and gives the workload that runs it with a command line after it."""

    def write(text, line=""):
        (tmp_path / "script.py").write_text(REPORT + textwrap.dedent(text))
        return load_workload(f"$ {{python}} script.py {line}  # in {tmp_path}")

    return write


def checkpoints(events):
    return [(fields["epoch"], fields["metrics"]) for event, fields in events if event == "checkpoint"]


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.01)


def lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


NASTY = ["two words", "it's", 'a "quote"', "$(touch broken)", "`touch broken`", "; touch broken", "🦊\n*", "-x\\", ""]


def test_values_reach_the_command_as_they_are_whatever_is_in_them(make_run, script, tmp_path):
    names = [f"name{number}" for number in range(len(NASTY))]
    line = " ".join(f"{{{name}}} --joined={{{name}}}" for name in names) + " {flag} {rate} {seed} {threads}"
    workload = script("json.dump(sys.argv[1:], open('arguments.json', 'w')); report(epoch=1, accuracy=0.5)", line)
    run, _ = make_run(settings={**dict(zip(names, NASTY, strict=True)), "flag": True, "rate": 1e-05})
    workload.train(run)
    written = (tmp_path / "arguments.json").read_text()
    expected = [text for value in NASTY for text in (value, f"--joined={value}")]
    assert json.loads(written) == [*expected, "true", "1e-05", "7", "2"]
    assert not (tmp_path / "broken").exists()


def test_the_names_in_braces_are_the_knobs():
    workload = load_workload("$ {python} train.py --lr {learning-rate} --on {device} {data_folder} ${{HOME}} {epochs}")
    assert list(workload.knobs) == ["learning-rate", "data_folder", "epochs"]
    assert {knob.kind for knob in workload.knobs.values()} == {"any"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "empty"),
        ("awk '{print $1}'", "not a name in braces; write a literal brace twice"),
        ("train {}", "not a name in braces"),
        ("train {rate:.3f}", "{rate:.3f} is not a name"),
        ("train {rate!r}", "{rate!r} is not a name"),
        ("train {data.source}", "{data.source} is not a name"),
        ("train {rate", "expected '}'"),
        ("train }", "Single '}'"),
        ("echo ${HOME}", "a variable of the shell's: write ${{HOME}}"),
        ("train --name '{name}'", "inside quotes (')"),
        ('train --name "is \\" {name}"', 'inside quotes (")'),
        ("train  # in /no/such/folder", "folder '/no/such/folder' does not exist"),
    ],
)
def test_a_command_that_cannot_be_right_is_reported(command, said):
    with pytest.raises(WorkloadError) as caught:
        load_workload(f"$ {command}")
    assert said in str(caught.value)


def study(tmp_path, **content):
    shown = {
        "name": "s",
        "command": "train --lr {rate} --epochs {epochs}",
        "quality": {"metric": "accuracy", "direction": "maximize"},
        "budget": {"trials": 1},
        "settings": {"epochs": 3},
        "space": {"rate": {"low": 1, "high": 8}},
        "data": {"source": "here", "anything": 3},
        **content,
    }
    document = StudyDocument("s.toml", {key: value for key, value in shown.items() if value is not None})
    document = document.anchored(tmp_path)
    return check_study(document, describe_workload(document.workload or ""))


def test_a_study_file_has_a_command_in_place_of_a_workload(tmp_path):
    spec = study(tmp_path)
    assert spec.workload == f"$ train --lr {{rate}} --epochs {{epochs}}  # in {tmp_path}"
    assert spec.fixed_settings == {"epochs": 3}
    assert spec.space["rate"].integer
    assert load_workload(spec.workload).folder == tmp_path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"settings": {}}, "command: {epochs} has no value; give it one under [settings] or search it in [space]"),
        ({"settings": {"epochs": 3, "epoch": 3}}, "settings.epoch: unknown key; did you mean 'epochs'?"),
        ({"quality": {"metric": "accuracy"}}, "quality.direction: missing"),
        ({"quality": {"metric": "price_usd", "direction": "minimize"}}, "the tracker measures this itself"),
        ({"workload": "module:name"}, "command: there is a workload too"),
        ({"command": None, "folder": "x"}, "workload: missing; name the training code as module:name"),
        ({"command": ["train", "{rate}"]}, "command: ['train', '{rate}'] is not a text"),
        ({"command": "train {rate} '{epochs}'"}, "command: {epochs} is inside quotes"),
        ({"folder": 3}, "folder: 3 is not a text"),
    ],
)
def test_what_is_wrong_with_a_study_of_a_command_is_reported(content, said, tmp_path):
    with pytest.raises(StudyFileError) as caught:
        study(tmp_path, **content)
    assert said in str(caught.value)


def test_a_folder_is_looked_for_beside_the_study_file(tmp_path):
    (tmp_path / "code").mkdir()
    assert load_workload(study(tmp_path, folder="code").workload).folder == tmp_path / "code"


def test_json_lines_are_checkpoints_and_figures_about_the_whole_run(make_run, script):
    workload = script(
        """
        report(epoch=1, accuracy=0.5, loss=2)
        report(parameters=10)
        time.sleep(2)
        report(epoch=4, accuracy=0.75)
        open(os.environ["TRACKER_REPORT"], "a").write('{"test_accuracy": 0.7}')  # no newline after the last one
        """
    )
    run, events = make_run()
    workload.train(run)
    assert checkpoints(events) == [(1, {"accuracy": 0.5, "loss": 2.0}), (4, {"accuracy": 0.75})]
    assert run.summary == {"parameters": 10.0, "test_accuracy": 0.7}
    usages = [fields["usage"] for event, fields in events if event == "checkpoint"]
    assert usages[1].wall_seconds > usages[0].wall_seconds + 0.2, "the first one was reported while it went on"
    assert events[0][0] == "ready"


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        ("not json", "bad_report", "not a JSON object, in the line not json"),
        ("[1, 2]", "bad_report", "not a JSON object"),
        ('{"epoch": 1}', "bad_report", 'epoch 1 reports no accuracy; it reports nothing, in the line {"epoch": 1}'),
        ('{"epoch": "1", "accuracy": 0.5}', "bad_report", "epoch '1' is not a whole number"),
        ('{"epoch": 1, "accuracy": "good"}', "bad_report", "accuracy is 'good', which is not a number"),
        ('{"epoch": -1, "accuracy": 0.5}', "bad_report", "epoch -1 is not a whole number of at least 0"),
        ('{"epoch": 1, "accuracy": NaN}', "not_finite", "accuracy is nan"),
        ("\\udcff", "bad_report", "not a JSON object"),
    ],
)
def test_a_line_that_makes_no_sense_fails_the_trial_and_is_quoted(make_run, script, line, reason, said):
    text = "open(os.environ['TRACKER_REPORT'], 'a', errors='surrogateescape').write(%r + '\\n'); time.sleep(30)"
    run, _ = make_run()
    with pytest.raises(TrainingFailedError) as caught:
        script(text % line if "udcff" not in line else text.replace("%r", f"'{line}'")).train(run)
    assert caught.value.reason == reason
    assert said in str(caught.value)


def test_what_is_no_finite_number_beside_the_quality_is_left_out_and_noted(make_run, script):
    run, events = make_run(declared_metrics=frozenset({"f1"}))
    script(
        """
        report(epoch=0, accuracy=0.5, loss=float("nan"), price_usd=3, comment="fine", self=1)
        report(epoch=20.0, accuracy=0.6, loss=0.5)
        report(test_loss=float("nan"), worst=float("inf"), best=0.6)
        """
    ).train(run)
    assert checkpoints(events) == [(0, {"accuracy": 0.5, "self": 1.0}), (20, {"accuracy": 0.6, "loss": 0.5})]
    assert run.summary == {"best": 0.6}
    notes = [fields["message"] for event, fields in events if event == "note"]
    for name in ("loss", "price_usd", "comment", "f1", "test_loss", "worst"):
        assert len([note for note in notes if f"'{name}'" in note]) == 1, name


@pytest.mark.parametrize("needed", ["f1", "recall"])
def test_what_a_study_needs_beside_quality_fails_a_trial_where_it_is_no_number(make_run, script, needed):
    run, _ = make_run(needed_metrics=frozenset({needed}))
    with pytest.raises(TrainingFailedError, match=f"{needed} is nan after epoch 1") as caught:
        script(f"report(epoch=1, accuracy=0.5, {needed}=float('nan'))").train(run)
    assert caught.value.reason == "not_finite"


def test_a_report_file_that_is_written_anew_is_reported(make_run, script):
    workload = script(
        """
        for epoch, accuracy in (1, 0.123456), (2, 0.5):
            open(os.environ["TRACKER_REPORT"], "w").write(json.dumps({"epoch": epoch, "accuracy": accuracy}) + "\\n")
            time.sleep(1)
        """
    )
    with pytest.raises(TrainingFailedError, match="cut short; open it to append"):
        workload.train(make_run()[0])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo all is well; echo '  the last straw 🦊' >&2; exit 3", "ended with exit code 3: the last straw 🦊"),
        ("exit 4", "ended with exit code 4"),
        ("echo first; kill -KILL $$", "was killed by SIGKILL: first"),
        ("sh -c 'kill -SEGV $$'; exit $?", "was killed by SIGSEGV"),
        ("no-such-program-here", "exit code 127: .*no-such-program-here"),
    ],
)
def test_a_command_that_fails_is_reported_with_the_last_thing_it_said(make_run, tmp_path, command, said):
    (tmp_path / "1.log").write_text("printed before by another\n")
    with pytest.raises(TrainingFailedError, match=said) as caught:
        load_workload(f"$ {command}  # in {tmp_path}").train(make_run()[0])
    assert caught.value.reason == "command_failed"
    assert "printed before" not in str(caught.value)


def test_what_was_reported_before_a_failure_counts_and_a_torn_line_does_not(make_run, script):
    workload = script(
        """
        report(epoch=1, accuracy=0.5)
        open(os.environ["TRACKER_REPORT"], "a").write('{"epoch": 2, "accu')
        raise SystemExit("out of paper")
        """
    )
    run, events = make_run()
    with pytest.raises(TrainingFailedError, match="exit code 1: out of paper"):
        workload.train(run)
    assert [epoch for epoch, _ in checkpoints(events)] == [1]


def test_a_command_that_says_nothing_has_failed(make_run, tmp_path):
    database = tmp_path / "mlflow.db"
    with pytest.raises(TrainingFailedError, match=r"no JSON line .* logged 'accuracy'") as caught:
        load_workload(f"$ true  # in {tmp_path}").train(make_run(tracking_uri=f"sqlite:///{database}")[0])
    assert caught.value.reason == "no_report"
    database.write_text("this is not a database, whatever its name says")
    with pytest.raises(TrainingFailedError, match=r"MLflow database .* cannot be read"):
        load_workload(f"$ true  # in {tmp_path}").train(make_run(tracking_uri=f"sqlite:///{database}")[0])


def test_the_environment_tells_the_command_what_it_needs(make_run, script, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "of another")
    workload = script("json.dump(dict(os.environ), open('environment.json', 'w')); report(epoch=1, accuracy=1)")
    data = {"source": "a b", "max-rows": 3, "clean": True, "columns": ["a", "b"]}
    uri = f"sqlite:///{tmp_path / 'the home.db'}"
    run, _ = make_run(data=data, tracking_uri=uri, label="digits #0 1", study="digits", processes=2)
    workload.train(run)
    shown = json.loads((tmp_path / "environment.json").read_text())
    expected = {
        "TRACKER_SEED": "7",
        "TRACKER_DEVICE": "cpu",
        "TRACKER_THREADS": "2",
        "OMP_NUM_THREADS": "1",
        "TRACKER_PRECISION": "fp32",
        "TRACKER_ARTIFACTS": str(tmp_path / "artifacts"),
        "CUDA_VISIBLE_DEVICES": "",
        "TRACKER_DATA_SOURCE": "a b",
        "TRACKER_DATA_MAX_ROWS": "3",
        "TRACKER_DATA_CLEAN": "true",
        "TRACKER_DATA_COLUMNS": '["a", "b"]',
        "TRACKER_STATE": str(tmp_path / COMMAND_STATE_NAME),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",  # never the one that the books are kept in
        "MLFLOW_EXPERIMENT_NAME": "digits (by its command)",
    }
    assert {name: shown.get(name) for name in expected} == expected
    assert "MLFLOW_RUN_ID" not in shown
    assert json.loads(shown["MLFLOW_RUN_CONTEXT"])["tracker.attempt"] == "digits #0 1"
    assert Path(shown["TRACKER_ARTIFACTS"]).is_dir()
    assert not Path(shown["TRACKER_REPORT"]).exists(), "its lines are events by now"
    assert not (tmp_path / "none.db").exists(), "to look for a database must not make it"


@pytest.mark.parametrize(("visible", "seen"), [(None, "0,2"), ("4,GPU-b,6", "4,6")])
def test_a_command_sees_the_gpus_that_are_reserved_for_it(make_run, tmp_path, monkeypatch, visible, seen):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run, _ = make_run(accelerators=(0, 2))
    load_workload(f"$ echo $CUDA_VISIBLE_DEVICES > gpus; {REPORTS}  # in {tmp_path}").train(run)
    assert (tmp_path / "gpus").read_text().strip() == seen


def test_only_the_first_of_several_processes_starts_the_command(make_run, tmp_path):
    CommandWorkload(f"$ touch started  # in {tmp_path}").train(make_run(rank=1, processes=2)[0])
    assert not (tmp_path / "started").exists()


class Stop(BaseException):
    """Stands for what a worker raises in its main thread when it is asked to stop."""


@pytest.fixture
def stop_when(monkeypatch):
    """Has the main thread stopped by a signal once a file is there."""

    def stop(number, frame):
        if path.exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Stop

    path = Path("/nowhere")
    before = signal.signal(signal.SIGALRM, stop)

    def arm(given):
        nonlocal path
        path = given
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)

    yield arm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


HANGS = """
import subprocess, signal
child = subprocess.Popen([sys.executable, "-c", {child!r}])
stray = subprocess.Popen(["sleep", "60"], start_new_session=True)
while not os.path.exists("child-ready"):
    time.sleep(0.01)
open("pids.partial", "w").write(f"{{os.getpid()}} {{child.pid}} {{stray.pid}}")
os.rename("pids.partial", "pids")
time.sleep(60)
"""
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('child-ready', 'w'); time.sleep(60)"
OBEYS = "import time; open('child-ready', 'w'); time.sleep(60)"


@pytest.mark.parametrize(("child", "grace_seconds"), [(OBEYS, 600.0), (IGNORES, 0.5)])
def test_a_stop_ends_a_hanging_command_and_all_that_it_started(
    make_run, script, tmp_path, stop_when, child, grace_seconds, monkeypatch
):
    monkeypatch.setattr("tracker.training.command_process.GRACE_SECONDS", grace_seconds)  # not waited for if obeyed
    workload = script(HANGS.format(child=child))
    stop_when(tmp_path / "pids")
    with pytest.raises(Stop):
        workload.train(make_run()[0])
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(map(lives, pids)), 30.0)


def test_what_a_command_leaves_running_in_its_group_ends_with_it(make_run, tmp_path):
    load_workload(f"$ sleep 60 & echo $! > pid; {REPORTS}  # in {tmp_path}").train(make_run()[0])
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not lives(pid), 30.0)


def test_a_command_that_waits_for_all_its_children_ends(make_run, script):
    workload = script(
        "report(epoch=1, accuracy=1)\nwhile True:\n    try: os.wait()\n    except ChildProcessError: break"
    )
    workload.train(make_run()[0])


WORKER = """
import os, pathlib, sys, time
from tracker.training.command_process import CommandProcess
with CommandProcess("sleep 60 & echo $! > pid; wait", pathlib.Path(sys.argv[1]), dict(os.environ), None):
    time.sleep(60)
"""


def test_no_command_outlives_a_worker_that_is_killed(tmp_path):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)])
    try:
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
        pid = int((tmp_path / "pid").read_text())
        assert lives(pid)
    finally:
        worker.kill()
        worker.wait()
    wait_for(lambda: not lives(pid), 30.0)


RESUMABLE = """
state, done = os.environ["TRACKER_STATE"], 0
if os.path.exists(state):
    done = json.load(open(state))
last = int(os.environ["TRACKER_DATA_WAITS_AFTER"])
for epoch in range(done + 1, 5):
    while epoch > last:
        time.sleep(1)
    open(state + ".partial", "w").write(str(epoch))
    os.rename(state + ".partial", state)
    report(epoch=epoch, accuracy=epoch / 10)
"""


def waits_after(epoch):
    """What has RESUMABLE wait for its end after an epoch: however slow the machine is, it is asked to pause there."""
    return {"waits_after": epoch}


def test_a_command_that_keeps_its_state_is_paused_and_resumed(make_run, script):
    first, reported_first = make_run(pause_after_epoch=2, data=waits_after(2))
    with pytest.raises(Paused):
        script(RESUMABLE).train(first)
    assert [epoch for epoch, _ in checkpoints(reported_first)] == [1, 2]
    second, shown = make_run(data=waits_after(4))
    script(RESUMABLE).train(second)
    assert ("restored", {"epoch": 2}) in shown
    assert [epoch for epoch, _ in checkpoints(shown)] == [3, 4]


def test_epochs_that_are_trained_again_after_a_pause_are_not_reported_twice(make_run, script):
    with pytest.raises(Paused):
        script(RESUMABLE).train(make_run(pause_after_epoch=3, data=waits_after(3))[0])
    forgetful = RESUMABLE.replace("json.load(open(state))", "1")
    run, shown = make_run(data=waits_after(4))
    script(forgetful).train(run)
    assert [epoch for epoch, _ in checkpoints(shown)] == [4]


def test_what_is_at_its_last_epoch_ends_there_and_is_not_paused(make_run, script):
    with pytest.raises(Paused):
        script(RESUMABLE).train(make_run(pause_after_epoch=3, own_last_epoch=4, data=waits_after(3))[0])
    last, shown = make_run(pause_after_epoch=4, own_last_epoch=4, data=waits_after(4))
    script(RESUMABLE).train(last)
    assert [epoch for epoch, _ in checkpoints(shown)] == [4]


def test_a_command_without_a_state_is_not_paused(make_run, script):
    run, shown = make_run(pause_after_epoch=1)
    script("report(epoch=1, accuracy=0.1); time.sleep(0.3); report(epoch=2, accuracy=0.2)").train(run)
    assert [epoch for epoch, _ in checkpoints(shown)] == [1, 2]
