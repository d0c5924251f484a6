"""A base model's weights in safetensors: which files they are, and what the heads of these say of them."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from tracker.errors import DataError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt")
LARGEST_HEAD_BYTES = 100_000_000
LENGTH = struct.Struct("<Q")


def files_of(folder: Path, pattern: str) -> list[Path]:
    """The files in ``folder`` whose names are of this pattern, by name."""
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def weight_files(name: str, folder: Path) -> list[Path]:
    """The files that transformers loads the weights of the base model ``name`` from.

    That is model.safetensors, or else those that the index names; others beside them count for nothing. Raises
    DataError where there are none, or some are missing.
    """
    whole = folder / WEIGHTS
    if whole.is_file():
        return [whole]
    if (folder / INDEX).is_file():
        listed = _listed(name, folder)
        _refuse_missing(name, (each for each, place in listed.items() if not (folder / place).is_file()), listed)
        return [folder / place for place in sorted(set(listed.values()))]
    pickled = [path.name for pattern in PICKLED for path in files_of(folder, pattern)]
    others = [path.name for path in files_of(folder, "*.safetensors")]
    why = f"{pickled[0]} is pickled, and may run code" if pickled else f"there are {', '.join(others) or 'none'}"
    raise DataError(f"base model '{name}': no weights in {folder} as safetensors, {WEIGHTS} or by {INDEX} ({why})")


def shapes_in(name: str, folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of the base model ``name``.

    Raises DataError where a file is torn, or a weight that the index names is in none.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    files = weight_files(name, folder)
    for path in files:
        try:
            shapes |= _head(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise DataError(f"base model '{name}': {path} is no whole safetensors file: {error}") from None
    if files != [folder / WEIGHTS]:
        listed = _listed(name, folder)
        _refuse_missing(name, (each for each in listed if each not in shapes), listed)
    return shapes


def _listed(name: str, folder: Path) -> dict[str, str]:
    """The file of each weight, by the index. Raises DataError."""
    path = folder / INDEX
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        return {str(weight): str(place) for weight, place in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"base model '{name}': {path} cannot be read: {error!r}") from None


def _refuse_missing(name: str, weights: Iterable[str], listed: Mapping[str, str]) -> None:
    if lacking := sorted(weights):
        raise DataError(
            f"base model '{name}': {len(lacking)} of its weights are missing, such as {lacking[0]}, which should be in"
            f" {listed[lacking[0]]}"
        )


def _head(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in a safetensors file. Raises ValueError where the file is cut short."""
    with path.open("rb") as file:
        (length,) = LENGTH.unpack(file.read(LENGTH.size))
        if length > LARGEST_HEAD_BYTES:
            raise ValueError(f"its head would be {length:,} bytes")
        head = json.loads(file.read(length))
    head.pop("__metadata__", None)
    end = LENGTH.size + length + max((int(each["data_offsets"][1]) for each in head.values()), default=0)
    if path.stat().st_size != end:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, its head speaks of {end:,}")
    return {name: tuple(int(side) for side in each["shape"]) for name, each in head.items()}
