"""What one training step computes: its floating-point operations, its bytes, and the kernels that it starts.

Together with the seconds of a step they say how much of a device was in use (FLOPs a second against its peak, bytes a
second against its bandwidth), and how fast a step can be at most on any device (kernels times what starting one takes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tracker.training.step_bytes import moved_bytes

_aten = torch.ops.aten

_FLOPS: Mapping[Any, Callable[..., int]] = {
    _aten._scaled_dot_product_flash_attention_for_cpu: flop_registry[_aten._scaled_dot_product_flash_attention],
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: flop_registry[
        _aten._scaled_dot_product_flash_attention_backward
    ],
    **flop_registry,
}
"""The floating-point operations of an operator by its arguments; PyTorch's list lacks attention on a CPU."""

_PRODUCTS = frozenset(
    {
        *("mm", "addmm", "bmm", "addbmm", "baddbmm", "mv", "addmv", "matmul", "linear", "bilinear", "trilinear"),
        *("convolution", "conv1d", "conv2d", "conv3d", "attention", "rnn"),
    }
)
"""Words in the names of operators that have floating-point operations to count, whether a formula is known or not."""

_STARTS_NOTHING = frozenset(
    {
        *(_aten.empty, _aten.empty_like, _aten.empty_strided, _aten.new_empty, _aten.new_empty_strided),
        *(_aten.lift_fresh, _aten._unsafe_view, _aten._reshape_alias, _aten.detach, _aten.detach_, _aten.alias),
        *(_aten.set_, _aten.resize_, _aten.is_same_size, _aten._fused_sdp_choice),
    }
)
"""Operators that compute nothing, beside views: they give out memory, or say something about a tensor."""


@cache
def _has_products(operator: Any) -> bool:
    return not _PRODUCTS.isdisjoint(str(operator.__name__).split("_"))


def _flops(operator: Any, args: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> int:
    formula = _FLOPS[operator]
    if (of_shapes := getattr(formula, "__wrapped__", None)) is None:
        return int(formula(*args, **named, out_val=result))
    # What PyTorch wraps it in looks for tensors in every argument, and takes longer than the formula.
    return int(of_shapes(*map(_shape, args), **named, out_shape=_shape(result)))


def _shape(value: Any) -> Any:
    """The shape of a tensor, those of several in a tuple; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.shape
    return tuple(map(_shape, value)) if isinstance(value, tuple | list) else value


@cache
def _computes(func: Any) -> bool:
    return not func.is_view and func.overloadpacket not in _STARTS_NOTHING


@cache
def _dispatches(kind: type) -> bool:
    """Whether tensors of a kind do their operators by themselves."""
    return getattr(kind, "__torch_dispatch__", None) is not torch._C._disabled_torch_dispatch_impl


class StepCounts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is computed inside of it, and changes nothing of it.

    Attributes:
        flops: floating-point operations of matrix products, convolutions and attention; None where one of them cannot
            be worked out: recurrent networks and tensors of a kind of their own, such as nested ones.
        bytes: what operators read and write (step_bytes.moved_bytes); None where one has tensors of such a kind.
        operations: operators that compute something, each of which starts a kernel or, over a list, a few.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int | None = 0
        self.bytes: int | None = 0
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        result = func(*args, **named)
        if any(map(_dispatches, types)) or not isinstance(func, torch._ops.OpOverload):
            self.flops = self.bytes = None  # what is called in turn is not seen
            self.operations += 1
            return result
        if _computes(func):
            self.operations += 1
            self._move(func, args, named, result)
        if self.flops is not None and _has_products(func.overloadpacket):
            try:
                self.flops += _flops(func.overloadpacket, args, named, result)
            except Exception:  # noqa: BLE001 - a formula that is missing or fails costs the figure alone
                self.flops = None
        return result

    def _move(self, func: Any, args: tuple[Any, ...], named: Mapping[str, Any], result: Any) -> None:
        if self.bytes is not None:
            try:
                self.bytes += moved_bytes(func, args, named, result)
            except Exception:  # noqa: BLE001 - a tensor without a storage costs the figure alone
                self.bytes = None


_UNCOUNTED = nullcontext()


class StepCounting:
    """Counts the second of the steps that are put into ``step``, unless it is ``off``: the first sets things up.

    ``found`` receives the figures ``step_operations`` and, where they are known, ``step_flops`` and ``step_bytes``.
    """

    def __init__(self, found: Callable[..., None], *, off: bool) -> None:
        self._found = found
        self._before = 1
        self.off = off

    def step(self) -> AbstractContextManager[None]:
        """Put one step into it."""
        if self.off:
            return _UNCOUNTED
        if self._before:
            self._before -= 1
            return _UNCOUNTED
        self.off = True
        return self._counted()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        counts = StepCounts()
        with counts:
            yield
        known = {"step_flops": counts.flops, "step_bytes": counts.bytes}
        self._found(
            step_operations=counts.operations, **{name: each for name, each in known.items() if each is not None}
        )
