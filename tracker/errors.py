"""Every exception of the tracker, in one tree.

TrackerError                   any failure with a message of one or two lines for the user
├── RequestError               the request was wrong; the command exits with 2
│   ├── StudyFileError         one or more problems in a study file, all at once
│   ├── StudyExistsError       the name is taken; the message says how to resume
│   ├── StudyNotFoundError     no study of that name; the message lists the nearest ones
│   ├── WorkloadError          the workload cannot be loaded or lacks what the protocol asks for
│   ├── DataError              the data cannot be used: no such column, one class, an empty split
│   ├── HardwareError          this machine cannot do what was asked of it
│   ├── PriceBookError         an unknown SKU, a rate that cannot be one, a malformed price book
│   ├── ScenarioError          a scenario that is malformed, empty or includes itself
│   └── PredictionError        a time on other hardware that cannot be predicted; the message says why
└── WorkFailedError            the request was right and the work failed; the command exits with 1
    ├── TrainingFailedError    a training run cannot continue; carries the reason in one word
    ├── CatalogueError         a live catalogue of prices cannot be reached or is malformed
    ├── ClusterError           a cluster cannot be reached, or has ended
    └── StoreError             a database, a table or a log cannot be read or written
        ├── RefusedError       a store rejects what it was given
        └── NewerFormatError   a file of a format that only a newer tracker knows

BehindWarning is no failure: it says where figures are from.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class TrackerError(Exception):
    """A failure with a message of one or two lines: what was wrong, the value given, what is allowed."""

    exit_code = 1


class RequestError(TrackerError):
    """The request was wrong and nothing was done."""

    exit_code = 2


class StudyFileError(RequestError):
    """A study file with one or more problems; ``problems`` holds each as one line."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(listed_problems(source, self.problems))

    def __reduce__(self) -> tuple[type[StudyFileError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class StudyExistsError(RequestError):
    """A study of this name is already there."""


class StudyNotFoundError(RequestError):
    """There is no study of this name."""


class WorkloadError(RequestError):
    """A workload that cannot be loaded, or that lacks what the protocol asks for."""


class DataError(RequestError):
    """Data that cannot be used for this workload."""


class HardwareError(RequestError):
    """Something that this machine cannot do was asked of it."""


class PriceBookError(RequestError):
    """An unknown SKU, a rate that cannot be one, or a malformed price book."""


class ScenarioError(RequestError):
    """A scenario that is malformed, empty or includes itself."""


class PredictionError(RequestError):
    """A time on other hardware cannot be predicted: an unknown accelerator, or one where the method does not hold."""


class WorkFailedError(TrackerError):
    """The request was right and the work failed."""


class TrainingFailedError(WorkFailedError):
    """A training run that cannot continue.

    ``reason`` is one word that tables can count: ``not_finite``, ``out_of_memory``, ``error``, …
    """

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)

    def __reduce__(self) -> tuple[type[TrainingFailedError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class CatalogueError(WorkFailedError):
    """A live catalogue of prices that cannot be reached, or whose answer makes no sense."""


class ClusterError(WorkFailedError):
    """A cluster that cannot be reached, or that has ended."""


class StoreError(WorkFailedError):
    """A database, a table or an event log that cannot be read or written."""


class RefusedError(StoreError):
    """A store that rejects what it was given: retrying does not help."""


class NewerFormatError(StoreError):
    """A file of a format that only a newer tracker knows; the message names its version."""


class BehindWarning(UserWarning):
    """MLflow is behind or cannot be read, so that figures are those of event logs, or lack studies without any."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """A hint for a wrong name ``given``: the nearest allowed name, then the list.

    >>> did_you_mean("metrik", ["metric", "direction"])
    "did you mean 'metric'? allowed: direction, metric"
    """
    names = sorted(allowed)
    by_lower_case = {name.lower(): name for name in reversed(names)}
    found = difflib.get_close_matches(given.lower(), by_lower_case, n=1, cutoff=0.5)
    near = [by_lower_case[name] for name in found]
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return (f"did you mean '{near[0]}'? " if near else "") + f"allowed: {listed or 'nothing'}"


def listed_problems(source: str, problems: Sequence[str]) -> str:
    """All problems of a file, as one message.

    >>> print(listed_problems("a.toml", ["line 1, name: missing"]))
    a.toml: 1 problem
      line 1, name: missing
    """
    head = f"{source}: {len(problems)} problem{'s' if len(problems) != 1 else ''}"
    return "\n".join([head, *(f"  {problem}" for problem in problems)])
