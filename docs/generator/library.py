"""The library's public names, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import tracker
from docs.generator.markdown import plain

_METHODS = ("Study", "Run")
"""The classes that are used by their methods."""


def library() -> str:
    """A section a name."""
    return "\n".join(_section(name) for name in tracker.__all__)


def public_methods(name: str) -> Iterator[tuple[str, object]]:
    """The public methods and properties of a class of the library."""
    for member, value in vars(getattr(tracker, name)).items():
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
            yield member, value


def _section(name: str) -> str:
    value = getattr(tracker, name)
    below = ""
    if name in _METHODS:
        below = "".join(f"\n### `{name}.{member}`\n\n{_member(member, each)}" for member, each in public_methods(name))
    called = "" if name in _METHODS else f"```python\n{name}{_signature(value)}\n```\n\n"
    return f"## `{name}`\n\n{called}{_text(value)}\n{below}"


def _member(name: str, value: object) -> str:
    called = "" if isinstance(value, property) else f"```python\n{name}{_signature(value)}\n```\n\n"
    return f"{called}{_text(value)}\n"


def _signature(value: object) -> str:
    try:
        text = str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(…)"
    text = re.sub(r"'([\w\[\]., |]+)'", r"\1", text).replace("(self, ", "(").replace("(self)", "()")
    parts = re.sub(r"(tracker|pathlib|collections\.abc|typing)\.(\w+\.)*", "", text)
    return parts if len(parts) < 90 else parts.replace(", ", ",\n    ").replace("(", "(\n    ", 1)


def _text(value: object) -> str:
    """The docstring as paragraphs; a list of attributes as a list."""
    text = inspect.getdoc(value) or ""
    text = re.sub(r"^Attributes:\n", "Attributes:\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^    (\w+(?:, \w+)*): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return plain(text.replace("``", "`"))
