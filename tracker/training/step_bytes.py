"""The bytes that an operator reads and writes: the sizes of the tensors that it is given and of those that it gives.

What caches save is not known: on a device less goes to and from its memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch

_aten = torch.ops.aten

_LOOKS_UP = frozenset({_aten.embedding, _aten.index, _aten.index_select, _aten.gather})
"""Operators that read no more of their first argument than they give back."""


def moved_bytes(func: torch._ops.OpOverload, args: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> int:
    """The bytes of one call of an operator. Raises whatever a tensor raises whose size is not known."""
    read, written = _size([*args, *named.values()]), _size(result)
    if func.overloadpacket in _LOOKS_UP:
        table = _size(args[0])
        read += min(table, written) - table
    if not func._schema.returns:  # it writes into what it is given, as operators over lists do
        written = sum(_size(args[at]) for at in _changed(func) if at < len(args))
    return read + written


@cache
def _changed(func: torch._ops.OpOverload) -> tuple[int, ...]:
    """The places of the arguments that an operator writes into."""
    of_arguments = enumerate(func._schema.arguments)
    return tuple(at for at, each in of_arguments if each.alias_info is not None and each.alias_info.is_write)


def _size(value: Any) -> int:
    """The bytes of a tensor, what is repeated in it counted once; of several their sum; 0 of anything else."""
    if isinstance(value, torch.Tensor):
        return min(value.nbytes, value.untyped_storage().nbytes())
    return sum(map(_size, value)) if isinstance(value, tuple | list) else 0
