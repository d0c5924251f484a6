"""Base models with something in them to train: adapters, the head alone or everything; and what is kept of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D
from transformers.utils import logging

from experiments.data.base_models import BaseModel
from experiments.quantisation import QUANTISED, quantise
from tracker.errors import DataError, WorkloadError
from tracker.records import Settings

logging.set_verbosity_error()
logging.disable_progress_bar()
warnings.filterwarnings("ignore", module="peft")

METHODS = ("lora", "full", "head")
BASE_WEIGHTS = ("fp32", "bf16", *QUANTISED)
KEPT_WEIGHTS = "trained.safetensors"
ALL_LINEAR = "all-linear"
SCALE_PER_RANK = 2
LINEAR = (nn.Linear, Conv1D)
"""The layers that can have adapters; GPT-2's are Conv1D."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a base model is tuned.

    ``method`` is one of METHODS, ``base_weights`` one of BASE_WEIGHTS; ``rank``, ``target_modules`` (names with blanks
    between them; empty for all linear layers) and ``dropout`` are LoRA's. ``classes`` is 0 for a model that writes.
    """

    method: str
    base_weights: str
    rank: int
    target_modules: str
    dropout: float
    classes: int = 0
    activation_checkpointing: bool = False

    def check(self, *, averaged: bool) -> None:
        """Raises WorkloadError where everything is to be trained in weights that training cannot move.

        Or where an average is to be taken of weights that have none.
        """
        if averaged and self.base_weights in QUANTISED:
            raise WorkloadError(
                f"weight_average with base_weights = {self.base_weights}: quantised weights have no average; allowed:"
                " weight_average = 0, or base_weights fp32 or bf16"
            )
        if self.method == "full" and self.base_weights != "fp32":
            raise WorkloadError(
                f"base_weights = {self.base_weights} with method = full: the steps of an optimizer are too small for"
                " such weights; allowed: fp32, or the methods lora and head, which leave the base as it is"
            )


def tuning_of(settings: Settings, classes: int = 0) -> Tuning:
    """What the settings ask to be trained. Raises WorkloadError where that is impossible."""
    tuning = Tuning(
        method=str(settings["method"]),
        base_weights=str(settings["base_weights"]),
        rank=int(settings["lora_rank"]),
        target_modules=str(settings["target_modules"]),
        dropout=float(settings["lora_dropout"]),
        classes=classes,
        activation_checkpointing=bool(settings["activation_checkpointing"]),
    )
    tuning.check(averaged=bool(settings["weight_average"]))
    return tuning


class Tuned(nn.Module):
    """A network of transformers that gives logits; its state is what is trained of it, and nothing else."""

    def __init__(self, network: nn.Module, padding: int, *, packed: bool = False) -> None:
        super().__init__()
        self.network, self.padding, self.packed = network, padding, packed
        self.register_state_dict_post_hook(_leave_out_what_is_fixed)
        self.register_load_state_dict_post_hook(_miss_nothing_fixed)

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits (rows, width, vocabulary) of the token after each of ``tokens`` (rows, width).

        Of a classifier (rows, classes).
        """
        given: dict[str, Any] = {"position_ids": positions} if self.packed else {}
        logits: Tensor = self.network(input_ids=tokens, use_cache=False, **given).logits
        return logits

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that are trained, by name."""
        return ((name, each) for name, each in self.named_parameters() if each.requires_grad)


class TunedClassifier(Tuned):
    """The same of a classifier, which must know what of a row is padding."""

    def forward(self, tokens: Tensor, positions: Tensor | None = None) -> Tensor:
        """Logits (rows, classes) of ``tokens`` (rows, width)."""
        del positions
        mask = (tokens != self.padding).long()
        logits: Tensor = self.network(input_ids=tokens, attention_mask=mask).logits
        return logits


def _leave_out_what_is_fixed(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    del metadata
    kept = {prefix + name for name, each in module.named_parameters() if each.requires_grad}
    for name in [name for name in state if name.startswith(prefix) and name not in kept]:
        del state[name]


def _miss_nothing_fixed(module: nn.Module, incompatible: Any) -> None:
    needed = {name for name, each in module.named_parameters() if each.requires_grad}
    missing = [name for name in incompatible.missing_keys if any(name.endswith(each) for each in needed)]
    incompatible.missing_keys[:] = missing


def load_base(base: BaseModel, tuning: Tuning, padding: int, device: torch.device) -> PreTrainedModel:
    """The base model's network on ``device``, its weights as the tuning wants them; nothing is trainable yet.

    Raises DataError where transformers cannot load it, HardwareError where weights cannot be quantised here.
    """
    kind: Any = AutoModelForSequenceClassification if tuning.classes else AutoModelForCausalLM
    options: dict[str, Any] = {"num_labels": tuning.classes, "pad_token_id": padding} if tuning.classes else {}
    try:
        network = kind.from_pretrained(
            base.folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32 if tuning.base_weights == "fp32" else torch.bfloat16,
            **options,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"base model '{base.name}' cannot be loaded from {base.folder}: {reason}") from None
    network.requires_grad_(False)
    if not tuning.classes:
        ends = {
            name: getattr(network.generation_config, name) for name in ("bos_token_id", "pad_token_id", "eos_token_id")
        }
        # Others would have it write another token than the likeliest, by a penalty of repetitions for instance.
        network.generation_config = GenerationConfig(**ends)
    if tuning.base_weights in QUANTISED:
        quantise(network, tuning.base_weights, device, except_for=head_names(network))
    found: PreTrainedModel = network.to(device)
    return found


def tunable(network: PreTrainedModel, tuning: Tuning) -> nn.Module:
    """``network`` with what the method trains made trainable, in fp32. Raises WorkloadError for unknown modules."""
    if tuning.activation_checkpointing:
        network.gradient_checkpointing_enable({"use_reentrant": False})
    if tuning.method == "lora":
        return _with_adapters(network, tuning)
    if tuning.method == "full":
        return network.requires_grad_(True)
    _untie(network)
    for name in head_names(network):
        _train_in_fp32(network.get_submodule(name))
    return network


def head_names(network: PreTrainedModel) -> list[str]:
    """The names of the layers behind the network's body: what gives the logits."""
    body = network.base_model_prefix
    return [name for name, _ in network.named_children() if name != body]


