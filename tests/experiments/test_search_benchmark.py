"""The benchmark of searches, on small tables of curves that are made up here."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.benchmarks import figures, search
from experiments.benchmarks.curve_table import USD_PER_SECOND, CurveTable, load_tables
from experiments.benchmarks.decision_time import DecisionTime, decision_time, growth_exponent
from experiments.benchmarks.halving import pareto_order
from experiments.benchmarks.replay import Trace, replay
from experiments.benchmarks.search_methods import COMPARED, METHODS
from experiments.benchmarks.search_report import ahead_lines, figures_of
from experiments.benchmarks.search_statistics import (
    Estimate,
    Replayed,
    ahead_of,
    by_task,
    dollars_to_measure,
    over_tasks,
    percentile,
)
from tracker.errors import RequestError
from tracker.records import Settings, TrialState
from tracker.search.steps import Step
from tracker.study.domains import Choices, Range

EPOCHS = 9


def arrays(rows: int = 60) -> dict[str, Any]:
    """Made-up curves: wider is slower and better, and a rate near 0.01 is best."""
    random = np.random.default_rng(0)
    rate, width = 10 ** random.uniform(-4, 0, rows), random.integers(8, 65, rows)
    kind = random.choice([1.0, 2.5], rows)
    best = 0.95 - 0.1 * (np.log10(rate) + 2) ** 2 / 4 - 2 / width
    seconds = np.cumsum(np.full((rows, EPOCHS), 0.1) * width[:, None] * kind[:, None], axis=1)
    quality = best[:, None] * (1 - np.exp(-np.arange(1, EPOCHS + 1) / 3))
    return {
        "setting_names": np.array(["learning_rate", "width", "kind"]),
        "made_up/settings": np.stack([rate, width, kind], axis=1).astype(np.float32),
        "made_up/seconds": seconds.astype(np.float32),
        "made_up/accuracy": quality.astype(np.float32),
    }


def written(folder: Path, changed: Mapping[str, Any] | None = None, left_out: str = "") -> Path:
    path = folder / "curves.npz"
    content = {name: each for name, each in (arrays() | dict(changed or {})).items() if name != left_out}
    np.savez(path, **content)
    return path


def put(names: Sequence[str], where: Any, value: float) -> dict[str, Any]:
    """The made-up arrays of these names, with a value put somewhere."""
    changed = {f"made_up/{name}": arrays()[f"made_up/{name}"] for name in names}
    for each in changed.values():
        each[where] = value
    return changed


def cut(rows: int = 60, epochs: int = EPOCHS) -> dict[str, Any]:
    """The made-up arrays, with only their first rows and epochs."""
    content = arrays()
    curves = {name: content[name][:rows, :epochs] for name in ("made_up/seconds", "made_up/accuracy")}
    return {**curves, "made_up/settings": content["made_up/settings"][:rows]}


@pytest.fixture
def table(tmp_path: Path) -> CurveTable:
    return load_tables(written(tmp_path))[0]


def two_rows(seconds: Any = ((1, 2, 3), (10, 20, 30)), quality: Any = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))) -> CurveTable:
    usd = np.array(seconds, np.float64) * USD_PER_SECOND
    return CurveTable("two", ("size",), np.array([[1.0], [2.0]]), usd, np.array(quality, np.float64))


class Dictated:
    """A searcher that takes the steps it is given, and writes down what it hears."""

    def __init__(self, *steps: Step) -> None:
        self.closed = "no more steps"
        self.steps = list(steps)
        self.heard: list[Any] = []
        self.asked: list[tuple[float, int | None]] = []

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        self.asked.append((left_usd / USD_PER_SECOND, live_trial))
        return self.steps.pop(0) if self.steps else None

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        self.heard.append((trial, epoch, values["accuracy"], round(values["wall_seconds"], 6)))

    def paused(self, trial: int, price_usd: float) -> None:
        self.heard.append((trial, "paused", round(price_usd / USD_PER_SECOND, 6)))

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        self.heard.append((trial, state, round(price_usd / USD_PER_SECOND, 6)))


def step(trial: int, size: int, until_seconds: float | None = None) -> Step:
    return Step(trial, {"size": size}, None if until_seconds is None else until_seconds * USD_PER_SECOND)


class TestTables:
    def test_a_task_of_a_file_is_read_with_the_space_that_it_spans(self, table: CurveTable) -> None:
        assert table.task == "made_up" and table.price_usd.shape == (60, EPOCHS)
        assert table.space.fixed == {"epochs": EPOCHS}
        domains = table.space.by_device["cpu"]
        assert domains["kind"] == Choices((1.0, 2.5))
        rate, width = domains["learning_rate"], domains["width"]
        assert isinstance(rate, Range) and rate.log and not rate.integer
        assert isinstance(width, Range) and width.integer and not width.log and type(width.low) is int

    def test_a_setting_that_does_not_vary_is_fixed(self, tmp_path: Path) -> None:
        settings = arrays()["made_up/settings"]
        settings[:, 1] = 32
        table = load_tables(written(tmp_path, {"made_up/settings": settings}))[0]
        assert table.space.fixed == {"epochs": EPOCHS, "width": 32}
        assert list(table.space.by_device["cpu"]) == ["learning_rate", "kind"]

    def test_the_nearest_settings_are_found_in_the_scaled_cube(self, table: CurveTable) -> None:
        for row in range(0, 60, 7):
            rate, width, kind = table.settings[row]
            settings: Settings = {"learning_rate": rate * 1.001, "width": int(width), "kind": kind, "epochs": EPOCHS}
            assert table.nearest(settings) == row

    def test_the_whole_table_has_all_of_its_frontier(self, table: CurveTable) -> None:
        assert table.share_of_frontier(table.quality.ravel(), table.price_usd.ravel()) == pytest.approx(1.0)
        assert 0 < table.share_of_frontier(table.quality[0], table.price_usd[0]) < 1
        assert table.share_of_frontier(np.array([]), np.array([])) == 0

    def test_curves_may_end_early(self, tmp_path: Path) -> None:
        content = arrays()
        for name in ("made_up/seconds", "made_up/accuracy"):
            content[name][3, 4:] = np.nan
        table = load_tables(written(tmp_path, content))[0]
        assert table.lengths[3] == 4 and table.full_price_usd[3] == table.price_usd[3, 3]

    @pytest.mark.parametrize(
        ("changed", "shown"),
        [
            ({"setting_names": np.array(["a", "a", "b"])}, "setting_names must be"),
            ({"setting_names": np.array(["a", "b"])}, "a column a setting name"),
            ({"setting_names": np.array(["a", "b", "epochs"])}, "a setting is named epochs"),
            ({"made_up/seconds": np.ones((60, 3))}, r"must both be \[60, epochs\]"),
            ({"made_up/seconds": np.ones((60, EPOCHS)) * -1}, "row 0: seconds must be above 0"),
            ({"made_up/seconds": np.full((60, EPOCHS), np.nan)}, "finite up to the same epoch"),
            ({"made_up/seconds": np.ones((60, EPOCHS)) * np.arange(EPOCHS, 0, -1)}, "never fall"),
            (put(["seconds"], (7, 3), np.nan), r"task made_up: row 7: .* they are nan and 0\.\d+ at epoch 4"),
            (put(["accuracy"], (7, 3), np.nan), r"task made_up: row 7: .* and nan at epoch 4"),
            (put(["accuracy"], (7, 0), np.inf), r"task made_up: row 7: .* and inf at epoch 1"),
            (put(["seconds", "accuracy"], (7, 3), np.nan), r"task made_up: row 7: .* they are nan and nan at epoch 4"),
            (put(["seconds", "accuracy"], (7, slice(None)), np.nan), "task made_up: row 7 has no epoch"),
            (put(["seconds"], (9, 5), 0.5), r"task made_up: row 9: .* never fall.* are 0\.5 at epoch 6 after [\d.]+$"),
            (put(["settings"], (4, 1), np.nan), "task made_up: row 4: settings must be finite"),
            (cut(rows=1), "task made_up: there is only row 0; allowed: two rows or more"),
            (cut(epochs=1), "task made_up: row 0, as every row, has 1 epoch; allowed: curves of 2 epochs or more"),
            (put(["seconds", "accuracy"], (slice(None), slice(1, None)), np.nan), "as every row, has 1 epoch"),
            ({"made_up/settings": np.ones((60, 3))}, "no setting varies"),
            ({"made_up/settings": np.full((60, 3), np.inf)}, "settings must be finite"),
            ({"made_up/settings": np.full((60, 3), "wide")}, "must be of numbers"),
            ({"made_up/accuracy": np.ones((60, EPOCHS))}, "the same everywhere"),
        ],
    )
    def test_arrays_that_are_no_table_are_refused(self, tmp_path: Path, changed: dict[str, Any], shown: str) -> None:
        with pytest.raises(RequestError, match=shown):
            load_tables(written(tmp_path, changed))

    def test_files_and_tasks_that_are_not_there_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(RequestError, match="no such file"):
            load_tables(tmp_path / "none.npz")
        (tmp_path / "text.npz").write_text("text")
        with pytest.raises(RequestError, match=r"cannot be read as \.npz"):
            load_tables(tmp_path / "text.npz")
        with pytest.raises(RequestError, match="did you mean 'made_up'"):
            load_tables(written(tmp_path), ["made"])
        with pytest.raises(RequestError, match="made_up/seconds is missing"):
            load_tables(written(tmp_path, left_out="made_up/seconds"))
        with pytest.raises(RequestError, match="there is no task"):
            load_tables(written(tmp_path, left_out="made_up/settings"))

    def test_the_recorded_tables_can_be_searched(self) -> None:
        tables = [table for path in search.RECORDED.glob("*.npz") for table in load_tables(path)]
        assert len(tables) >= 2
        for each in tables:
            assert len(each.settings) >= 300
            assert each.full_price_usd.max() / each.full_price_usd.min() > 10


class TestReplay:
    def test_a_step_trains_until_its_price_and_the_next_one_goes_on(self) -> None:
        searcher = Dictated(step(0, 1, 1.5), step(1, 2), step(0, 1, 0.0))
        shown = replay(searcher, two_rows(), 1000 * USD_PER_SECOND)
        assert searcher.heard == [
            (0, 1, 0.1, 1), (0, 2, 0.2, 2), (0, "paused", 2),
            (1, 1, 0.4, 10), (1, 2, 0.5, 20), (1, 3, 0.6, 30), (1, TrialState.COMPLETED, 30),
            (0, 3, 0.3, 3), (0, TrialState.COMPLETED, 3),
        ]  # fmt: skip
        assert [live_trial for _, live_trial in searcher.asked] == [None, 0, None, None]
        assert np.array(shown.spend_usd) / USD_PER_SECOND == pytest.approx([1, 2, 12, 22, 32, 33])
        assert np.array(shown.price_usd) / USD_PER_SECOND == pytest.approx([1, 2, 10, 20, 30, 3])
        assert shown.trials == 2 and shown.closed == "no more steps" and shown.started == [0, 1, 2]

    def test_two_trials_of_one_row_are_both_paid(self) -> None:
        shown = replay(Dictated(step(0, 1), step(1, 1)), two_rows(), 1000 * USD_PER_SECOND)
        assert shown.spent_usd == pytest.approx(6 * USD_PER_SECOND) and shown.trials == 2

    def test_an_epoch_that_does_not_fit_is_not_had_and_its_money_is_gone(self) -> None:
        searcher = Dictated(step(0, 2), step(1, 1))
        shown = replay(searcher, two_rows(), 25 * USD_PER_SECOND)
        assert shown.quality == [0.4, 0.5] and shown.spent_usd == 25 * USD_PER_SECOND
        assert len(searcher.steps) == 1, "nothing was left for another step"

    def test_a_step_on_a_trial_that_has_ended_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="a step on trial 0, which ended after epoch 3"):
            replay(Dictated(step(0, 1), step(0, 1)), two_rows(), 1000 * USD_PER_SECOND)

    def test_the_trace_is_the_hypervolume_of_what_was_had(self, table: CurveTable) -> None:
        budget_usd = 10 * float(np.median(table.full_price_usd))
        shown = replay(METHODS["random"](table, 0, budget_usd), table, budget_usd)
        trace = shown.trace()
        for share in (0.2, 0.5, 1.0):
            had = np.array(shown.spend_usd) <= share * budget_usd
            whole = table.share_of_frontier(np.array(shown.quality)[had], np.array(shown.price_usd)[had])
            assert trace.at(share * budget_usd) == pytest.approx(whole)

    def test_what_it_took_to_reach_a_hypervolume(self) -> None:
        trace = Trace(np.array([0.0, 1.0, 5.0]), np.array([0.0, 0.5, 0.7]))
        assert [trace.spend_to_reach(share) for share in (0.5, 0.6, 0.8)] == [1.0, 5.0, math.inf]
        assert [trace.at(spend) for spend in (0.5, 1.0, 4.0, 9.0)] == [0.0, 0.5, 0.5, 0.7]


class TestMethods:
    @pytest.mark.parametrize("method", COMPARED)
    def test_each_spends_its_budget_on_trials_and_repeats_itself(self, method: str, table: CurveTable) -> None:
        budget_usd = 12 * float(np.median(table.full_price_usd))
        shown, again = (replay(METHODS[method](table, 1, budget_usd), table, budget_usd) for _ in range(2))
        assert 0.8 * budget_usd < shown.spent_usd <= budget_usd
        assert shown.spend_usd == again.spend_usd and shown.quality == again.quality
        assert 0.3 < shown.trace().at(budget_usd) <= 1

    def test_halving_resumes_few_trials(self, table: CurveTable) -> None:
        budget_usd = 12 * float(np.median(table.full_price_usd))
        shown = replay(METHODS["halving"](table, 0, budget_usd), table, budget_usd)
        assert shown.trials > 20, "most trials end after their first epoch"
        assert len(shown.quality) > 1.5 * shown.trials, "some go on"

    def test_the_best_are_those_that_none_beats_the_least_crowded_first(self) -> None:
        quality, price_usd = np.array([0.5, 0.6, 0.9, 0.4, 0.61]), np.array([1.0, 2.0, 9.0, 3.0, 2.1])
        assert sorted(pareto_order(quality, price_usd, 4)) == [0, 1, 2, 4]
        assert sorted(pareto_order(quality, price_usd, 2)) == [0, 2]
        assert pareto_order(quality, price_usd, 5)[-1] == 3

    @pytest.mark.parametrize(("method", "library"), [("moasha", "syne_tune"), ("primo", "neps")])
    def test_a_library_that_is_not_installed_is_named(
        self, method: str, library: str, table: CurveTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(RequestError, match=r"pip install 'cost-quality-tracker\[benchmark\]'"):
            METHODS[method](table, 0, 1.0)


class TestReport:
    def test_it_is_one_json_object(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        given = [str(written(tmp_path)), "made_up", "--methods", "random", "--seeds", "2", "--processes", "1", "--json"]
        monkeypatch.setattr(sys, "argv", ["search", *given])
        figures.main("search", search._arguments, search.measure)
        shown = json.loads(capsys.readouterr().out)
        assert {"benchmark", "machine", "figures", "seeds", "full_trainings", "tasks", "average"} == shown.keys()
        outcome = shown["tasks"]["made_up"]["random"]
        assert list(outcome["hypervolume"]) == ["10 %", "25 %", "50 %", "100 %"]
        assert outcome["hypervolume"]["100 %"].keys() == {"value", "low", "high"}
        assert "tpe" in shown["tasks"]["made_up"], "what others are measured by is always there"

    def test_a_file_that_is_not_there_is_reported_in_a_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["search", "none.npz"])
        with pytest.raises(SystemExit) as ended:
            figures.main("search", search._arguments, search.measure)
        assert ended.value.code == 2 and capsys.readouterr().err == "none.npz: no such file\n"

    def test_a_table_that_is_wrong_is_reported_in_a_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = written(tmp_path, put(["seconds"], (7, 3), np.nan))
        monkeypatch.setattr(sys, "argv", ["search", str(path), "--seeds", "1"])
        with pytest.raises(SystemExit) as ended:
            figures.main("search", search._arguments, search.measure)
        shown = capsys.readouterr().err
        assert ended.value.code == 2 and shown.startswith(f"{path}, task made_up: row 7: ") and shown.count("\n") == 1

    def test_several_tables_are_searched_together(self, tmp_path: Path) -> None:
        first, second = written(tmp_path), tmp_path / "second.npz"
        np.savez(second, **{name.replace("made_up", "other"): each for name, each in arrays(40).items()})
        both = [str(first), str(second)]
        assert search._tasks(both) == [(first, "made_up"), (second, "other")]
        assert search._tasks([*both, "other"]) == [(second, "other")]
        assert search._tasks(["other", "made_up", *both]) == [(second, "other"), (first, "made_up")]
        with pytest.raises(RequestError, match="did you mean 'other'"):
            search._tasks([*both, "othr"])
        third = tmp_path / "third.npz"
        np.savez(third, **arrays(40))
        with pytest.raises(RequestError, match=r"task 'made_up' is in .*curves.npz and in .*third.npz"):
            search._tasks([*both, str(third)])


def replayed(task: str, method: str, seed: int, at_end: float, reached_after: float = 0.2) -> Replayed:
    """A search that had half of its final hypervolume at first, and the rest after a share of its budget of $10."""
    trace = Trace(np.array([0.0, 0.5, 10 * reached_after]), np.array([0.0, at_end / 2, at_end]))
    return Replayed(task, method, seed, 10.0, trace, 5, 9, 1.0)


class TestStatistics:
    def test_intervals_are_of_the_mean_or_of_the_median(self) -> None:
        mean = Estimate.mean([1.0, 2.0, 3.0])
        assert mean.value == 2 and mean.high == pytest.approx(2 + 4.303 / math.sqrt(3), abs=1e-3)
        median = Estimate.median([*map(float, range(9)), math.inf])
        assert (median.value, median.low, median.high) == (4.5, 1.0, 8.0)
        assert Estimate.median([1.0, math.inf, math.inf]).value == math.inf

    @given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
    def test_the_interval_of_a_share_holds_it_and_stays_within_0_and_1(self, samples: list[float]) -> None:
        share = Estimate.share(samples)
        assert 0 <= share.low <= share.value + 1e-12 and share.value - 1e-12 <= share.high <= 1

    def test_the_interval_of_a_share_is_that_of_the_mean_where_samples_are_close(self) -> None:
        samples = [0.50, 0.51, 0.52, 0.49, 0.48]
        mean, share = Estimate.mean(samples), Estimate.share(samples)
        assert (share.value, share.low, share.high) == pytest.approx((mean.value, mean.low, mean.high), abs=1e-3)

    def test_two_seeds_say_little_but_nothing_impossible(self) -> None:
        share, difference = Estimate.share([0.5, 0.8]), Estimate.difference([-0.9, 0.9])
        assert 0 < share.low < 0.1 and 0.9 < share.high < 1
        assert (difference.low, difference.high) == (-1, 1)

    def test_of_one_sample_there_is_no_interval(self) -> None:
        for one in (Estimate.share([0.5]), Estimate.difference([0.5])):
            assert one.value == 0.5 and math.isnan(one.low) and math.isnan(one.high)

    def test_tasks_are_the_samples_of_an_average_over_several(self) -> None:
        ends = {("a", 0): 0.4, ("a", 1): 0.6, ("b", 0): 0.7, ("b", 1): 0.9}
        average = over_tasks([replayed(task, "tpe", seed, end) for (task, seed), end in ends.items()])
        assert average["tpe"]["100 %"] == Estimate.share([0.5, 0.8])
        alone = over_tasks([replayed("a", "tpe", seed, ends["a", seed]) for seed in (0, 1)])
        assert alone["tpe"]["100 %"] == Estimate.share([0.4, 0.6]), "of one task, seeds are"

    def test_differences_are_between_the_same_task_and_seed(self) -> None:
        ours = {("a", 0): 0.5, ("a", 1): 0.7, ("b", 0): 0.9, ("b", 1): 0.95}
        less = {("a", 0): 0.1, ("a", 1): 0.1, ("b", 0): 0.2, ("b", 1): 0.2}
        found = [replayed(task, "ours", seed, end) for (task, seed), end in ours.items()]
        found += [replayed(*pair[:1], "tpe", pair[1], ours[pair] - less[pair]) for pair in reversed(ours)]
        found.append(replayed("b", "tpe", 2, 0.0))  # it has no partner
        ahead = ahead_of(found, "ours")
        assert ahead.keys() == {"tpe"}
        by_hand = Estimate.difference([0.1, 0.2])
        at_end = ahead["tpe"]["100 %"]
        assert (at_end.value, at_end.high) == pytest.approx((by_hand.value, by_hand.high))
        assert ahead["tpe"]["10 %"].value == pytest.approx(0.075), "then each had half"

    def test_dollars_to_the_measure_are_of_all_tasks_and_seeds(self) -> None:
        found = [replayed(task, "tpe", seed, end) for task, end in (("a", 0.5), ("b", 0.8)) for seed in (0, 1)]
        found += [replayed("a", "ours", 0, 0.6, 0.1), replayed("a", "ours", 1, 0.4), replayed("b", "ours", 0, 0.8, 0.3)]
        spent = dollars_to_measure(found, "ours")
        assert spent == pytest.approx([0.1, math.inf, 0.3])
        assert percentile(spent, 90) == math.inf and percentile(spent, 50) == pytest.approx(0.3)
        assert percentile([*map(float, range(1, 11))], 90) == 9

    def test_the_report_says_how_far_ours_is_ahead_and_keeps_the_targets(self) -> None:
        ends = {"frontier": 0.9, "halving": 0.8, "tpe": 0.7}
        found = [replayed(task, name, 0, end) for task in "abc" for name, end in ends.items()]
        ahead = ahead_of(found, "frontier")
        text = ahead_lines("frontier", ahead)
        assert "  100 % of the budget: frontier is ahead of halving by 0.100 [0.100, 0.100]" in text.splitlines()
        shown = {each.name: each for each in figures_of(found, "frontier", by_task(found), ahead)}
        assert len(shown) == 3 + 4 + 2
        early = shown["hypervolume at 10 % of the budget - that of halving"]
        assert early.value == pytest.approx(0.05) and early.holds
        name = "dollars to the hypervolume of TPE / its budget, 90th percentile over tasks and seeds"
        assert shown[name].value == pytest.approx(0.2) and shown[name].holds

    def test_a_lead_that_the_interval_does_not_show_misses_its_target(self) -> None:
        found = [replayed(task, "frontier", 0, end) for task, end in (("a", 0.9), ("b", 0.5))]
        found += [replayed(task, name, 0, 0.5) for task in "ab" for name in ("halving", "tpe")]
        ahead = ahead_of(found, "frontier")
        shown = {each.name: each for each in figures_of(found, "frontier", by_task(found), ahead)}
        late = shown["hypervolume at 100 % of the budget - that of halving"]
        assert late.value == pytest.approx(0.2) and not late.holds


class TestDecisionTimes:
    def test_decision_times_are_reported_for_each_number_of_trials(self, table: CurveTable) -> None:
        times = decision_time(table, "random", (10, 20))
        assert [each.trials for each in times] == [10, 20] and all(each.mean_ms > 0 for each in times)
        linear = [DecisionTime(count, 1, 0.02 * count, 0.02 * count) for count in (250, 500, 1000)]
        assert growth_exponent(linear) == pytest.approx(1.0)
