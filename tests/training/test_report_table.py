"""A command reports by what it prints, by event files or by a csv log, as the table [report] says; real commands."""

from __future__ import annotations

import math
import re

import pytest
from torch.utils.tensorboard import SummaryWriter

from tests.conftest import ROOT
from tests.training.test_command_workload import checkpoints, make_run, script  # noqa: F401 - fixtures
from tracker.errors import StudyFileError, TrainingFailedError
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.study.report_table import ReportTable
from tracker.training.describe import describe_workload
from tracker.training.log_sources import CsvSource, TensorboardSource
from tracker.training.pickup import Pickup
from tracker.training.printed_source import PrintedLines, PrintedSource

NAN = pytest.approx(math.nan, nan_ok=True)
NANOGPT = {"accuracy": "val loss ([0-9.]+)", "train_loss": "train loss ([0-9.]+)"}
NUMBER = r"([-+0-9.,einfa]+)"


class Printed:
    """A file that is printed to, and the checkpoints that are picked up from it."""

    def __init__(self, path, expressions, pattern="", counted=0, **known):
        self.path = path
        self.notes = []
        lines = PrintedLines(path)
        self.source = PrintedSource(lines, expressions, pattern, "accuracy", self.notes.append, counted)
        self.pickup = Pickup(self.source, "accuracy", self.notes.append, **known)

    def __call__(self, text=b"", last=True):
        with self.path.open("ab") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        self.pickup._next_look = 0.0
        return [(found.epoch, dict(found.metrics)) for found in self.pickup.look(last=last)]


@pytest.fixture
def printed(tmp_path):
    return lambda expressions, *rest, **known: Printed(tmp_path / "out", expressions, *rest, **known)


def test_a_value_belongs_to_the_last_step_that_was_printed_before_it_or_on_its_line(printed):
    look = printed({**NANOGPT, "speed": "mfu ([0-9.]+)%"}, "step ([0-9]+)")
    text = "val loss 9\nstep 0: train loss 4.2, val loss 4.3\nmfu 1.5%\nstep 250: train loss"
    assert look(text, last=False) == []
    assert look(" 3.1, val loss 3.2\nmfu 2%\n", last=False) == [(0, {"train_loss": 4.2, "accuracy": 4.3, "speed": 1.5})]
    assert look("step 300\nval loss 3") == [
        (250, {"train_loss": 3.1, "accuracy": 3.2, "speed": 2.0}),
        (300, {"accuracy": 3.0}),
    ]
    assert not look.notes


def test_without_a_step_each_value_of_the_quality_is_one_with_what_came_before_it(printed):
    look = printed({"accuracy": f"acc={NUMBER}", "loss": f"loss={NUMBER}"})
    assert look("loss=3\nloss=2\nacc=0.5 loss=1\nloss=0.9\nacc=0.6\n") == [
        (1, {"loss": 1.0, "accuracy": 0.5}),
        (2, {"loss": 0.9, "accuracy": 0.6}),
    ]


def test_a_resumed_command_counts_on(printed):
    look = printed({"accuracy": f"acc={NUMBER}"}, counted=3, epoch=3, step=3)
    assert look("acc=0.7\n") == [(4, {"accuracy": 0.7})]
    look = printed(NANOGPT, "step ([0-9]+)", epoch=250, step=250)
    assert look("step 250: val loss 2\nstep 500: val loss 1\n") == [(500, {"accuracy": 1.0})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("acc=1e-3", 1e-3),
        ("acc=1,234.5", 1234.5),
        ("acc=inf", math.inf),
        ("acc=nan", NAN),
        ("\x1b[32macc=\x1b[1m0.5\x1b[0m", 0.5),
        (" 10%|▏ | acc=0.1\r 50%|▌ | acc=0.2\r", 0.2),
        (b"\xff\xfe acc=0.5 \x80", 0.5),
        ("acc=0.5" + "x" * 300_000, 0.5),
        ("a" * 300_000 + "\nacc=0.5\r\n", 0.5),
    ],
)
def test_lines_as_programs_print_them(text, value, printed):
    look = printed({"accuracy": f"acc={NUMBER}"}, "")
    assert look(text)[-1][1] == {"accuracy": value}


