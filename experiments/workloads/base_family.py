"""A family of base models to fine-tune without a download: three sizes of this project's own language model.

They learn the source text of Python's standard library and are saved as Hugging Face's Persimmon, whose layers compute
the same: LayerNorm, normalised queries and keys, rotary positions, squared ReLU. Imported only where they are made (see
experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PersimmonConfig, PreTrainedTokenizerFast

from experiments.data.base_models import FAMILY, family_folder
from experiments.data.byte_pairs import cut_texts, learn_byte_pairs
from experiments.data.files import whole_folder
from experiments.data.source_text import STANDARD_LIBRARY, load_source_text
from experiments.data.windows import steps_per_epoch, training_windows
from experiments.memory import keep_freed_memory
from experiments.optimiser import OPTIMISER_KNOBS, make_optimiser, set_learning_rate
from experiments.workloads.language_model import LONGEST_WAVE, Gpt, Shape
from tracker.records import Settings

VOCABULARY = 1024
CONTEXT_LENGTH = 256
BATCH_SIZE = 8
END, PADDING = "<|end|>", "<|pad|>"
SEED = 1
LEARNING_RATE = 4e-3


def make_family(names: Sequence[str], base_bytes: int, cache: Path, progress: Callable[[str], None]) -> None:
    """Train these models of FAMILY on the first ``base_bytes`` of the training text, and save each below ``cache``.

    What is there already is left alone. Raises DataError where there is no source of the standard library.
    """
    missing = [name for name in names if not family_folder(cache, name, base_bytes).is_dir()]
    if not missing:
        return
    keep_freed_memory()
    texts = list(_first_texts(cache, base_bytes, progress))
    progress(f"learning a vocabulary of {VOCABULARY:,} tokens from {base_bytes / 1e6:g} MB of source text")
    tokenizer = _tokenizer(texts)
    end = tokenizer.token_to_id(END)
    tokens = torch.from_numpy(np.concatenate([part for each in cut_texts(tokenizer, texts) for part in (each, [end])]))
    for name in missing:
        progress(f"training the base model {name} on {len(tokens):,} tokens")
        with _one_thread():
            model = _train(FAMILY[name], tokenizer.get_vocab_size(), tokens)
        with whole_folder(family_folder(cache, name, base_bytes)) as folder:
            save_as_persimmon(model, tokenizer, folder)


def save_as_persimmon(model: Gpt, tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and the tokenizer, as transformers reads them."""
    shape = model.shape
    config = PersimmonConfig(
        architectures=["PersimmonForCausalLM"],
        vocab_size=shape.padded_vocabulary,
        hidden_size=shape.width,
        intermediate_size=4 * shape.width,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context_length,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": LONGEST_WAVE, "partial_rotary_factor": 1.0},
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
        pad_token_id=tokenizer.token_to_id(PADDING),
    )
    config.save_pretrained(folder)
    save_file(persimmon_weights(model), folder / "model.safetensors", metadata={"format": "pt"})
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PADDING)
    fast.save_pretrained(folder)


def persimmon_weights(model: Gpt) -> dict[str, Tensor]:
    """The weights under Persimmon's names; its biases, and the gains of queries and keys, are those of no effect."""
    weights = {"model.embed_tokens.weight": model.tokens.weight, **_norm("model.final_layernorm", model.norm)}
    heads, width = model.shape.heads, model.shape.width
    for number, layer in enumerate(model.layers):
        assert isinstance(layer, nn.Module)
        name = f"model.layers.{number}"
        # Ours are all queries, all keys, all values; Persimmon's are query, key and value of each head.
        fused = layer.query_key_value.weight.view(3, heads, -1, width).transpose(0, 1).reshape(3 * width, width)
        weights |= _norm(f"{name}.input_layernorm", layer.attention_norm)
        weights |= _norm(f"{name}.post_attention_layernorm", layer.perceptron_norm)
        for side in ("q_layernorm", "k_layernorm"):
            weights |= _norm(f"{name}.self_attn.{side}", nn.LayerNorm(width // heads))
        weights |= _linear(f"{name}.self_attn.query_key_value", fused)
        weights |= _linear(f"{name}.self_attn.dense", layer.output.weight)
        weights |= _linear(f"{name}.mlp.dense_h_to_4h", layer.rise.weight)
        weights |= _linear(f"{name}.mlp.dense_4h_to_h", layer.fall.weight)
    return {name: weight.detach().contiguous() for name, weight in weights.items()}


def _norm(name: str, norm: nn.LayerNorm) -> dict[str, Tensor]:
    return {f"{name}.weight": norm.weight, f"{name}.bias": torch.zeros_like(norm.weight)}


def _linear(name: str, weight: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": weight, f"{name}.bias": weight.new_zeros(len(weight))}


def _train(size: int, vocabulary_size: int, tokens: Tensor) -> Gpt:
    """One pass over the tokens (n,) with AdamW."""
    torch.manual_seed(SEED)
    model = Gpt(Shape.of(_settings(size), vocabulary_size))
    settings = {name: knob.default for name, knob in OPTIMISER_KNOBS.items()} | {"learning_rate": LEARNING_RATE}
    optimiser = make_optimiser(model, settings)
    steps = steps_per_epoch(tokens, CONTEXT_LENGTH, BATCH_SIZE)
    for step, (inputs, targets) in enumerate(training_windows(tokens, CONTEXT_LENGTH, BATCH_SIZE, SEED)):
        set_learning_rate(optimiser, settings, step / steps)
        model(inputs, targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return model.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Such small matrices gain little from more, and on busy cores threads wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settings(size: int) -> Settings:
    return {"size": size, "context_length": CONTEXT_LENGTH, "dropout": 0.0, "activation_checkpointing": False}


def _first_texts(cache: Path, base_bytes: int, progress: Callable[[str], None]) -> Iterator[str]:
    """Training documents in their order, until they have so many bytes; the last one is cut."""
    left = base_bytes
    for document in load_source_text({"source": STANDARD_LIBRARY}, cache, progress).splits["train"]:
        text = document.text.encode()[:left].decode(errors="ignore")
        left -= len(text.encode())
        if text:
            yield text
        if left <= 0:
            return


def _tokenizer(texts: Sequence[str]) -> Tokenizer:
    tokenizer = learn_byte_pairs(texts, VOCABULARY - 2)
    tokenizer.add_special_tokens([END, PADDING])
    return tokenizer
