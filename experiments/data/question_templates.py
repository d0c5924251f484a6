"""Questions about functions that TEMPLATES make of their signatures and docstrings: nobody asked them.

They replace questions where there are none, and what a model reaches on them says nothing about real ones. The rule,
whole:

- Functions are those of experiments.data.function_rows: of the packages that a distribution depends on, documented,
  in the first ``files_per_package`` files of each package, split by file; of each file FUNCTIONS_A_FILE, the first in
  the order of a hash, so that no generated file drowns the others.
- The text is the signature, ``name(argument: annotation=default) -> annotation``, and on a second line the first
  MAX_WORDS words of the docstring, white space collapsed; of more than MAX_CHARACTERS it is left out.
- TEMPLATES has the questions. Answers are where the signature or the docstring has them: an argument's annotation, its
  default, the argument after it, what is returned, the docstring's first sentence (of 3 to 30 words) and the line that
  documents an argument ("argument: …", with or without a type, or ":param argument: …").
- ``self`` and ``cls`` are not asked about. An answer has a letter or a digit. Of the questions about a function,
  QUESTIONS_A_FUNCTION are kept, the first in the order of a hash.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]

from experiments.data.corpus import SPLITS, stable_hash
from experiments.data.function_rows import Function, RowKind, documented_functions, load_rows, plain

RULE_VERSION = 1
"""Raise it whenever the rule above changes: old caches are then left alone and never read."""

TEMPLATES = {
    "annotation": "What type is {0}?",
    "default": "What is the default of {0}?",
    "next": "Which argument comes after {0}?",
    "returns": "What type does {0} return?",
    "purpose": "What does {0} do?",
    "meaning": "What is {0} for?",
}
MAX_WORDS = 40
MAX_CHARACTERS = 400
FUNCTIONS_A_FILE = 40
QUESTIONS_A_FUNCTION = 3
SENTENCE_WORDS = range(3, 31)

_SENTENCE = re.compile(r".*?[.!?](?=\s|$)|.+$")
_SIGN = re.compile(r"\w")

Row = tuple[str, str, str, int, str]
"""A text, a question about it, the answer, where in the text that starts, and the split."""


def load_templates(
    cache: Path, progress: Callable[[str], None], distribution: str, files_per_package: int
) -> tuple[list[Row], str]:
    """The rows under the rule above, from ``cache`` or else read with all cores, and their fingerprint.

    ``files_per_package`` 0 is for all files. Raises DataError where the distribution is not installed.
    """
    rows, fingerprint = load_rows(TEMPLATE_ROWS, cache, progress, distribution, files_per_package)
    return [(text, question, answer, start, split) for text, question, answer, start, split in rows], fingerprint


def questions_of(source: bytes) -> Iterator[tuple[str, str, str, int]]:
    """Text, question, answer and its start, for every documented function in a file's source."""
    asked = [_asked(function, docstring) for function, docstring in documented_functions(source)]
    short = [(text, found) for text, found in asked if len(text) <= MAX_CHARACTERS]
    for text, found in sorted(short, key=lambda about: stable_hash(about[0]))[:FUNCTIONS_A_FILE]:
        chosen = sorted(found, key=lambda asked: stable_hash(f"{asked[0]}\n{text}"))[:QUESTIONS_A_FUNCTION]
        for question, start, end in chosen:
            yield text, question, text[start:end], start


def _asked(function: Function, docstring: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The text about a function, and the questions with where the answer starts and ends."""
    text, parts = _signature(function)
    words = plain(docstring).split(" ")[:MAX_WORDS]
    begin = len(text) + 1
    text = f"{text}\n{' '.join(words)}"
    sentence = _SENTENCE.match(text, begin)
    if sentence and len(sentence[0].split()) in SENTENCE_WORDS:
        parts.append(("purpose", plain(function.name), begin, begin + len(sentence[0])))
    for name in _argument_names(function):
        documented = re.search(
            rf"^\s*(?::param\s+)?{re.escape(name)}\s*(?:\([^)\n]*\))?\s*:\s+(\S.*)$", docstring, re.MULTILINE
        )
        meaning = plain(documented[1]) if documented else ""
        if len(meaning.split()) in SENTENCE_WORDS and (place := text.find(meaning, begin)) >= 0:
            parts.append(("meaning", name, place, place + len(meaning)))
    return text, [
        (TEMPLATES[kind].format(name), start, end)
        for kind, name, start, end in parts
        if name not in ("self", "cls") and _SIGN.search(text, start, end)
    ]


def _argument_names(function: Function) -> list[str]:
    named = function.args
    return [argument.arg for argument in (*named.posonlyargs, *named.args, *named.kwonlyargs)]


def _signature(function: Function) -> tuple[str, list[tuple[str, str, int, int]]]:
    """The signature with annotations, and (kind of question, name, start, end) of each part of it."""
    text, parts, before = f"{plain(function.name)}(", list[tuple[str, str, int, int]](), ""
    for stars, argument, default in _arguments(function):
        text += ", " if not text.endswith("(") else ""
        if argument is None:
            text += stars
            continue
        text += stars
        if before:
            parts.append(("next", before, len(text), len(text) + len(argument.arg)))
        text += argument.arg
        before = argument.arg
        for kind, sign, node in (("annotation", ": ", argument.annotation), ("default", "=", default)):
            if node is not None:
                shown = plain(ast.unparse(node))
                text += sign + shown
                parts.append((kind, argument.arg, len(text) - len(shown), len(text)))
    text += ")"
    if function.returns is not None:
        shown = plain(ast.unparse(function.returns))
        text += f" -> {shown}"
        parts.append(("returns", plain(function.name), len(text) - len(shown), len(text)))
    return text, parts


def _arguments(function: Function) -> Iterator[tuple[str, ast.arg | None, ast.expr | None]]:
    """Stars, argument and default of each; of a lone star or slash no argument."""
    named = function.args
    positional = [*named.posonlyargs, *named.args]
    defaults = [None] * (len(positional) - len(named.defaults)) + list(named.defaults)
    for place, (argument, default) in enumerate(zip(positional, defaults, strict=True), start=1):
        yield "", argument, default
        if place == len(named.posonlyargs):
            yield "/", None, None
    if named.vararg:
        yield "*", named.vararg, None
    elif named.kwonlyargs:
        yield "*", None, None
    for argument, default in zip(named.kwonlyargs, named.kw_defaults, strict=True):
        yield "", argument, default
    if named.kwarg:
        yield "**", named.kwarg, None


TEMPLATE_ROWS = RowKind(
    name="templates",
    rule=f"rule {RULE_VERSION}, {{files_per_package}} files, splits {SPLITS}",
    columns={"text": pa.string(), "question": pa.string(), "answer": pa.string(), "start": pa.int64()},
    read=questions_of,
)
