"""A line of an event log as an event, or why it is none.

Disks fill up, power is cut and files are edited: what a line says is checked before anything counts it, so that no
later step meets a missing field, NaN or a negative time. Fields and kinds of events that are not listed here are those
of a newer tracker, and pass.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from tracker.errors import PriceBookError
from tracker.pricing.price_point import price_point_from_row
from tracker.records import EnergySource, Role, TrialState

Event = Mapping[str, Any]
Check = Callable[[Any], bool]

_MOST_SECONDS = 1e11
"""Above any duration, and above any time since 1970 that a database holds."""
_MOST = 2**63 - 1
"""What databases hold as a whole number."""


def read_line(line: bytes) -> Event:
    """The event that a line holds. Raises ValueError, saying what is wrong with it."""
    try:
        event = json.loads(line.decode())
    except (ValueError, RecursionError):  # torn by a power cut or a full disk
        raise ValueError("it is not JSON") from None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        raise ValueError("it names no event")
    for name, check in _FIELDS.get(event["event"], _EVERY).items():
        if not check(event.get(name, _ABSENT)):
            said = f"is {event[name]!r:.60}" if name in event else "is missing"
            raise ValueError(f"{name} of event '{event['event']}' {said}")
    if event["event"] == "asked":
        _check_request(event)
    return event


def _check_request(asked: Event) -> None:
    """Raises ValueError where a request does not say which run it is for, or at which rate."""
    label = _LABELS.get(asked["role"])
    if label and not label.fullmatch(asked["label"]):
        raise ValueError(f"label of event 'asked' is {asked['label']!r:.60}, that of no {asked['role']}")
    if "price_point" not in asked and "sku" not in asked:
        raise ValueError("price_point of event 'asked' is missing")
    if "price_point" in asked:
        if "price_book" not in asked:
            raise ValueError("price_book of event 'asked' is missing")
        if problem := _problem_of_rate(tuple(asked["price_point"].items())):
            raise ValueError(problem)


@functools.lru_cache
def _problem_of_rate(row: tuple[tuple[str, str], ...]) -> str:
    """What is wrong with a price point's row, "" where it is one: many attempts have the same."""
    try:
        price_point_from_row(dict(row), "price_point of event 'asked'")
    except PriceBookError as error:
        return str(error)
    return ""


_ABSENT = object()
_DEVICES = ("cpu", "cuda")
_LABELS = {Role.TRIAL: re.compile(r"#[0-9]{1,9}"), Role.REPEAT: re.compile(r"#[0-9]{1,9} repeat [0-9]{1,9}")}
"""How the runs of a role are called, where their names hold numbers."""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def is_number(value: Any) -> bool:
    """Whether it is a number that is finite and no larger than databases hold."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST


def _port(value: Any) -> bool:
    return _whole(value) and 0 < value < 2**16


def _amount(value: Any) -> bool:
    return is_number(value) and 0 <= value <= _MOST


def _seconds(value: Any) -> bool:
    return is_number(value) and 0 <= value <= _MOST_SECONDS


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_text, value.values()))


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_whole, value))


def is_settings(value: Any) -> bool:
    """Whether it has a text, a number, true or false for each knob, and says where it runs."""
    if not isinstance(value, dict) or value.get("device") not in _DEVICES or not _whole(value.get("threads")):
        return False
    return all(isinstance(each, bool | str) or is_number(each) for each in value.values())


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _or_absent(check: Check) -> Check:
    return lambda value: value is _ABSENT or check(value)


def _one_of(words: type[EnergySource] | type[Role] | type[TrialState]) -> Check:
    known = frozenset(word.value for word in words)
    return lambda value: isinstance(value, str) and value in known


_a_state = _one_of(TrialState)
_is_energy_source = _one_of(EnergySource)
_USAGE_WHOLES = (
    *("accelerators", "peak_memory_bytes", "peak_accelerator_memory_bytes"),
    *("acquired_samples", "acquired_bytes", "stored_bytes", "kept_bytes"),
)


def _usage(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _seconds(value.get("wall_seconds"))
        and _amount(value.get("cpu_seconds"))
        and _whole(value.get("cores"))
        and _is_energy_source(value.get("energy_source"))
        and _seconds(value.get("startup_seconds", 0.0))
        and all(value.get(name) is None or _amount(value[name]) for name in ("waiting_seconds", "energy_joules"))
        and all(map(_whole, [value.get(name, 0) for name in _USAGE_WHOLES]))
    )


def _phases(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_seconds, value.values()))


def _card(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _text(value.get("name"))
        and _text(value.get("fingerprint"))
        and isinstance(value.get("rows"), dict)
        and all(map(_amount, value["rows"].values()))
        and _whole(value.get("classes", 0))
        and _text(value.get("description", ""))
        and _whole(value.get("size_bytes", 0))
    )


_EVERY: Mapping[str, Check] = {"time": _seconds, "steady": _or_absent(_seconds)}
"""What the fields of any event must be."""
_KINDS: Mapping[str, Mapping[str, Check]] = {
    "asked": {
        "role": _one_of(Role),
        "label": _text,
        "attempt": _whole,
        "settings": is_settings,
        "seed": _whole,
        "cores": _wholes,
        "accelerators": _or_absent(_wholes),
        "accelerator": _or_absent(_or_none(_whole)),
        "last_epoch": _or_absent(_or_none(_whole)),
        "price_point": _or_absent(_texts),
        "price_book": _or_absent(_text),
        "sku": _or_absent(_text),
        "user": _or_absent(_text),
        "node": _or_absent(_text),
        "nodes": _or_absent(lambda value: isinstance(value, list) and all(map(_text, value))),
    },
    "meeting": {"line": _port, "store": _port},
    "progress": {"message": _text},
    "ready": {"startup_seconds": _seconds},
    "checkpoint": {
        "epoch": _whole,
        "metrics": _numbers,
        "usage": _usage,
        "evaluation_seconds": _or_absent(_seconds),
    },
    "heartbeat": {"usage": _usage},
    "figures": {"figures": _numbers},
    "note": {"message": _text},
    "stop_asked": {"reason": _text},
    "saved": {"epoch": _whole},
    "restored": {"epoch": _whole},
    "state_lost": {"message": _text},
    "data": {"card": _card},
    "ended": {
        "state": lambda value: _a_state(value) and value != TrialState.RUNNING,
        "reason": _text,
        "message": _text,
        "usage": _usage,
        "phases": _phases,
        "summary": _numbers,
    },
}
"""What other fields of each kind of event must be; ``asked`` of older trackers lacks some."""
_FIELDS: Mapping[str, Mapping[str, Check]] = {kind: {**_EVERY, **fields} for kind, fields in _KINDS.items()}
