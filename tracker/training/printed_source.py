"""What a command prints, by regular expressions, line by line, as a source of checkpoints.

A line ends with a newline or, as those of progress bars do, with a carriage return; colours are left out. The last
match of an expression on a line counts. Every value has the time at which its line was seen.

Where there is an expression for the step, a value belongs to the last step that was printed before it or on its line;
what comes before the first step belongs to none. Without one, every line with the quality is a step, counted from 1,
and what other expressions match belongs to the first such line from there on.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from tracker.errors import StoreError, TrainingFailedError
from tracker.training.pickup import Logged, whole_step

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_LINE_BYTES = 16_384
"""What is searched of a line: an expression may take long on more."""
_READ_BYTES = 8 * 2**20
_SHOWN_LINES, _SHOWN_CHARACTERS = 3, 100


class PrintedLines:
    """The lines that are new at the end of a file: without colours, each once, carriage returns taken for newlines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._open = b""  # a line that is not whole yet

    def new(self, *, last: bool = False) -> list[str]:
        """The whole lines that are new; with ``last`` everything. Raises StoreError."""
        text = bytearray(self._open)
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                while piece := file.read(_READ_BYTES):
                    self._read += len(piece)
                    text += piece
                    if not last:
                        break
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"what the command printed cannot be read: {error.strerror}") from None
        *lines, self._open = bytes(text).replace(b"\r", b"\n").split(b"\n")
        if last:
            lines, self._open = [*lines, self._open], b""
        self._open = self._open[:_LINE_BYTES]
        plain = (_ANSI.sub("", line[:_LINE_BYTES].decode(errors="replace")) for line in lines)
        return [line for line in plain if line.strip()]


class PrintedSource:
    """The source that a [report] table of regular expressions makes (pickup.Source).

    ``counted`` is the number of the last step that an earlier attempt reported, where steps are counted.
    """

    seconds_between_looks = 0.1
    runs_are = "runs"

    def __init__(
        self,
        lines: PrintedLines,
        expressions: Mapping[str, str],
        step: str,
        quality: str,
        note: Callable[[str], None],
        counted: int = 0,
    ) -> None:
        self._lines = lines
        self._texts = {**expressions, **({"step": step} if step else {})}
        # The quality last: what else is on its line belongs to the step that it closes.
        names = sorted(expressions, key=quality.__eq__)
        self._expressions = {name: re.compile(expressions[name]) for name in names}
        self._step_expression = re.compile(step) if step else None
        self._quality = quality
        self._note = note
        self._step: int | None = None
        self._counted = counted
        self._unmatched = set(self._texts)
        self._tail: deque[str] = deque(maxlen=_SHOWN_LINES)

    def new(self, *, last: bool = False) -> list[Logged]:
        """As pickup.Source.new. Raises TrainingFailedError(``bad_report``) where the quality is no number."""
        found: list[Logged] = []
        now_ms = int(time.time() * 1000)
        for line in self._lines.new(last=last):
            self._tail.append(line.strip()[:_SHOWN_CHARACTERS])
            self._take(line, now_ms, found)
        if last and self._quality not in self._unmatched:
            for name in sorted(self._unmatched - {"step"}):
                self._note(f"{self._named(name)} matched nothing that a command printed")
        return found

    def parents(self) -> Mapping[str, str]:
        """As pickup.Source.parents."""
        return {}

    def missing(self, quality: str) -> str:
        """As pickup.Source.missing."""
        if not self._tail:
            return "it printed nothing for the expressions of [report] to match"
        wrong = [name for name in (quality, "step") if name in self._unmatched]
        named = " and ".join(map(self._named, wrong))
        what = f"{named} matched nothing that it printed" if wrong else "the quality was printed before any step"
        return f"{what}; its last lines: {' / '.join(self._tail)}"

    def _named(self, name: str) -> str:
        return f"the expression for '{name}', {self._texts[name]!r},"

    def _take(self, line: str, now_ms: int, found: list[Logged]) -> None:
        if self._step_expression is not None and (text := self._match("step", self._step_expression, line)):
            step = whole_step(_plain(text))
            self._step = self._step if step is None else step
            if step is None:
                self._note(f"{self._named('step')} took {text[:40]!r}, which is not a whole number: no step is there")
        for name, expression in self._expressions.items():
            if (text := self._match(name, expression, line)) is None:
                continue
            value = self._number(name, text, line)
            step = self._step if self._step_expression is not None else self._counted + 1
            if value is None or step is None:
                continue
            found.append(Logged("", name, step, now_ms, value))
            self._counted += name == self._quality

    def _match(self, name: str, expression: re.Pattern[str], line: str) -> str | None:
        text = None
        for match in expression.finditer(line):
            text = text if match[1] is None else match[1]
        if text is not None:
            self._unmatched.discard(name)
        return text

    def _number(self, name: str, text: str, line: str) -> float | None:
        try:
            return float(_plain(text))
        except ValueError:
            said = f"{self._named(name)} took {text[:40]!r}, which is not a number"
        if name == self._quality:
            quoted = line.strip()[:_SHOWN_CHARACTERS]
            raise TrainingFailedError("bad_report", f"{said}, from the line {quoted}")
        self._note(f"{said}: such a value is left out")
        return None


def _plain(text: str) -> str:
    """A number's text as Python reads it: without commas between thousands."""
    text = text.strip()
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text
