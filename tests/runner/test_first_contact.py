"""Training code in other people's habits: what it costs, how it ends and what it reports comes out right."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.support.command import tracker
from tests.support.interrupts import ctrl_c_after, once
from tracker import open_study, resume_study, run_study

RESUMABLE = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def train(run, epochs: int = 4):
    state = run.restore() or {"done": 0}
    for epoch in range(state["done"] + 1, epochs + 1):
        while epoch > 2 and not (HERE / "go on").exists():
            time.sleep(0.05)
        run.report(epoch, score=epoch / 10)
        run.save({"done": epoch})
"""


class Observed:
    """Keeps what a study says."""

    def __init__(self):
        self.messages = []

    def notify(self, message):
        self.messages.append(message)

    def ended(self, attempt):
        pass

    def show(self, progress):
        pass


def study_of(folder, code, **tables):
    (folder / "theirs.py").write_text(textwrap.dedent(code))
    return {
        "name": "theirs",
        "workload": f"{folder / 'theirs.py'}:train",
        "quality": {"metric": "score", "direction": "maximize"},
        "strategy": "optuna",
        "budget": {"trials": 1},
        "pricing": {"sku_cpu": "aws/m7i.xlarge"},
        "settings": {"threads": 1, "precision": "fp32"},
        "space": {"rate": [0.1]},
        **tables,
    }


def trials_of(study):
    return study.runs().query("role == 'trial'").sort_values("trial").to_dict("records")


def attempts_of(home, trial=0):
    logs = sorted(Path(home).glob(f"studies/*/trials/{trial}/*.jsonl"))
    return [[json.loads(line) for line in log.read_text().splitlines()] for log in logs]


def restored_in(home, attempt):
    return lambda: any(
        '"restored"' in log.read_text() for log in Path(home).glob(f"studies/*/trials/0/{attempt}.jsonl")
    )


@pytest.fixture
def study(tmp_path):
    return study_of(tmp_path, RESUMABLE, space={"epochs": [4]})


def test_an_attempt_that_ends_before_a_deeper_checkpoint_counts_in_every_view(study, tmp_path):
    with ctrl_c_after(tmp_path, 2):
        run_study(study, home=tmp_path)
    with once(restored_in(tmp_path, 2)):
        stopped = resume_study("theirs", home=tmp_path)
    (first, second), (trial,) = attempts_of(tmp_path), trials_of(stopped)
    assert not [event for event in second if event["event"] == "checkpoint" and event["epoch"] > 2]
    walls = [events[-1]["usage"]["wall_seconds"] for events in (first, second)]
    price_usd = sum(walls) / 3600 * trial["usd_per_hour"] / 4
    assert trial["price_usd"] == pytest.approx(price_usd)
    assert stopped.spend_usd == pytest.approx(stopped.runs()["price_usd"].sum())
    assert json.loads(tracker("status", "theirs", "--json", home=tmp_path).stdout)["spend_usd"] == pytest.approx(
        stopped.spend_usd
    )
    logged = MlflowClient(stopped.home.tracking_uri).get_run(trial["run_id"]).data.metrics
    assert logged["price_usd"] == pytest.approx(price_usd), "MLflow's own pages show the latest step"
    (tmp_path / "go on").touch()
    finished = resume_study("theirs", home=tmp_path)
    walls.append(attempts_of(tmp_path)[2][-1]["usage"]["wall_seconds"])
    assert trials_of(finished)[0]["price_usd"] == pytest.approx(sum(walls) / 3600 * trial["usd_per_hour"] / 4)
    assert list(finished.checkpoints().query("role == 'trial'").sort_values("epoch")["epoch"]) == [1, 2, 3, 4]


def test_code_that_no_longer_fits_the_states_stops_the_study_and_keeps_them(study, tmp_path):
    with ctrl_c_after(tmp_path, 2):
        run_study(study, home=tmp_path)
    code = (tmp_path / "theirs.py").read_text()
    (tmp_path / "theirs.py").write_text(code.replace('state["done"]', 'state["epoch"]'))
    (tmp_path / "go on").touch()
    shown = Observed()
    failed = resume_study("theirs", home=tmp_path, observer=shown)
    assert failed.table().state == "failed"
    assert "theirs.py changed since the state after epoch" in shown.messages[-1]
    assert "KeyError: 'epoch'" in shown.messages[-1]
    (trial,) = trials_of(failed)
    assert (trial["state"], trial["reason"]) == ("paused", "code_changed")
    (tmp_path / "theirs.py").write_text(code)
    finished = resume_study("theirs", home=tmp_path)
    (trial,) = trials_of(finished)
    assert (trial["state"], trial["attempts"], trial["quality"]) == ("completed", 3, 0.4)


