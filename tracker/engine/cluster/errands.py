"""What is asked of hosts in several steps: each errand is a generator that yields a question and gets its answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tracker.engine.cluster.fleet import Answer, Fleet, HostLostError

ANSWER_SECONDS = 30.0
"""After so long a question is asked again: it, or its answer, may be lost. Hosts answer the same again."""
NEWS_SECONDS = 10.0
"""The same for news, of which several may be lost within a lease."""
LOOK_SECONDS = 1.0
Question = tuple[Any, ...]
"""A host's method and its arguments."""
Errand = Generator[Question, Any, None]
"""HostLostError is raised in it where its host is lost, and whatever its question raised there."""


def single(*question: Any) -> Errand:
    """An errand of one question, whose answer says nothing."""
    yield question


@dataclass(frozen=True, slots=True)
class _Asked:
    node_id: str
    errand: Errand
    question: Question
    at: float


class Errands:
    """The errands under way.

    ``lost`` is called with a machine whose host is gone, ``failed`` with what an errand did not expect.
    """

    def __init__(self, fleet: Fleet, lost: Callable[[str], None], failed: Callable[[Exception], None]) -> None:
        self._fleet = fleet
        self._lost = lost
        self._failed = failed
        self._asked: dict[Answer, _Asked] = {}
        self._unheard: list[_Asked] = []
        self._look_at = 0.0

    @property
    def answers(self) -> Collection[Answer]:
        """What is awaited."""
        return list(self._asked)

    def send(self, node_id: str, errand: Errand) -> None:
        """Start an errand: its first question is asked now."""
        self._proceed(node_id, errand, partial(next, errand))

    def answered(self, answer: Answer) -> None:
        """Take an answer that is there, and ask what comes next."""
        asked = self._asked.pop(answer, None)
        if asked is None:  # it was asked again meanwhile
            return
        try:
            value = self._fleet.take(answer)
        except HostLostError as error:
            self._proceed(asked.node_id, asked.errand, partial(asked.errand.throw, error))
            self._lost(asked.node_id)
        except ConnectionError:  # the host may have heard it, or not
            self._unheard.append(asked)
        except Exception as error:  # noqa: BLE001 - the errand knows what its question may raise
            self._proceed(asked.node_id, asked.errand, partial(asked.errand.throw, error))
        else:
            self._proceed(asked.node_id, asked.errand, partial(asked.errand.send, value))

    def ask_again(self) -> None:
        """Ask again what may not have been heard, and, once a second, what has waited too long for its answer."""
        now = self._fleet.now()
        unheard, self._unheard = self._unheard, []
        for asked in unheard:
            self._ask(asked.node_id, asked.errand, asked.question)
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for answer, asked in list(self._asked.items()):
            if now - asked.at > (NEWS_SECONDS if asked.question[0] == "news" else ANSWER_SECONDS):
                del self._asked[answer]
                self._ask(asked.node_id, asked.errand, asked.question)

    def lose(self, node_id: str) -> None:
        """Raise HostLostError in every errand to a machine."""
        for asked in [each for each in self._unheard if each.node_id == node_id]:
            self._unheard.remove(asked)
            self._proceed(node_id, asked.errand, partial(asked.errand.throw, HostLostError()))
        for answer, asked in list(self._asked.items()):
            if asked.node_id == node_id and self._asked.pop(answer, None) is not None:
                self._proceed(node_id, asked.errand, partial(asked.errand.throw, HostLostError()))

    def _proceed(self, node_id: str, errand: Errand, act: Callable[[], Question]) -> None:
        try:
            question = act()
        except (StopIteration, HostLostError):
            return
        except Exception as error:  # noqa: BLE001 - for whoever uses the engine
            self._failed(error)
            return
        self._ask(node_id, errand, question)

    def _ask(self, node_id: str, errand: Errand, question: Question) -> None:
        answer = self._fleet.ask(node_id, *question)
        self._asked[answer] = _Asked(node_id, errand, question, self._fleet.now())
