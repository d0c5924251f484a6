"""A probe: two short trials of a study, really trained before the study is run, to estimate what it will cost.

Its data are prepared twice: the second time says what finding them prepared costs, as the study then will.
They are a study of their own, NAME-probe: metered, priced, logged and counted like any other, and left as it is by the
study NAME. It has the same space, so that NAME can learn from it (`tracker run --from NAME-probe`).
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence

from tracker.errors import WorkFailedError
from tracker.records import Settings, SettingValue, TrialState
from tracker.runner.plan import StudyPlan
from tracker.runner.progress import Observer
from tracker.runner.session import Places
from tracker.runner.studies import run_study
from tracker.runner.study_folder import StudyFolder
from tracker.search.full_runs import FullRuns
from tracker.search.sampler import Trials
from tracker.search.steps import Step
from tracker.store.home import Home
from tracker.study.document import StudyDocument
from tracker.study.domains import Choices, Domain
from tracker.study.space import SearchSpace

SHARES = (0.25, 0.75)
"""Where in the space the two trials are: opposite each other, so that whatever makes one dearer than the middle makes
the other cheaper."""
SHORT_STEPS = 3
"""A training of at most this many steps is trained to its end; a longer one is paused …"""
CHECKPOINTS = 2
"""… after so many checkpoints: the first includes one-off work, the second says what further ones cost."""
BUDGET_SHARE = 0.1
"""The probe stops at this share of the study's dollars."""
_DATA_TERMS = ("acquisition_", "cleaning_", "labelling_")


def run_probe(document: StudyDocument, places: Places, *, workers: int | None, observer: Observer) -> str:
    """Train two short trials of a study, and return the name of the study that they are.

    The data's own price is not counted: the study itself pays it, once. Raises what ``run_study`` raises, and
    WorkFailedError where the probe was stopped or failed.
    """
    name = _free_name(places.home, f"{document.content.get('name')}-probe")
    probe = _probe_document(document, name)
    made: list[ProbeSearch] = []

    def searcher(plan: StudyPlan, trials: Trials) -> ProbeSearch:
        made.append(_searcher(plan, trials))
        return made[0]

    state = run_study(probe, places, workers=workers, observer=observer, searcher_of=searcher, prepare_twice=True)
    if state is not TrialState.COMPLETED or not made[0].useful:
        why = "its trials failed" if state is TrialState.COMPLETED else str(state)
        said = f"the probe '{name}' says nothing ({why}); what it cost is counted: `tracker runs {shlex.quote(name)}`"
        raise WorkFailedError(said)
    return name


def probe_settings(space: SearchSpace, last_step: int | str | None) -> list[Settings]:
    """The settings of a probe's trials, each different: opposite each other in the space, and as short as it allows."""
    length = last_step if isinstance(last_step, str) else "epochs"
    found: list[Settings] = []
    for number, share in enumerate(SHARES):
        device = space.devices[number % len(space.devices)]
        domains = space.by_device[device]
        drawn = {name: domain.at_share(share) for name, domain in domains.items()}
        if length in domains:
            drawn[length] = _shortest(domains[length])
        settings = {**space.fixed, "device": device, **drawn}
        if settings not in found:
            found.append(settings)
    return found


class ProbeSearch(FullRuns):
    """Trains ``settings`` once each: short ones to their ends, others until they have a second checkpoint."""

    def __init__(
        self, trials: Trials, objectives: Sequence[str], settings: Sequence[Settings], last_step: int | str | None
    ) -> None:
        super().__init__(trials, objectives)
        self._left = list(settings)
        self._last_step = last_step
        self._checkpoints: dict[int, int] = {}
        self._failed: set[int] = set()
        self._in_parts: set[int] = set()
        """Trials that run and are to be paused: nothing else may wait for their cores, or they would be at once."""

    def next_step(self, left_usd: float, *, new_trials: bool = True, live_trial: int | None = None) -> Step | None:
        """The trial that is under way, until it has its checkpoints; then the next one."""
        del left_usd
        self.closed = ""
        if live_trial is not None and self._checkpoints.get(live_trial, 0) < CHECKPOINTS:
            self._in_parts.add(live_trial)
            return Step(live_trial, self._settings[live_trial], 0.0, why="the probe needs another checkpoint of it")
        if self._in_parts or not self._left or not new_trials:
            self.closed = "the probe's trials have been trained" if not self._left else "one of the probe's trials runs"
            return None
        suggestion = self._trials.open(self._left.pop(0))
        self.register(suggestion.trial, suggestion.settings)
        last = _last_step(suggestion.settings, self._last_step)
        until_usd = None if last <= SHORT_STEPS else 0.0
        if until_usd is not None:
            self._in_parts.add(suggestion.trial)
        return Step(suggestion.trial, suggestion.settings, until_usd, why="a probe of what the study will cost")

    def reached(self, trial: int, epoch: int, values: Mapping[str, float]) -> None:
        """Record a trial's checkpoint."""
        super().reached(trial, epoch, values)
        self._checkpoints[trial] = self._checkpoints.get(trial, 0) + 1

    def paused(self, trial: int, price_usd: float) -> None:
        """Mark a trial as paused: its part of the probe is done."""
        del price_usd
        self._in_parts.discard(trial)

    def ended(self, trial: int, state: TrialState, price_usd: float, reason: str = "") -> None:
        """Mark a trial as ended."""
        super().ended(trial, state, price_usd, reason)
        self._in_parts.discard(trial)
        if state is TrialState.FAILED:
            self._failed.add(trial)

    @property
    def useful(self) -> bool:
        """Whether any trial says what a training costs: it has a checkpoint and did not fail."""
        return any(count and trial not in self._failed for trial, count in self._checkpoints.items())


def _searcher(plan: StudyPlan, trials: Trials) -> ProbeSearch:
    last_step = plan.spec.last_step
    return ProbeSearch(trials, list(plan.spec.search.objectives), probe_settings(plan.space, last_step), last_step)


def _probe_document(document: StudyDocument, name: str) -> StudyDocument:
    budget = document.content.get("budget")
    usd = budget.get("usd") if isinstance(budget, Mapping) else None
    share_usd = BUDGET_SHARE * usd if isinstance(usd, int | float) and not isinstance(usd, bool) else None
    probe = document.override(name=name, trials=len(SHARES), budget_usd=share_usd)
    costs = probe.content.get("costs")
    if not isinstance(costs, Mapping):
        return probe
    kept = {term: value for term, value in costs.items() if not term.startswith(_DATA_TERMS)}
    return StudyDocument(probe.source, {**probe.content, "costs": kept}, probe.text, probe.file)


def _free_name(home: Home, name: str) -> str:
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, 10_000))
    return next(each for each in numbered if not StudyFolder(home.study(each)).path.exists())


def _shortest(domain: Domain) -> SettingValue:
    """The shortest training that still has a second checkpoint."""
    values = [value for value in domain.values if isinstance(value, int | float)] if isinstance(domain, Choices) else []
    if values:
        return min((value for value in values if value >= CHECKPOINTS), default=max(values))
    return CHECKPOINTS if domain.has(CHECKPOINTS) else domain.at_share(0.0)


def _last_step(settings: Settings, declared: int | str | None) -> float:
    """Where a training ends as far as its settings say it; infinite where they do not."""
    value = declared if isinstance(declared, int) else settings.get(declared or "epochs")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.inf
