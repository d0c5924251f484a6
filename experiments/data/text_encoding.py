"""Opening text files whose encoding their first bytes say, or a study does; nothing is guessed silently."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import TextIO

from tracker.errors import DataError

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before utf-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, and the encodings that read and drop them."""

UNDECODABLE = re.compile("[\ud800-\udfff]")
"""What stands in decoded text for a byte that is none of its encoding; no encoding gives these by itself."""


def _kept(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("kept", _kept)


def encoding_of(path: Path, given: str) -> str:
    """The encoding of a file: ``given``, or what its byte order mark says, or UTF-8.

    Raises DataError where its mark speaks of another encoding than the one given, and for the NUL bytes of UTF-16
    without a mark.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    marked = next((encoding for mark, encoding in MARKS.items() if start.startswith(mark)), "")
    if marked and given and not _agree(marked, given):
        raise DataError(
            f"{path}: encoding is {given!r}, but the file begins with the mark of {marked.removesuffix('-sig')}; leave "
            "encoding out"
        )
    if not marked and not given and b"\0" in start:
        raise DataError(
            f"{path}: its beginning holds NUL bytes, which no UTF-8 text has; if it is UTF-16 without a mark, say "
            'encoding = "utf-16-le" or "utf-16-be" in [data]'
        )
    return marked or ("utf-8-sig" if given in ("", "utf-8") else given)


def open_text(path: Path, encoding: str) -> TextIO:
    """The file as text, its line ends as they are; what cannot be decoded is UNDECODABLE."""
    return path.open(encoding=encoding, errors="kept", newline="")


def undecodable(place: str, value: str, encoding: str) -> DataError:
    """What to raise for a text with UNDECODABLE in it; ``place`` is the file, the row and the column."""
    position = UNDECODABLE.search(value)
    begin = max(0, position.start() - 30) if position else 0
    shown = UNDECODABLE.sub(_escaped, value[begin : begin + 60])
    return DataError(
        f"{place} is not {encoding.removesuffix('-sig')}: '{' '.join(shown.split())}'; name the encoding of the file "
        'in [data], such as encoding = "cp1252"'
    )


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC00 <= code <= 0xDCFF else f"\\u{code:04x}"


def _agree(marked: str, given: str) -> bool:
    return marked.removesuffix("-sig").replace("-", "") == given.replace("_", "-").removesuffix("-sig").replace("-", "")