def test_a_step_that_falls_adds_nothing_and_that_is_said(printed):
    look = printed({"accuracy": "val loss ([0-9.]+)"}, "step ([0-9.]+)")
    text = "step 5 val loss 1\nstep 3 val loss 2\nstep 0.5\nstep 6 val loss 3\n"
    assert look(text) == [(5, {"accuracy": 1.0}), (6, {"accuracy": 3.0})]
    assert "took '0.5', which is not a whole number" in look.notes[0]
    assert "at a step before the last one" in look.notes[-1]


def test_what_matched_nothing_is_reported_with_the_last_lines(printed):
    look = printed(NANOGPT, "step ([0-9]+)")
    assert look() == []
    assert look.pickup.missing == "it printed nothing for the expressions of [report] to match"
    look("one\ntwo\nEpoch 1\nloss: 3\n")
    assert look.pickup.missing == (
        "the expression for 'accuracy', 'val loss ([0-9.]+)', and the expression for 'step', 'step ([0-9]+)', "
        "matched nothing that it printed; its last lines: two / Epoch 1 / loss: 3"
    )


def test_a_quality_that_is_no_number_fails_and_another_metric_is_left_out(printed):
    look = printed({"accuracy": "acc=(.+)", "loss": r"loss=(\w+)"})
    look("loss=low\n")
    assert "took 'low', which is not a number: such a value is left out" in look.notes[0]
    with pytest.raises(TrainingFailedError, match=r"took 'good', which is not a number, from the line acc=good"):
        look("acc=good\n")


def logged(source, notes=None):
    found = Pickup(source, "accuracy", (notes or []).append).look(last=True)
    return [(each.epoch, dict(each.metrics)) for each in found]


def test_scalars_of_a_folder_are_checkpoints_at_the_time_that_they_were_logged_at(tmp_path):
    before = SummaryWriter(tmp_path / "old")
    before.add_scalar("val/acc", 0.1, 1)
    before.flush()
    source = TensorboardSource(tmp_path, {"accuracy": "val/acc"}, all_own=False)
    with SummaryWriter(tmp_path / "Nov29_host") as writer:
        for step in (10, 20):
            writer.add_scalar("loss", 1 / step, step)
            writer.add_scalar("val/acc", step / 100, step, walltime=1_700_000_000.5 + step)
        writer.add_scalars("both", {"a": 1, "b": 2}, 20)
    found = Pickup(source, "accuracy", [].append).look(last=True)
    assert [(each.epoch, each.time_ms) for each in found] == [(10, 1_700_000_010_500), (20, 1_700_000_020_500)]
    assert dict(found[1].metrics) == {"loss": 0.05, "accuracy": 0.2}
    before.close()


def test_a_tag_may_name_folders_as_keras_has_them(tmp_path):
    source = TensorboardSource(
        tmp_path, {"accuracy": "validation/epoch_accuracy", "train_accuracy": "train/epoch_accuracy"}, all_own=False
    )
    for name, value in (("train", 0.9), ("validation", 0.8)):
        with SummaryWriter(tmp_path / "fit" / name) as writer:
            writer.add_scalar("epoch_accuracy", value, 0)
            writer.add_scalar("epoch_accuracy", value, 1)
    assert logged(source)[1] == (1, {"accuracy": 0.8, "train_accuracy": 0.9})


def test_the_event_files_of_another_process_are_not_taken(tmp_path):
    source = TensorboardSource(tmp_path / "runs", {}, all_own=False)
    own = TensorboardSource(tmp_path / "runs", {}, all_own=True)
    with SummaryWriter(tmp_path / "runs") as writer:
        writer.add_scalar("accuracy", 0.5, 1)
    (path,) = (tmp_path / "runs").iterdir()
    parts = path.name.split(".")
    parts[-2] = "1"  # the first process of the machine
    path.rename(path.with_name(".".join(parts)))
    assert logged(source) == []
    assert "only other processes made event files" in source.missing("accuracy")
    assert logged(own) == [(1, {"accuracy": 0.5})]


def test_a_log_without_the_quality_names_what_is_nearest(tmp_path):
    events = TensorboardSource(tmp_path, {"accuracy": "val_accuracy"}, all_own=False)
    table = CsvSource(tmp_path, {"accuracy": "val_accuracy"}, "", "accuracy", [].append)
    assert "logged nothing to an event file in" in events.missing("accuracy")
    assert "wrote no csv log with rows" in table.missing("accuracy")
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("val/accuracy", 0.5, 1)
    (tmp_path / "a.csv").write_text("epoch,val_acuracy\n1,0.5\n")
    assert logged(events) == logged(table) == []
    assert "has the tag 'val_accuracy'; did you mean 'val/accuracy'?" in events.missing("accuracy")
    assert "no column 'val_accuracy'; did you mean 'val_acuracy'?" in table.missing("accuracy")


