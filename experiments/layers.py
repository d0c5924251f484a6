"""What several models are built of."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V (Vaswani et al. 2017, arXiv:1706.03762, eq. 1) over unmasked positions.

    ``query`` is (batch, heads, length, d_k), ``key`` and ``value`` (batch, heads, other length, d_k). ``mask`` is
    True where a position may be attended to, and may be broadcast to (batch, heads, length, other length); every row
    needs one. ``causal`` leaves each position itself and those before it; give it or a mask.
    """
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        # torch 2.13: the fused kernel's bfloat16 backward pass on CPUs takes five times as long as the formula.
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device).tril()
        scores = scores if mask is None else scores.masked_fill(~mask, -math.inf)
        return scores.softmax(dim=-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
