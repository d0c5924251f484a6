"""The language model trained as the well-known minimal scripts do it: the baseline for its training.

The same model, batch, learning rates, clipping and evaluations in one plain file, without the tracker: windows drawn
from a memory-mapped file, ``F.scaled_dot_product_attention(is_causal=True)``, ``torch.optim.AdamW``, and the loss read
every few steps. It follows nanoGPT's train.py (https://github.com/karpathy/nanoGPT) and the model of nanochat
(https://github.com/karpathy/nanochat): rotary positions, normalised queries and keys, squared ReLU, no biases.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.workloads.language_model import Shape
from tracker.records import Settings

LOG_INTERVAL = 10
EVALUATION_TOKENS = 8192


class CausalSelfAttention(nn.Module):
    """Multi-head attention to what came before."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.n_head = shape.heads
        self.c_attn = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.c_proj = nn.Linear(shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        batch, length, width = x.size()
        q, k, v = self.c_attn(x).split(width, dim=2)
        q = q.view(batch, length, self.n_head, width // self.n_head).transpose(1, 2)
        k = k.view(batch, length, self.n_head, width // self.n_head).transpose(1, 2)
        v = v.view(batch, length, self.n_head, width // self.n_head).transpose(1, 2)
        q, k = norm(q).to(v.dtype), norm(k).to(v.dtype)
        q, k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))


def norm(x: Tensor) -> Tensor:
    """LayerNorm without a gain, over the last dimension."""
    return F.layer_norm(x, (x.size(-1),))


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(batch, heads, length, d) turned by its position's angle."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


class Block(nn.Module):
    """Attention, then a two-layer perceptron."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(shape.width, bias=False)
        self.attn = CausalSelfAttention(shape)
        self.ln_2 = nn.LayerNorm(shape.width, bias=False)
        self.c_fc = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.c_proj = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(batch, length, width) to the same."""
        x = x + self.attn(self.ln_1(x), cos, sin)
        return x + self.c_proj(F.relu(self.c_fc(self.ln_2(x))).square())


class MinimalGpt(nn.Module):
    """Tokens and targets (batch, length) to logits and their mean cross-entropy."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.wte = nn.Embedding(shape.padded_vocabulary, shape.width)
        self.h = nn.ModuleList([Block(shape) for _ in range(shape.depth)])
        self.ln_f = nn.LayerNorm(shape.width, bias=False)
        self.lm_head = nn.Linear(shape.width, shape.padded_vocabulary, bias=False)
        self.wte.weight = self.lm_head.weight
        half = shape.width // shape.heads // 2
        angles = torch.outer(torch.arange(shape.context_length), 10_000.0 ** -(torch.arange(half) / half))
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                std = 0.02 / math.sqrt(2 * shape.depth) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, mean=0.0, std=std)

    def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and loss."""
        x, length = self.wte(idx), idx.size(1)
        for block in self.h:
            x = block(x, self.cos[:length], self.sin[:length])
        logits = self.lm_head(self.ln_f(x))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1), ignore_index=-1)


def get_batch(data: np.ndarray, context_length: int, batch_size: int) -> tuple[Tensor, Tensor]:
    """Windows from random places, and the same one further."""
    ix = torch.randint(len(data) - context_length, (batch_size,))
    x = torch.stack([torch.from_numpy(data[i : i + context_length].astype(np.int64)) for i in ix])
    y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + context_length].astype(np.int64)) for i in ix])
    return x, y


def get_lr(step: int, steps: int, learning_rate: float, warmup_fraction: float) -> float:
    """Linear warm-up, then half a cosine."""
    if step < warmup_fraction * steps:
        return learning_rate * step / (warmup_fraction * steps)
    progress = (step / steps - warmup_fraction) / (1 - warmup_fraction)
    return learning_rate * (1 + math.cos(math.pi * progress)) / 2


@torch.no_grad()
def estimate_bits_per_byte(model: MinimalGpt, data: np.ndarray, context_length: int, precision: str) -> float:
    """Bits per byte of all of the data, window by window."""
    model.eval()
    nats, count = 0.0, len(data) - 1
    size = max(1, EVALUATION_TOKENS // context_length) * context_length
    for begin in range(0, count, size):
        x = torch.from_numpy(data[begin : min(begin + size, count)].astype(np.int64))
        y = torch.from_numpy(data[begin + 1 : min(begin + size, count) + 1].astype(np.int64))
        missing = -len(x) % context_length
        x, y = F.pad(x, (0, missing)), F.pad(y, (0, missing), value=-1)
        with autocast(precision):
            _, loss = model(x.view(-1, context_length), y.view(-1, context_length))
        nats += loss.item() * (len(x) - missing)
    model.train()
    return nats / math.log(2) / count


def autocast(precision: str) -> torch.autocast | nullcontext[None]:
    """The context to compute a forward pass in."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def train_minimal(settings: Settings, folder: Path) -> list[tuple[float, float]]:
    """Train on the bytes in a prepared folder; when each epoch was evaluated, by a steady clock, and its bits per byte.

    Of the settings it reads those that any such script has: sizes, batch, learning rate, epochs, precision.
    """
    shape, precision = Shape.of(settings, 256), str(settings["precision"])
    train_data = np.load(folder / "train-bytes.npy", mmap_mode="r")
    val_data = np.load(folder / "validation-bytes.npy", mmap_mode="r")
    if train_bytes := int(settings["train_bytes"]):
        train_data = train_data[: train_bytes + 1]
    if validation_bytes := int(settings["validation_bytes"]):
        val_data = val_data[: validation_bytes + 1]
    batch_size, epochs = int(settings["batch_size"]), int(settings["epochs"])
    steps_per_epoch = max(1, (len(train_data) - 1) // shape.context_length // batch_size)
    torch.manual_seed(0)
    model = MinimalGpt(shape)
    decay = [p for p in model.parameters() if p.dim() >= 2]
    no_decay = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": decay, "weight_decay": float(settings["weight_decay"])},
        {"params": no_decay, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=float(settings["learning_rate"]), betas=(0.9, 0.98))
    reached, best = list[tuple[float, float]](), math.inf
    for step in range(epochs * steps_per_epoch):
        lr = get_lr(
            step, epochs * steps_per_epoch, float(settings["learning_rate"]), float(settings["warmup_fraction"])
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        x, y = get_batch(train_data, shape.context_length, batch_size)
        with autocast(precision):
            _, loss = model(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), float(settings["gradient_clip"]))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % LOG_INTERVAL == 0:
            loss.item()
        if (step + 1) % steps_per_epoch == 0:
            bits = estimate_bits_per_byte(model, val_data, shape.context_length, precision)
            if bits < best:
                best = bits
                torch.save(
                    {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, folder.parent / "ckpt.pt"
                )
            reached.append((time.perf_counter(), bits))
    return reached
