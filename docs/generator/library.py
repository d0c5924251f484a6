"""The library's public names, from their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass

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
    """How it is called, a line each where that is long."""
    signature = inspect.signature(value)  # type: ignore[arg-type]
    parts = [_parameter(each) for name, each in signature.parameters.items() if name != "self"]
    keyword_only = [each.kind is each.KEYWORD_ONLY for name, each in signature.parameters.items() if name != "self"]
    if any(keyword_only):
        parts.insert(keyword_only.index(True), "*")
    returns = signature.return_annotation
    suffix = (
        "" if inspect.isclass(value) or returns in (inspect.Signature.empty, None, "None") else f" -> {_type(returns)}"
    )
    line = f"({', '.join(parts)}){suffix}"
    return line if len(line) < 80 else "(\n" + "".join(f"    {part},\n" for part in parts) + f"){suffix}"


def _parameter(parameter: inspect.Parameter) -> str:
    kind = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    annotation = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
    default = parameter.default
    if default is parameter.empty:
        return f"{kind}{parameter.name}{annotation}"
    shown = "…" if "<factory>" in repr(default) or is_dataclass(default) else repr(getattr(default, "value", default))
    return f"{kind}{parameter.name}{annotation} = {shown}"


def _type(annotation: object) -> str:
    return re.sub(r"(\w+\.)+", "", annotation if isinstance(annotation, str) else str(annotation)).replace("'", "")


def _text(value: object) -> str:
    """The docstring as paragraphs; a list of attributes as a list."""
    text = inspect.getdoc(value) or ""
    text = re.sub(r"^Attributes:\n", "Attributes:\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^    (\w+(?:, \w+)*): ", r"- `\1`: ", text, flags=re.MULTILINE)
    return plain(text.replace("``", "`"))
