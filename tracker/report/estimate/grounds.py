"""What an estimate rests on, in words: the past runs that it is learnt from, or why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracker.prediction.accelerators import accelerator, is_known
from tracker.report import words
from tracker.report.estimate.elsewhere import elsewhere, moved
from tracker.report.estimate.past import Past, PastRun, alike
from tracker.runner.plan import StudyPlan
from tracker.study.document import short_name

PROBE, RUNS, PREDICTED, NOTHING = "probe", "runs", "predicted", "nothing"
"""What an estimate can rest on: a probe, runs of earlier studies (and a probe), such runs on another machine as they
are predicted for this one, or no measurement at all."""


@dataclass(frozen=True, slots=True)
class Grounds:
    """The runs that an estimate rests on: how many, of which studies; in a sentence, which may say why there are none.

    ``machine`` is the other one that they ran on, "" for this; ``deviation`` is of the logarithm of their seconds here.
    """

    kind: str
    sentence: str
    runs: int = 0
    studies: tuple[str, ...] = ()
    machine: str = ""
    deviation: float = 0.0

    @property
    def document(self) -> dict[str, Any]:
        """All of it, JSON-safe."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "runs": self.runs,
            "studies": list(self.studies),
            "machine": self.machine or None,
        }


def grounds_of(plan: StudyPlan, past: Past, probe: str) -> tuple[Grounds, list[PastRun]]:
    """The past runs that say something of a study's trainings on this machine, and what they are in words.

    Where none ran on this machine, those of others as they are predicted to have taken here. ``probe`` names the study
    of its probe, "" without one.
    """
    trained = [run for run in past.runs if run.trains]
    here = [run for run in trained if run.hardware == plan.hardware.label]
    runs, unknown = alike(here, plan.space, plan.spec.last_step)
    if runs:
        return _measured(runs, probe), runs
    if not here and (found := _predicted(plan, trained)):
        return found
    return Grounds(NOTHING, _why_none(plan, past, trained, here, unknown)), []


def _measured(runs: Sequence[PastRun], probe: str) -> Grounds:
    studies = tuple(dict.fromkeys(run.study for run in runs))
    earlier = [study for study in studies if study != probe]
    probed = sum(run.study == probe for run in runs)
    parts = [f"{words.several(probed, 'probe trial')} (study '{probe}')"] if probed else []
    if earlier:
        parts.append(f"{words.several(len(runs) - probed, 'run')} of {_named(earlier)} with this training code")
    return Grounds(RUNS if earlier else PROBE, f"from {' and '.join(parts)}", len(runs), studies)


def _predicted(plan: StudyPlan, trained: Sequence[PastRun]) -> tuple[Grounds, list[PastRun]] | None:
    """The runs of the latest other machine, as they are predicted to have taken here; None where nothing can be."""
    runs, _ = alike([run for run in trained if run.hardware == trained[0].hardware], plan.space, plan.spec.last_step)
    name = plan.hardware.accelerator
    if not runs or (name and not is_known(name)):
        return None
    there = elsewhere(runs, accelerator(name) if name else None)
    if there.refused:
        return None
    machine, studies = runs[0].hardware, tuple(dict.fromkeys(run.study for run in runs))
    sentence = (
        f"predicted ({there.basis}) from {words.several(len(runs), 'run')} of {_named(studies)} with this training code"
        f" on {machine}"
    )
    grounds = Grounds(PREDICTED, sentence, len(runs), studies, machine, there.deviation)
    return grounds, moved(runs, there, plan.hardware.label)


def _named(studies: Sequence[str]) -> str:
    return f"study '{studies[0]}'" if len(studies) == 1 else f"{len(studies)} earlier studies"


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
        studies = "1 past study" if past.other_data == 1 else f"{past.other_data:,} past studies"
        return f"{studies} of {code} had other [data]"
    return f"no study with the training code {code} has run here"