def save_trained(model: Tuned, method: str, folder: Path) -> None:
    """Write what was trained into ``folder``: of LoRA as peft does, of everything as transformers does."""
    network: Any = model.network
    if method == "full":
        network.save_pretrained(folder)
        return
    if method == "lora":
        network.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        return
    prefix = "network."
    kept = {name.removeprefix(prefix): each.detach().cpu().contiguous() for name, each in model.trained()}
    save_file(kept, folder / KEPT_WEIGHTS)


def load_trained(network: PreTrainedModel, tuning: Tuning, folder: Path) -> nn.Module:
    """``network`` as it was trained, by what ``save_trained`` wrote; adapters are merged where the base allows it."""
    if tuning.method == "lora":
        if set(tuning.target_modules.split()) & set(head_names(network)):
            _untie(network)  # merged into shared weights, the output layer's adapters would change the embedding too
        adapted: Any = PeftModel.from_pretrained(network, str(folder))
        merged: nn.Module = adapted if tuning.base_weights in QUANTISED else adapted.merge_and_unload()
        return merged
    if tuning.method == "head":
        _untie(network)
    state: Mapping[str, Tensor] = load_file(folder / KEPT_WEIGHTS)
    network.load_state_dict(state, strict=False)
    network.tie_weights()
    return network


def _with_adapters(network: PreTrainedModel, tuning: Tuning) -> nn.Module:
    """LoRA (Hu et al. 2021, arXiv:2106.09685): to each chosen matrix W a product B A of ``rank`` is added, times 2."""
    names = tuning.target_modules.split()
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=SCALE_PER_RANK * tuning.rank,
        lora_dropout=tuning.dropout,
        target_modules=names or ALL_LINEAR,
        task_type=TaskType.SEQ_CLS if tuning.classes else TaskType.CAUSAL_LM,
    )
    linear = {name.rpartition(".")[2] for name, each in network.named_modules() if isinstance(each, LINEAR)}
    if unknown := [name for name in names if name not in linear]:
        allowed = ", ".join(sorted(linear))
        raise WorkloadError(f"target_modules: the base model has no linear layer '{unknown[0]}'; it has: {allowed}")
    adapted: nn.Module = get_peft_model(network, config)
    for name, each in adapted.named_modules():
        if tuning.classes and name.endswith("modules_to_save.default"):
            _train_in_fp32(each)
    return adapted


def _untie(network: PreTrainedModel) -> None:
    """Give the output layer weights of its own, where it has those of the embedding."""
    head: Any = network.get_output_embeddings()
    if head is not None and head.weight is network.get_input_embeddings().weight:
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        network.config.tie_word_embeddings = False


def _train_in_fp32(module: nn.Module) -> None:
    module.to(torch.float32).requires_grad_(True)
    module.register_forward_pre_hook(_in_fp32)


def _in_fp32(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(each.float() if isinstance(each, Tensor) else each for each in given)
