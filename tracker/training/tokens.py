"""How many tokens a prediction has for a language model, counted on a study's own texts.

The counting is done by rs-bpe, an optional extra, because it holds the vocabulary itself: OpenAI's o200k_base,
the one of GPT-4o and its successors. Nothing is fetched. Models of other makers have vocabularies of their own.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracker.errors import RequestError
from tracker.pricing.llm_api import EXTRA, PredictionTokens
from tracker.study.document import short_name

TOKENIZER = "o200k_base"
MAX_TEXTS = 10_000
"""Puts the mean's standard error at 2 % where the lengths' standard deviation is twice their mean."""

_INSTEAD = "give the number of tokens per text instead (--input-tokens)"


def measure_tokens(
    workload: str, data: Mapping[str, Any], settings: Mapping[str, Any], cache: Path, fingerprint: str
) -> PredictionTokens:
    """Mean tokens of a study's texts and of their answers. To be called in a child process.

    ``settings`` are the study's own; ``fingerprint`` is that of the data it began with. Raises RequestError where
    the workload has no texts, the data are others now, or rs-bpe is not installed; WorkloadError, DataError.
    """
    # Here and not at the top: it brings torch, for which the process that asks for the count has no use.
    from tracker.training.loading import load_workload
    from tracker.training.workload import TellsTexts

    count = token_counter()
    with contextlib.redirect_stdout(sys.stderr):  # the caller's standard output may be a JSON document
        loaded = load_workload(workload)
        if not isinstance(loaded, TellsTexts):
            raise RequestError(
                f"workload '{short_name(workload)}' has no texts (prediction_texts) to count tokens of; {_INSTEAD}"
            )
        defaults = {name: knob.default for name, knob in loaded.knobs.items() if knob.default is not None}
        texts = loaded.prediction_texts(data, {**defaults, **settings}, cache, MAX_TEXTS)
    if texts.fingerprint != fingerprint:
        raise RequestError(f"the data are no longer those that the study started with ('{fingerprint}'); {_INSTEAD}")
    if not texts.inputs or len(texts.inputs) != len(texts.outputs):
        raise RequestError(
            f"workload '{short_name(workload)}' gives {len(texts.inputs)} texts and {len(texts.outputs)} answers;"
            f" {_INSTEAD}"
        )
    return PredictionTokens(
        input_tokens=_mean(count, texts.inputs),
        output_tokens=_mean(count, texts.outputs),
        input_source="measured",
        output_source="measured",
        tokenizer=f"{TOKENIZER} (rs-bpe {importlib.metadata.version('rs-bpe')})",
        texts=len(texts.inputs),
        split=texts.split,
    )


def token_counter() -> Callable[[str], int]:
    """Tells the number of tokens of a text. Raises RequestError where rs-bpe is not installed."""
    try:
        openai = importlib.import_module("rs_bpe.bpe").openai
    except ImportError:
        raise RequestError(f"rs-bpe, which counts tokens, is not installed; {EXTRA}, or {_INSTEAD}") from None
    tokenizer = openai.o200k_base()

    def count(text: str) -> int:
        # Half a surrogate pair is no character; a service would refuse it or read a question mark.
        return int(tokenizer.count(text.encode("utf-8", "replace").decode()))

    return count


def _mean(count: Callable[[str], int], texts: Sequence[str]) -> float:
    return sum(map(count, texts)) / len(texts)