@pytest.mark.parametrize("kind", ["tensorboard", "csv"])
def test_a_log_that_is_none_takes_nothing_from_the_others_and_is_said(kind, tmp_path):
    source = (
        TensorboardSource(tmp_path, {}, all_own=False)
        if kind == "tensorboard"
        else CsvSource(tmp_path, {}, "", "accuracy", [].append)
    )
    (tmp_path / "a.tfevents.csv").write_bytes(b"\0" * 50 + b"\n")
    pickup = Pickup(source, "accuracy", [].append)
    assert pickup.look(last=True) == []
    assert "is no event file" in pickup.missing or "is no csv log" in pickup.missing
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("accuracy", 0.5, 1)
    (tmp_path / "b.csv").write_text("step,accuracy\n1,0.5\n")
    assert len(pickup.look(last=True)) == 1


def test_rows_of_a_csv_log_are_merged_by_step(tmp_path):
    (tmp_path / "old.csv").write_text("step,accuracy\n1,0.1\n")
    source = CsvSource(tmp_path, {"accuracy": "val_acc"}, "", "accuracy", [].append)
    folder = tmp_path / "version_1"
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,step,loss,val_acc,note\n0,49,0.5,,x\n0,49,,0.7,\n1,99,0.4,,\n1,99,,0.8,")
    assert logged(source) == [(49, {"loss": 0.5, "accuracy": 0.7}), (99, {"loss": 0.4, "accuracy": 0.8})]


@pytest.mark.parametrize(
    ("text", "step", "found"),
    [
        ("epoch;accuracy\n0;0.5\n1;0.6\n", "", [0, 1]),
        ("accuracy,loss\n0.5,\n,3\n0.6,2\n", "", [1, 2]),
        ("it,epoch,accuracy\n10,1,0.5\n20,1,0.6\n", "it", [10, 20]),
    ],
)
def test_the_step_of_a_row(text, step, found, tmp_path):
    source = CsvSource(tmp_path / "log.csv", {}, step, "accuracy", [].append)
    (tmp_path / "log.csv").write_text(text)
    assert [epoch for epoch, _ in logged(source)] == found


def test_a_csv_log_with_a_word_for_the_quality_fails(tmp_path):
    source = CsvSource(tmp_path, {}, "", "accuracy", [].append)
    (tmp_path / "a.csv").write_text("step,accuracy\n1,good\n")
    with pytest.raises(TrainingFailedError, match="'good' in the column 'accuracy' is not a number"):
        source.new(last=True)


PRINTS = """
import time
for step in (1, 2):
    print(f"step {step}: val loss {step / 10}", end="\\r")
    time.sleep(0.3)
print("warning", file=sys.stderr)
"""


def test_a_command_is_metered_while_it_prints(make_run, script):  # noqa: F811
    table = ReportTable("printed", "", {"accuracy": "val loss ([0-9.]+)"}, "step ([0-9]+)")
    run, events = make_run(report_table=table)
    script(PRINTS).train(run)
    assert checkpoints(events) == [(1, {"accuracy": 0.1}), (2, {"accuracy": 0.2})]
    first, second = (fields["usage"].wall_seconds for event, fields in events if event == "checkpoint")
    assert second - first > 0.15  # a pipe would have kept both back until the end
    assert "warning" in run.place.output.read_text()


def test_a_command_that_was_declared_to_print_reports_by_nothing_else(make_run, script, tmp_path):  # noqa: F811
    table = ReportTable("printed", "", {"accuracy": "val loss ([0-9.]+)"})
    run, _ = make_run(report_table=table, tracking_uri=f"sqlite:///{tmp_path / 'study.db'}", output=None)
    with pytest.raises(TrainingFailedError) as caught:
        script("print('nothing to see')").train(run)
    assert caught.value.reason == "no_report"
    assert str(caught.value) == (
        "the command ended without a report: the expression for 'accuracy', 'val loss ([0-9.]+)', matched nothing that "
        "it printed; its last lines: nothing to see"
    )
    assert not list(tmp_path.glob("output-*"))


def test_json_lines_go_before_what_the_table_declares(make_run, script):  # noqa: F811
    table = ReportTable("printed", "", {"accuracy": "val loss ([0-9.]+)"})
    run, events = make_run(report_table=table)
    script("report(epoch=7, accuracy=0.5); print('val loss 0.1')").train(run)
    assert checkpoints(events) == [(7, {"accuracy": 0.5})]


