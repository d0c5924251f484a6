"""What a search knows: the facts of this study's trials, and of those of earlier studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tracker.records import Settings, TrialState
from tracker.search.encoding import UnitCube
from tracker.search.ends import Ends
from tracker.search.facts import Standing, TrialFacts
from tracker.search.known_trials import KnownTrials
from tracker.search.measures import Measures


class Knowledge:
    """Facts of the study's ``trials``, by number, and of trials of earlier studies, which are evidence only.

    ``cube`` is the space that settings are points of; ``ends`` says where trainings of this study end, and learns it
    from them alone: earlier ones may have been longer. ``measures`` are followed. Earlier trials are ``unjudged`` until
    it is known whether they agree with the study's own; those that do are ``elsewhere``, and what they cost counts
    where that agrees, too. ``alone_from`` is how many of the study's trials there were when they were dropped; None
    while they were not.
    """

    def __init__(self, cube: UnitCube, ends: Ends, measures: Measures) -> None:
        self.cube = cube
        self.ends = ends
        self.measures = measures
        self.trials = KnownTrials()
        self.unjudged: list[TrialFacts] = []
        self.elsewhere: list[TrialFacts] = []
        self.alone_from: int | None = None
        self._observed = 0
        self._observed_elsewhere = 0
        self.priced_elsewhere = False
        """Whether what the trials elsewhere cost counts."""
        self.counted_before = False
        """Whether those that are not judged counted before this study was resumed."""

    def register(self, trial: int, settings: Settings) -> None:
        """Add a trial of this study, which runs."""
        self.trials.add(trial, TrialFacts.of(settings, self.cube, self.ends))

    def warm_start(
        self, settings: Settings, checkpoints: Sequence[tuple[int, Mapping[str, float]]], failure: str
    ) -> None:
        """Add a trial of an earlier study; nothing where it has neither a checkpoint nor a ``failure``.

        Nor is it added once such trials were dropped.
        """
        if self.alone_from is not None:
            return
        facts = TrialFacts.of(settings, self.cube, self.ends, Standing.ELSEWHERE)
        facts.failure = failure
        for epoch, values in checkpoints:
            self._observed_elsewhere += self._observe(facts, epoch, self.measures.finite(values))
        if facts.reported or failure:
            self.unjudged.append(facts)

    def count_elsewhere(self, *, priced: bool) -> None:
        """The earlier trials agree with the study's own; and what they cost does, where they are ``priced``."""
        self.priced_elsewhere = priced
        self.elsewhere += self.unjudged
        self.unjudged = []

    def drop_elsewhere(self, alone_from: int) -> None:
        """The earlier trials do not agree with the first ``alone_from`` of this study: they are no evidence."""
        self.alone_from = alone_from
        self.unjudged, self.elsewhere = [], []

    @property
    def counted(self) -> bool:
        """Whether trials of earlier studies count, or did before a resume since which they were not judged."""
        return bool(self.elsewhere or (self.counted_before and self.unjudged))

    @property
    def observed(self) -> int:
        """Grows with what there is to learn from: a trial's first checkpoint at each doubling of its depth, a failure.

        It falls where earlier trials are dropped.
        """
        return self._observed + (self._observed_elsewhere if self.elsewhere else 0)

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> Mapping[str, float] | None:
        """Record a checkpoint and return its finite values; None where an objective has none: it only costs."""
        known = self.measures.finite(values)
        self._observed += self._observe(self.trials[trial], epoch, known)
        self.trials.priced(trial)
        return known if self.measures.has_objectives(known) else None

    def _observe(self, facts: TrialFacts, epoch: int, known: Mapping[str, float]) -> bool:
        """Record a checkpoint's finite values; True where there is more to learn from."""
        measures = self.measures
        if not measures.has_objectives(known):
            facts.spend(known)
            return False
        return facts.observe(epoch, {**measures.limits.outside, **known}, measures.names, measures.quality)

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as paused; its attempts have cost at least this much."""
        self._stands(trial, Standing.PAUSED, price_usd)

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended; its attempts have cost exactly this much. ``reason`` says why it failed."""
        self._stands(trial, Standing.ENDED, price_usd)
        facts = self.trials[trial]
        if state is TrialState.FAILED:
            facts.failure = reason or "failed"
            self._observed += 1
        if state is TrialState.COMPLETED:
            facts.complete()

    def _stands(self, trial: int, standing: Standing, price_usd: float) -> None:
        facts = self.trials[trial]
        self.trials.stands(trial, standing)
        if facts.reported:
            # What a trial cost is known at its end; until then it was an estimate, by the time of the last look.
            usd = price_usd if standing is Standing.ENDED else max(float(facts.costs[0]), price_usd)
            facts.costs = np.array([usd, *facts.costs[1:]])  # another array: that of its last checkpoint stays as it is
            self.trials.priced(trial)

    def of(self, trials: Iterable[int]) -> list[TrialFacts]:
        """The facts of these trials of the study."""
        return [self.trials[trial] for trial in trials]

    @property
    def everyone(self) -> list[TrialFacts]:
        """The facts of all trials that count, those elsewhere first."""
        return [*self.elsewhere, *self.trials.values()]

    @property
    def priced(self) -> list[TrialFacts]:
        """Those of everyone whose costs count, and that have a checkpoint."""
        priced = self.everyone if self.priced_elsewhere else self.trials.values()
        return [facts for facts in priced if facts.reported]

    @property
    def waiting(self) -> list[int]:
        """The paused trials that can be resumed: before their end, and within the memory limit."""
        return [trial for trial in self._resumable() if self._has_room(trial)]

    @property
    def too_large(self) -> list[int]:
        """The paused trials that exceeded the memory limit: they can no longer matter."""
        return [trial for trial in self._resumable() if not self._has_room(trial)]

    @property
    def at_their_end(self) -> list[int]:
        """The trials within the memory limit that are paused where others ended."""
        paused = ((trial, self.trials[trial]) for trial in self.trials.paused)
        at_end = [trial for trial, facts in paused if facts.reported and facts.epoch == facts.last_epoch]
        return [trial for trial in at_end if self._has_room(trial)]

    def _resumable(self) -> list[int]:
        paused = ((trial, self.trials[trial]) for trial in self.trials.paused)
        return [trial for trial, facts in paused if facts.reported and facts.epoch < facts.last_epoch]

    def _has_room(self, trial: int) -> bool:
        return self.measures.limits.has_room(self.trials[trial].memory_bytes)