def test_a_paused_trial_keeps_its_files_until_it_ends_for_good(tmp_path):
    code = """
    import time

    def train(run, rate: float = 0.1, epochs: int = 4):
        state, vocabulary = run.restore(), run.artifact("vocabulary.txt")
        if state is None:
            vocabulary.write_text("a b c")
        assert vocabulary.read_text() == "a b c"
        for epoch in range(state["epoch"] + 1 if state else 1, epochs + 1):
            run.report(epoch, score=rate * (1 - 0.5**epoch))
            for _ in range(0 if state else 50):  # however slow the machine is, there is time to ask for a pause
                time.sleep(0 if run.pause_asked else 0.1)
            run.save({"epoch": epoch})
        vocabulary.write_text(f"of rate {rate}")
    """
    space = {"rate": {"low": 0.1, "high": 1.0}}
    study = run_study(
        study_of(tmp_path, code, strategy="frontier", budget={"trials": 10}, space=space), home=tmp_path, workers=1
    )
    trials = trials_of(study)
    assert {trial["state"] for trial in trials} <= {"completed", "stopped", "paused"}, [t["message"] for t in trials]
    assert max(trial["attempts"] for trial in trials) > 1
    left = {path.parent.parent.name for path in tmp_path.glob("studies/*/trials/*/artifacts/vocabulary.txt")}
    assert left == {str(trial["trial"]) for trial in trials if trial["state"] == "paused"}


FAILING = {
    "an error": ("def train(run, rate: float = 0.1):\n    raise ValueError('no data at ' + str(rate))", "no data at"),
    "an exit": ("import sys\ndef train(run, rate: float = 0.1):\n    sys.exit('no data')", "no data"),
    "no report": ("def train(run, rate: float = 0.1):\n    pass", "without a report"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "said"), FAILING.values(), ids=FAILING.keys())
def test_where_all_trials_fail_alike_the_study_stops_and_says_why(tmp_path, code, said):
    space = {"rate": {"low": 0.1, "high": 1.0}}
    shown = Observed()
    study = run_study(
        study_of(tmp_path, code, budget={"trials": 20}, space=space), home=tmp_path, workers=1, observer=shown
    )
    assert study.table().state == "failed"
    assert len(trials_of(study)) == 3
    assert shown.messages[-1].startswith("failed: 3 trials failed in the same way") and said in shown.messages[-1]


def test_a_study_whose_only_trial_failed_has_failed_and_the_command_exits_with_1(tmp_path):
    (tmp_path / "study.toml").write_text(
        'name = "theirs"\ncommand = "no-such-python train.py"\nquality = { metric = "score", direction = "maximize" }\n'
        'budget = { trials = 1 }\npricing = { sku_cpu = "aws/m7i.xlarge" }\nspace = { seed = [1] }\n'
    )
    ran = tracker("run", str(tmp_path / "study.toml"), "--yes", home=tmp_path)
    assert ran.returncode == 1
    assert "no-such-python: not found; {python} in a command is the Python that the tracker runs in" in ran.stderr
    assert open_study("theirs", home=tmp_path).table().state == "failed"


ODD = ("recall@5", "mAP50-95(B)", "f1 %", "a//b", "../up", "ünïcode", "x" * 300, "<b>&'\"", "🦊")


def test_any_name_can_be_reported_and_is_shown_as_its_own(tmp_path):
    code = f"""
    def train(run, rate: float = 0.1):
        import argparse
        argparse.ArgumentParser().parse_args()
        run.report(1, **{{name: index / 10 for index, name in enumerate({ODD!r})}})
        run.conclude(**{{"test recall@5": 0.5}})
    """
    content = study_of(tmp_path, code, quality={"metric": "recall@5", "direction": "maximize"})
    content["limits"] = {"mAP50-95(B)": {"min": 0.05}}
    content["search"] = {"objectives": ["price_usd", {"metric": "f1 %", "direction": "maximize"}]}
    shown = Observed()
    study = run_study(content, home=tmp_path, observer=shown)
    assert any(line.startswith("'recall@5' is 'recall_5-80191039' in MLflow") for line in shown.messages)
    (trial,) = trials_of(study)
    assert trial["state"] == "completed", trial["message"]
    assert trial["price_usd"] > 0
    assert trial["summary"]["test recall@5"] == 0.5
    (point,) = study.frontier().to_dict("records")
    assert point["quality"] == 0.0
    (checkpoint,) = study.checkpoints().query("role == 'trial'").to_dict("records")
    metrics, at = study.table().metrics, checkpoint["run"]
    at = int((study.checkpoints()["run"] == at).to_numpy().argmax())
    assert {name: metrics[name][at] for name in ODD} == {name: i / 10 for i, name in enumerate(ODD)}
    assert study.frontier_document()["quality"]["name"] == "recall@5"
    for path in study.report(tmp_path / "report"):
        assert path.stat().st_size