@pytest.mark.parametrize("where", ["$TRACKER_ARTIFACTS/logs", "${TRACKER_ARTIFACTS}", "logs"])
def test_a_command_writes_event_files_or_a_csv_log_to_a_folder(where, make_run, script, tmp_path):  # noqa: F811
    text = """
    from torch.utils.tensorboard import SummaryWriter
    with SummaryWriter(sys.argv[1]) as writer:
        writer.add_scalar("accuracy", 0.5, 3)
    with open(sys.argv[1] + "/log.csv", "w") as file:
        file.write("epoch,accuracy\\n4,0.6")
    """
    for kind, epoch, value in (("tensorboard", 3, 0.5), ("csv", 4, 0.6)):
        run, events = make_run(report_table=ReportTable(kind, where))
        script(text, f'"{where.replace("{", "{{").replace("}", "}}")}"').train(run)
        assert checkpoints(events) == [(epoch, {"accuracy": value})]


def problems(report, **content):
    command = f"$ train {{rate}}  # in {content.pop('folder')}"
    shown = {
        "name": "s",
        "command": "train {rate}",
        "quality": {"metric": "val_loss", "direction": "minimize"},
        "budget": {"trials": 1},
        "space": {"rate": [1]},
        "report": report,
        **content,
    }
    description = describe_workload(command)
    with pytest.raises(StudyFileError) as caught:
        check_study(StudyDocument("s.toml", shown), description)
    return "\n".join(caught.value.problems)


def test_all_that_is_wrong_with_the_table_is_reported_at_once(tmp_path):
    said = problems(
        {
            "val_los": "loss ([0-9.]+)",
            "f1": "f1 [0-9.]+",
            "f2": "(f2) ([0-9.]+)",
            "f3": "f3 ([0-9.]+",
            "step": 3,
            "wall_seconds": "(.*)",
        },
        limits={"f4": {"min": 1}},
        folder=tmp_path,
    )
    for each in (
        "report.f1: 'f1 [0-9.]+' has no group; it takes one: put parentheses around the number",
        "report.f2: '(f2) ([0-9.]+)' has 2 groups; it takes one: write (?:…)",
        "report.f3: 'f3 ([0-9.]+' is not a regular expression: missing ), unterminated subpattern",
        "report.step: 3 is not a text",
        "report.wall_seconds: the tracker measures this itself",
        "report: no expression for 'val_loss', the study's quality; did you mean 'val_los'?",
        "report: no expression for 'f4', an objective or a limit of the study",
    ):
        assert each in said
    said = problems({"tensorboard": "runs", "csv": "", "step": "s"}, folder=tmp_path)
    assert "report.csv: '' is not a text" in said
    assert "there is a folder for tensorboard too" in said
    said = problems({"tensorboard": "runs", "step": "s"}, folder=tmp_path)
    assert "report.step: an event of TensorBoard's has its own step" in said


def test_training_code_has_no_such_table():
    content = {"name": "s", "workload": "m:f", "report": {"csv": "log.csv"}}
    with pytest.raises(StudyFileError, match="it says how a command reports, and there is none"):
        check_study(StudyDocument("s.toml", content), "no such module")


@pytest.mark.parametrize(
    ("table", "alone"),
    [
        (ReportTable("csv", "lightning_logs"), True),
        (ReportTable("csv", "$TRACKER_ARTIFACTS/logs"), False),
        (ReportTable("csv", "${TRACKER_ARTIFACTS}"), False),
        (ReportTable("tensorboard", "runs"), False),
        (ReportTable("printed"), False),
    ],
)
def test_trials_whose_logs_could_be_mixed_up_run_one_at_a_time(table, alone):
    assert table.one_at_a_time is alone


def test_the_tables_that_the_guide_shows_are_right():
    page = (ROOT / "docs/how-to/script.md").read_text()
    blocks = [text for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "[report]" in text]
    assert len(blocks) == 4
    for text in blocks:
        shown = f"name = 's'\nbudget.trials = 1\nspace = {{ learning_rate = [1] }}\n{text}"
        shown = shown if "command" in text else f"command = 'train {{learning_rate}}'\n{shown}"
        document = StudyDocument.parse("s.toml", shown)
        assert check_study(document, describe_workload(document.workload)).report is not None
