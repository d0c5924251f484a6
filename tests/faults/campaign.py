"""A campaign of faults: study after study is struck, resumed until it is done, and audited."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.results import StudyResult
from tests.faults.stores import opened
from tests.faults.struck_study import StruckStudy


@dataclass(frozen=True, slots=True)
class Campaign:
    """``kills`` strikes over studies on a kind of ``store``, drawn with ``seed``, in places below ``folder``.

    ``rest`` is the mean number of strikes a study.
    """

    kills: int
    seed: int
    store: str
    folder: Path
    say: Callable[[str], None]
    rest: int = 6

    @property
    def temporary(self) -> Path:
        """The temporary folder of all studies."""
        path = self.folder / "temporary"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def run(self) -> Iterator[StudyResult]:
        """Study after study, until all strikes are done."""
        left = self.kills
        number = 0
        while left > 0:
            result = self.study(number, left)
            left -= len(result.strikes)
            number += 1
            yield result

    def study(self, number: int, most: int) -> StudyResult:
        """One study with at most so many strikes; its draws depend on the seed and its number alone.

        Raises UnavailableError as ``opened`` does.
        """
        random = Random(f"{self.seed} {number}")
        strategy = random.choice(("frontier", "frontier", "optuna", "grid"))
        result = StudyResult(number, strategy)
        place = self.folder / str(number)
        place.mkdir(parents=True)
        with opened(self.store, place, random) as store, _environment(store.environment):
            struck = StruckStudy(result, place, store, random, self.temporary, self.say)
            struck.run(min(most, random.randint(1, 2 * self.rest - 1)))
        if not result.problems:
            shutil.rmtree(place, ignore_errors=True)
        return result


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def as_document(results: list[StudyResult], campaign: Campaign) -> dict[str, Any]:
    """A campaign's results for JSON."""
    strikes = [asdict(strike) for result in results for strike in result.strikes]
    return {
        "faults": campaign.store,
        "seed": campaign.seed,
        "kills": len(strikes),
        "studies": [{**asdict(result), "strikes": len(result.strikes)} for result in results],
        "strikes": strikes,
        "problems": sum(len(result.problems) for result in results),
    }
