"""Sounds from wav files of the user's, at any rate and of any length, to clips of one rate and one length."""

from __future__ import annotations

import hashlib
import io
import math
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from tracker.errors import DataError

RULE_VERSION = 1
"""Raise it whenever files are read or split in another way."""

SPEAKER_END = "_nohash_"
"""Ends the part of a file's name that names its speaker, as in Google's Speech Commands."""

RESAMPLINGS = ("sinc", "linear")
ZERO_CROSSINGS = 16
ROLL_OFF = 0.95

PLAIN, EXTENSIBLE = 1, 0xFFFE
FORMATS = {2: "ADPCM", 3: "floating-point numbers", 6: "A-law", 7: "mu-law", 17: "ADPCM", 85: "MP3"}
"""What the format's number in a wav file means (RFC 2361), where it is not plain PCM."""

ALLOWED = "allowed: uncompressed PCM of 8, 16, 24 or 32 bits"


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A wav file, with its class and its split; ``name`` is its path below the source."""

    path: Path
    name: str
    label: str
    split: str


def sound_files(source: Path) -> list[SoundFile]:
    """The files SOURCE/CLASS/NAME.wav, or SOURCE/SPLIT/CLASS/NAME.wav with a SPLIT of SPLITS, by path.

    Without splits of its own, a file is split by a hash of its speaker (70 / 15 / 15 %), so that none is heard in two
    splits. What begins with "." or "_" is left out (Speech Commands keeps its background noise in such a folder), and
    so are files that do not end in .wav. Raises DataError.
    """
    if not source.is_dir():
        raise DataError(f"data source '{source}' is neither 'synthetic' nor a folder (looked for {source.resolve()})")
    folders = _folders(source)
    names = {folder.name for folder in folders}
    if not names & set(SPLITS):
        return [file for folder in folders for file in _files(source, folder, None)]
    if names != set(SPLITS):
        listed = ", ".join(sorted(names))
        raise DataError(
            f"{source}: its folders are {listed}; allowed: one per class, or {', '.join(SPLITS)} and no other"
        )
    return [
        file for split in sorted(folders) for folder in _folders(split) for file in _files(source, folder, split.name)
    ]


def _folders(place: Path) -> list[Path]:
    found = sorted(each for each in place.iterdir() if each.is_dir() and each.name[0] not in "._")
    if not found:
        raise DataError(f"{place}: no folder is in it; one for each class is needed, with wav files")
    return found


def _files(source: Path, folder: Path, split: str | None) -> list[SoundFile]:
    paths = sorted(each for each in folder.iterdir() if each.suffix.lower() == ".wav" and each.name[0] not in "._")
    if not paths:
        raise DataError(f"{folder}: no file in it ends in .wav; a class needs some")
    return [
        SoundFile(path, path.relative_to(source).as_posix(), folder.name, split or split_of(path.name))
        for path in paths
    ]


def split_of(file_name: str) -> str:
    """The split of a file: a hash of its speaker, the name up to SPEAKER_END, or else of the whole name."""
    return split_for_share(stable_hash(file_name.partition(SPEAKER_END)[0]) / 2**64)


def files_fingerprint(files: list[SoundFile], listed: str) -> str:
    """Changes with the name and content of any file, with its split, with ``listed`` and with the rule of reading."""
    digest = hashlib.sha256(f"rule {RULE_VERSION}, {listed}\n".encode())
    for file in files:
        try:
            content = hashlib.sha256(file.path.read_bytes()).hexdigest()
        except OSError as error:
            content = f"error {error.errno}"
        digest.update(f"{file.name}\0{file.split}\0{content}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """The sound (samples,), from -1 to 1, float32, the mean of all channels, and its samples a second.

    Raises DataError for what is no file, not RIFF, empty, truncated, or anything but plain PCM.
    """
    try:
        content = path.read_bytes()
        with wave.open(io.BytesIO(_plain(content))) as file:
            channels, width, rate, frames = file.getparams()[:4]
            raw = file.readframes(frames)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (EOFError, wave.Error) as error:
        raise DataError(f"{path}: {_reason(content, error)}") from None
    if width > 4:
        raise DataError(f"{path}: its samples have {8 * width} bits; {ALLOWED}")
    if not frames or not rate:
        raise DataError(f"{path}: it holds {frames} samples, at {rate} a second; allowed: at least one of each")
    if len(raw) < frames * channels * width:
        raise DataError(f"{path}: it is truncated: it ends after {len(raw) // (channels * width)} of {frames} samples")
    return _decoded(raw, width).reshape(frames, channels).mean(axis=1, dtype=np.float32), rate


def _plain(content: bytes) -> bytes:
    """The same file with its format called PCM where it is PCM by its longer name, which Python 3.11 does not know.

    Recordings of 24 bits and more mostly have it: WAVE_FORMAT_EXTENSIBLE, whose own number follows 24 bytes later.
    """
    if content[20:22] == EXTENSIBLE.to_bytes(2, "little") and _format(content) == PLAIN:
        return content[:20] + PLAIN.to_bytes(2, "little") + content[22:]
    return content


def _format(content: bytes) -> int | None:
    """The number of the format of a wav file; None where its header is not where most files have it."""
    if content[12:16] != b"fmt ":
        return None
    tag, own = (int.from_bytes(content[begin : begin + 2], "little") for begin in (20, 44))
    return own if tag == EXTENSIBLE else tag


def _reason(content: bytes, error: Exception) -> str:
    if not content:
        return "the file is empty"
    if content[:4] != b"RIFF":
        return f"it is no wav file: it begins with {content[:4]!r}, not with b'RIFF'"
    if isinstance(error, EOFError):
        return "it is truncated: it ends inside its header"
    if (number := _format(content)) not in (None, PLAIN):
        return f"its format is number {number} ({FORMATS.get(number, 'compressed, or unknown')}); {ALLOWED}"
    return f"it is no wav file that can be read: {error}"


def _decoded(raw: bytes, width: int) -> np.ndarray:
    """Samples of ``width`` bytes, little-endian, as numbers from -1 to 1; only those of one byte are unsigned."""
    if width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / 128
    if width == 3:
        padded = np.zeros((len(raw) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return (padded.view("<i4")[:, 0] / 2**31).astype(np.float32)
    return (np.frombuffer(raw, f"<i{width}") / 2 ** (8 * width - 1)).astype(np.float32)


def clip_of(sound: np.ndarray, rate: int, to_rate: int, seconds: float, resampling: str) -> np.ndarray:
    """The middle of a sound as int16 (seconds × to_rate,), with silence around it where it is shorter."""
    middle = fitted(sound, max(1, round(seconds * rate)))
    clip = fitted(resampled(middle, rate, to_rate, resampling), max(1, round(seconds * to_rate)))
    return np.rint(clip * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)


def fitted(sound: np.ndarray, length: int) -> np.ndarray:
    """The middle ``length`` samples of a sound, or all of it with zeros on both sides."""
    if len(sound) >= length:
        begin = (len(sound) - length) // 2
        return sound[begin : begin + length]
    before = (length - len(sound)) // 2
    return np.pad(sound, (before, length - len(sound) - before))


def resampled(sound: np.ndarray, rate: int, to_rate: int, resampling: str) -> np.ndarray:
    """A sound of ``rate`` samples a second at ``to_rate`` instead, as one of RESAMPLINGS does it.

    "linear" draws lines between samples: it is cheap, and what lies above half the new rate comes back as other
    frequencies. "sinc" is band-limited interpolation (Smith and Gossett 1984, ICASSP, "A flexible sampling-rate
    conversion method") with a Hann window over ZERO_CROSSINGS on each side, and leaves that out.
    """
    if rate == to_rate:
        return sound
    length = max(1, round(len(sound) * to_rate / rate))
    if resampling == "linear":
        return np.interp(np.arange(length) * (rate / to_rate), np.arange(len(sound)), sound).astype(np.float32)
    common = math.gcd(rate, to_rate)
    up, down = to_rate // common, rate // common
    kernels, reach = _sinc_kernels(up, down)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(sound, (reach, reach + down)), 2 * reach)
    heard = np.empty(length, np.float32)
    for phase in range(min(up, length)):  # every up-th new sample lies in the same way between old ones
        places = heard[phase::up]
        places[:] = windows[phase * down // up :: down][: len(places)] @ kernels[phase]
    return heard


@lru_cache(maxsize=8)
def _sinc_kernels(up: int, down: int) -> tuple[np.ndarray, int]:
    """The weights (up, 2 × reach) of the old samples around each new one, and how many lie before it."""
    cutoff = ROLL_OFF * min(1.0, up / down)
    reach = math.ceil(ZERO_CROSSINGS / cutoff) + 1
    after = (np.arange(up) * down % up / up)[:, None]  # where a new sample lies after the old one
    distance = np.arange(-reach, reach)[None, :] - after
    taper = np.cos(np.pi / 2 * (distance * cutoff / ZERO_CROSSINGS).clip(-1.0, 1.0)) ** 2
    return (cutoff * np.sinc(cutoff * distance) * taper).astype(np.float32), reach
