"""The interface of a policy: what it is asked, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tracker.records import Settings
from tracker.search.budget import Allowance
from tracker.search.choices import Choice


@dataclass(frozen=True, slots=True)
class Situation:
    """What a policy is asked about: the next step, within ``allowance``.

    ``waiting`` are the paused trials that can be resumed; the process of ``live_trial`` is still alive. ``random`` is
    the decision's own: the policies draw from it in turn.
    """

    allowance: Allowance
    waiting: Sequence[int]
    random: np.random.Generator
    live_trial: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The next step: resume ``trial``, or start one with ``settings``; where both are None, the sampler's suggestion.

    It lasts until the trial has cost ``until_usd``, None: to its end. ``expected_usd``, ``why`` and ``numbers`` are as
    in steps.Step. ``expected_gain`` of the hypervolume was forecast at ``rung``; None where nothing was.
    ``past_its_end`` says that the trial is at the step where others ended.
    """

    trial: int | None
    settings: Settings | None
    until_usd: float | None
    expected_usd: float
    why: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    rung: int = 0
    expected_gain: float | None = None
    past_its_end: bool = False

    @classmethod
    def of(cls, choice: Choice, why: str, allowance: Allowance, runner_up: Choice | None = None) -> Decision:
        """The decision for a choice, with its numbers and those of the ``runner_up`` that it was preferred to."""
        numbers = {
            "left_usd": allowance.left_usd,
            "expected_step_usd": choice.step_usd,
            "expected_gain_per_usd": choice.gain_per_usd,
            **choice.numbers,
        }
        if runner_up is not None:
            numbers |= {"next_best": runner_up.trial, "next_best_gain_per_usd": runner_up.gain_per_usd}
        return cls(
            choice.trial,
            choice.settings,
            choice.until_usd,
            choice.step_usd,
            why,
            numbers,
            choice.rung,
            choice.step_gain,
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """No step is taken, and no further policy asked, because of ``why``."""

    why: str


class Policy(Protocol):
    """A rule by which steps are chosen. ``name`` is what a step's outcome is counted under (outcomes.Outcome)."""

    name: str

    def choose(self, now: Situation) -> Decision | Ending | None:
        """The next step, or why there is none; None leaves the decision to the next policy."""
