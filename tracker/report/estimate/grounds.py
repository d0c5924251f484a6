"""What an estimate rests on, in words: the past runs that it is learnt from, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracker.report import words
from tracker.report.estimate.past import Past, PastRun, alike
from tracker.runner.plan import StudyPlan
from tracker.study.document import short_name

PROBE, RUNS, NOTHING = "probe", "runs", "nothing"
"""What an estimate can rest on: a probe, runs of earlier studies (and a probe), or no measurement at all."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """The runs that an estimate rests on: how many, of which studies, in a sentence; and a sentence for others."""

    kind: str
    sentence: str
    runs: int = 0
    studies: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe."""
        return {"kind": self.kind, "sentence": self.sentence, "runs": self.runs, "studies": list(self.studies)}


def grounds_of(plan: StudyPlan, past: Past, probe: str) -> tuple[Grounds, list[PastRun]]:
    """The past runs that say something of a study's trainings on this machine, and what they are in words.

    ``probe`` names the study of its probe, "" without one.
    """
    trained = [run for run in past.runs if run.trains]
    here = [run for run in trained if run.hardware == plan.hardware.label]
    runs, unknown = alike(here, plan.space)
    if not runs:
        return Grounds(NOTHING, _why_none(plan, past, trained, here, unknown)), []
    studies = tuple(dict.fromkeys(run.study for run in runs))
    earlier = [study for study in studies if study != probe]
    parts = []
    if probed := sum(run.study == probe for run in runs):
        parts.append(f"{words.several(probed, 'probe trial')} (study '{probe}')")
    if earlier:
        count = len(runs) - probed
        of = f"study '{earlier[0]}'" if len(earlier) == 1 else f"{len(earlier)} earlier studies"
        parts.append(f"{words.several(count, 'run')} of {of} with this training code")
    kind = RUNS if earlier else PROBE
    return Grounds(kind, f"from {' and '.join(parts)}", len(runs), studies), runs


def _why_none(
    plan: StudyPlan, past: Past, trained: Sequence[PastRun], here: Sequence[PastRun], unknown: Sequence[str]
) -> str:
    """Why no past run says anything."""
    code = short_name(plan.spec.workload)
    if here:
        return f"none of {words.several(len(here), 'past run')} of {code} had this study's {', '.join(unknown)}"
    if trained:
        machines = ", ".join(dict.fromkeys(run.hardware for run in trained))
        return f"{words.several(len(trained), 'past run')} of {code} trained on another machine ({machines})"
    if past.other_data:
        return f"{words.several(past.other_data, 'past study')} of {code} had other [data]".replace("studys", "studies")
    return f"no study with the training code {code} has run here"
