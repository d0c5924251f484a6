"""Base models to fine-tune: where they are, whether they can be used, and what memory that takes.

A base model is one of FAMILY, which the preparation trains, a folder in Hugging Face's format, or a name of the Hub
that is in the cache of this machine: nothing is downloaded. Weights are read from safetensors alone, and no code of a
model is run. What is said of a model here is read from its configuration and from the heads of its weight files, before
anything is loaded.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from experiments.data.token_arrays import digest
from experiments.data.weight_files import files_of, shapes_in, weight_files
from tracker.errors import DataError, did_you_mean

FAMILY: Mapping[str, int] = {"library-1": 1, "library-2": 2, "library-3": 3}
"""The base models that the preparation trains, each with its size (experiments.workloads.language_model)."""

FAMILY_VERSION = 1
"""Raise it whenever the models of FAMILY become others."""

TASKS: Mapping[str, Mapping[str, Any]] = {
    "writing": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    "classification": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
}
"""What a base model is tuned to do, and the kinds of model that transformers has for it."""

CONFIGURATION = "config.json"
ADAPTERS = "adapter_config.json"
TOKENIZER = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.jinja",
    "additional_chat_templates/*.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
)
"""What decides how a text is cut into tokens, what stands around it, and which token ends it."""


@dataclass(frozen=True)
class BaseModel:
    """A base model that was found and can be used.

    Attributes:
        name: what settings call it.
        folder: where its files are.
        configuration: what its config.json says.
        shapes: the shape of each tensor in its weight files.
    """

    name: str
    folder: Path
    configuration: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def parameters(self) -> int:
        """Its parameters, as its files hold them: tied weights count once."""
        return sum(_product(shape) for shape in self.shapes.values())

    @property
    def vocabulary_size(self) -> int:
        """The rows of its embedding, as its configuration says."""
        return int(self.configuration.get("vocab_size", 0))

    @cached_property
    def content(self) -> str:
        """64 hexadecimal digits that follow from its configuration, weights and tokenizer. It reads them all."""
        found = hashlib.sha256()
        others = {path for pattern in TOKENIZER for path in files_of(self.folder, pattern)}
        for path in sorted({*weight_files(self.name, self.folder), *others}):
            with path.open("rb") as file:
                found.update(
                    path.relative_to(self.folder).as_posix().encode() + hashlib.file_digest(file, "sha256").digest()
                )
        found.update((self.folder / CONFIGURATION).read_bytes())
        return found.hexdigest()


def family_identity(base_bytes: int) -> str:
    """What identifies the models of FAMILY that were trained on so much text: how they are made."""
    return digest({"version": FAMILY_VERSION, "python": platform.python_version(), "bytes": base_bytes})


def family_folder(cache: Path, name: str, base_bytes: int) -> Path:
    """Where the model ``name`` of FAMILY is that was trained on so much text."""
    return cache / f"base-models-{family_identity(base_bytes)}" / name


def find_base(name: str, cache: Path, base_bytes: int, task: str) -> BaseModel:
    """The base model ``name``, checked for ``task``, one of TASKS.

    Raises DataError: there is no such folder or name in the cache, it is no base model, it needs code of its own, its
    weights are pickled, torn or missing, or it is of a kind that transformers cannot use for the task.
    """
    folder = family_folder(cache, name, base_bytes) if name in FAMILY else _folder(name)
    configuration = _configuration(name, folder)
    _check_kind(name, configuration, task)
    found = BaseModel(name, folder, configuration, shapes_in(name, folder))
    _check_embedding(found)
    return found


def check_tokenizer(base: BaseModel, tokens: Mapping[str, int]) -> None:
    """Refuse a tokenizer, its ``tokens`` by their text, that is another than the one the model was trained with.

    Raises DataError where it has tokens beyond the model's embedding.
    """
    text, highest = max(tokens.items(), key=lambda item: item[1], default=("", -1))
    if highest >= base.vocabulary_size:
        raise DataError(
            f"base model '{base.name}': its tokenizer has the token {highest} ({text!r}), its embedding only those from"
            f" 0 to {base.vocabulary_size - 1}: the tokenizer in {base.folder} is another model's"
        )
    if highest < 0:
        raise DataError(f"base model '{base.name}': the tokenizer in {base.folder} has no token")


def _folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if folder.is_file():
        raise DataError(f"base model '{name}' is a file; allowed: a folder with {CONFIGURATION} and weights")
    if name.startswith((".", "~")) or folder.is_absolute() or name.count("/") > 1:
        looked = f"looked for {folder.resolve()}; {did_you_mean(name, FAMILY)}"
        raise DataError(f"base model '{name}': no such folder ({looked})")
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise DataError(
            f"base model '{name}' is neither a folder (looked for {folder.resolve()}) nor in the cache of the Hugging"
            f" Face Hub on this machine, and nothing is downloaded: run `hf download {name}` first, or name a folder;"
            f" without a download: {', '.join(FAMILY)}"
        ) from None


def _configuration(name: str, folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIGURATION
    if (folder / ADAPTERS).exists():
        raise DataError(
            f"base model '{name}': {folder} holds adapters, not the model they belong to: it has {ADAPTERS}"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"base model '{name}': {folder} holds no base model: it has no {CONFIGURATION}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"base model '{name}': {path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(found, dict) or "model_type" not in found:
        raise DataError(f"base model '{name}': {path} names no model_type: {folder} holds no language model")
    return found


def _check_kind(name: str, configuration: Mapping[str, Any], task: str) -> None:
    kind = str(configuration["model_type"])
    if kind not in CONFIG_MAPPING_NAMES:
        if "auto_map" in configuration:
            raise DataError(
                f"base model '{name}' needs code from its own folder (auto_map in its {CONFIGURATION}), which is never"
                f" run: it could do anything on this machine; allowed: kinds of model that transformers has itself"
            )
        hint = did_you_mean(kind, CONFIG_MAPPING_NAMES)
        raise DataError(f"base model '{name}': transformers knows no model_type '{kind}'; {hint}")
    if kind not in TASKS[task]:
        raise DataError(f"base model '{name}': transformers has no {kind} for {task}; it has for: {_for_what(kind)}")
    if "quantization_config" in configuration:
        raise DataError(
            f"base model '{name}' is quantised already; allowed: weights in fp32, fp16 or bf16, which base_weights"
            " quantises"
        )


def _for_what(kind: str) -> str:
    return ", ".join(task for task, kinds in TASKS.items() if kind in kinds) or "neither writing nor classification"


def _check_embedding(base: BaseModel) -> None:
    rows, named = base.vocabulary_size, [name for name in base.shapes if "embed" in name or "wte" in name]
    if rows and named and not any(rows in base.shapes[name] for name in named):
        found = ", ".join(f"{name} {'×'.join(map(str, base.shapes[name]))}" for name in named[:2])
        raise DataError(
            f"base model '{base.name}': its {CONFIGURATION} speaks of a vocabulary of {rows:,}, which none of its"
            f" embeddings has ({found})"
        )


def _product(sides: Iterable[int]) -> int:
    found = 1
    for side in sides:
        found *= side
    return found
