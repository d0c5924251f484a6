"""One image: in grey or colour, resized to a square, as an array.

Imported only where images are prepared or come from outside (see experiments.lazy).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tracker.errors import DataError

CHANNELS = {"grey": 1, "rgb": 3}
"""The channels that images can be read in."""
GRID_SIDE = 48
"""Pixels a side that a small image of a grid is enlarged to, at most."""


def arrays_of(
    images: Sequence[Any], channels: int, side: int, fitted: Callable[[Image.Image, int], np.ndarray] | None = None
) -> np.ndarray:
    """Images from outside, one or more, as they are prepared: uint8 (images, channels, side, side).

    ``fitted`` makes an image one of ``side`` pixels each way; by default ``square`` does.

    Each is nested lists of numbers from 0 to 255: height × width, or height × width × 1, 3 (red, green, blue) or 4
    (opacity too). Raises DataError that names the image and what is wrong with it.
    """
    squares = []
    for number, image in enumerate(images, start=1):
        try:
            pixels = np.asarray(image, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(f"image {number} is not rows of equally many numbers: {error}") from error
        if pixels.ndim not in (2, 3) or not pixels.size or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
            raise DataError(
                f"image {number} is of shape {' × '.join(map(str, pixels.shape))}; allowed: height × width, or "
                "height × width × 1, 3 or 4"
            )
        if not ((pixels >= 0) & (pixels <= 255)).all():
            raise DataError(
                f"image {number} holds {pixels.min():g} to {pixels.max():g}; allowed: numbers from 0 to 255"
            )
        shades = np.rint(pixels).astype(np.uint8)
        image_of = Image.fromarray(shades[..., 0] if shades.shape[2:] == (1,) else shades)
        squares.append((fitted or square)(converted(image_of, channels), side))
    return np.stack(squares)


def fitted_arrays(images: Sequence[Any], channels: int, side: int) -> tuple[np.ndarray, list[float]]:
    """``arrays_of`` with ``letterboxed``, and by how much each image was resized. Raises DataError."""
    arrays = arrays_of(images, channels, side, letterboxed)
    return arrays, [scale_to_fit(len(image[0]), len(image), side) for image in images]


def converted(image: Image.Image, channels: int, *, upright: bool = True) -> Image.Image:
    """The image in 8-bit grey (1 channel) or colour (3), what is transparent in it on white.

    ``upright`` turns it as its EXIF orientation says; without it the pixels stay as they are stored. Raises
    ValueError for 32 bits a pixel, and whatever Pillow raises for broken files.
    """
    if upright:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits; allowed are 8 and 16")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # Pillow would cut values off at 255
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def square(image: Image.Image, side: int) -> np.ndarray:
    """The image resized, by a bilinear filter over all it covers, to uint8 (channels, side, side)."""
    resized = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    return resized[np.newaxis] if resized.ndim == 2 else resized.transpose(2, 0, 1)


def write_grid(images: np.ndarray, columns: int, path: Path) -> None:
    """Write images uint8 (n, channels, side, side) into one PNG, row by row, with a white line between them.

    Small ones are enlarged, each pixel to a square, so that they can be seen.
    """
    scale = max(1, GRID_SIDE // images.shape[-1])
    large = np.kron(images, np.ones((1, 1, scale, scale), np.uint8)).transpose(0, 2, 3, 1)
    large = np.pad(large, ((0, -len(large) % columns), (0, 1), (0, 1), (0, 0)), constant_values=255)
    rows = [np.concatenate(list(large[start : start + columns]), axis=1) for start in range(0, len(large), columns)]
    grid = np.concatenate(rows, axis=0)
    Image.fromarray(grid[..., 0] if grid.shape[-1] == 1 else grid).save(path)


def letterboxed(image: Image.Image, side: int) -> np.ndarray:
    """The image resized by scale_to_fit, its aspect ratio kept, in the top left corner of a black square.

    Gives uint8 (channels, side, side).
    """
    scale = scale_to_fit(image.width, image.height, side)
    size = tuple(max(1, round(scale * length)) for length in image.size)
    canvas = Image.new(image.mode, (side, side))
    canvas.paste(image.resize((size[0], size[1]), Image.Resampling.BILINEAR))
    whole = np.asarray(canvas)
    return whole[np.newaxis] if whole.ndim == 2 else whole.transpose(2, 0, 1)


def scale_to_fit(width: int, height: int, side: int) -> float:
    """By how much an image is resized so that its longer edge has ``side`` pixels."""
    return side / max(width, height)
