"""SYNTHETIC sounds: ten classes of digit-like utterances that formulas make on this machine. They are no speech.

Nobody spoke them. They replace recordings where there are none, and what a model reaches on them says nothing
about real voices. The rule, whole:

- Source and filter (Klatt 1980, "Software for a cascade/parallel formant synthesizer", JASA 67(3):971-995). Voice is
  a train of glottal pulses (Rosenberg 1971, JASA 49(2B):583-590) with vibrato and a falling pitch, through four
  resonators, one after another, whose frequencies glide between the targets of PHONEMES. Fricatives and bursts are
  noise through one resonator.
- A speaker has a pitch, a length of the vocal tract that scales the formants, an accent that moves each phoneme's
  formants, a tempo, a breathiness, a vibrato and a microphone that tilts the spectrum.
- An utterance has its own pitch, durations, loudness, place in the clip, noise and steady background tones.
- Speakers are ordered by a hash of their number: the first 70 % are for training, the next 15 % for validation, the
  rest for the test, so that no speaker is in two splits.

Every random number follows from the seed, the speaker, the digit and the take alone.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from experiments.data.corpus import split_for_share, stable_hash
from experiments.data.phonemes import DIGITS, PHONEMES

RULE_VERSION = 1
"""Raise it whenever the rule above, or any figure below or of experiments.data.phonemes, changes."""

RATE = 16_000
SAMPLES = RATE
FRAME = RATE // 200
"""Samples between two changes of the resonators: 5 ms, as Klatt's."""

FRAMES = SAMPLES // FRAME
BANDWIDTHS = (60.0, 90.0, 150.0, 250.0)
FOURTH_FORMANT = 3300.0
LOG_HERTZ = np.log(np.fft.rfftfreq(SAMPLES, 1 / RATE).clip(min=50.0)).astype(np.float32)
AT_ONCE = 250
"""Utterances that go through the resonators together: fewer take longer, more take memory."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be said: a class of DIGITS, by which speaker, and which of that speaker's takes it is."""

    digit: str
    speaker: int
    take: int

    @property
    def name(self) -> str:
        """A name that no other utterance has."""
        return f"synthetic speaker {self.speaker}, {self.digit}, take {self.take}"


@dataclass(frozen=True, slots=True)
class Plan:
    """An utterance before it sounds.

    ``tracks`` (FRAMES, 8) are the pitch in hertz, three formants in hertz, the levels of voice and hiss, the hiss's
    middle and width in hertz; ``pulses`` and ``noise`` (SAMPLES) drive voice and hiss; ``around`` (SAMPLES) is what
    else there is to hear, where the voice has a root mean square of 1; ``tilt`` is the microphone's, ``loudness``
    the root mean square of all in the end.
    """

    tracks: np.ndarray
    pulses: np.ndarray
    noise: np.ndarray
    around: np.ndarray
    tilt: float
    loudness: float


def utterances(speakers: int, takes: int) -> list[Utterance]:
    """Every digit by every speaker, ``takes`` times."""
    return [Utterance(digit, by, take) for by in range(speakers) for digit in DIGITS for take in range(takes)]


def speaker_splits(speakers: int) -> list[str]:
    """The split of each speaker, by number."""
    order = sorted(range(speakers), key=lambda number: stable_hash(f"synthetic speaker {number}"))
    split = {number: split_for_share(rank / speakers) for rank, number in enumerate(order)}
    return [split[number] for number in range(speakers)]


def sounds(seed: int, wanted: Sequence[Utterance], processes: int = 1) -> Iterator[np.ndarray]:
    """Each utterance as a clip (SAMPLES,) of RATE samples a second, from -1 to 1, float32.

    More than two parts of AT_ONCE are made by so many processes, which come to the same.
    """
    parts = [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]
    if processes == 1 or len(parts) <= 2:
        for part in parts:
            yield from _made(seed, part)
        return
    # A forkserver, because the caller may have threads, which a fork must not copy.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("forkserver"))
    try:
        for made in pool.map(_made, repeat(seed), parts):
            yield from made
    finally:
        pool.shutdown(cancel_futures=True)  # at once, also where the caller is asked to stop


def _made(seed: int, part: Sequence[Utterance]) -> list[np.ndarray]:
    return list(render([plan(seed, each) for each in part]))


def plan(seed: int, utterance: Utterance) -> Plan:
    """Draw all that is random about an utterance."""
    digit = list(DIGITS).index(utterance.digit)
    by, here = (np.random.default_rng([seed, utterance.speaker, *more]) for more in ((), (digit, utterance.take)))
    pitch = np.exp(by.uniform(np.log(85), np.log(260)))
    # A higher voice is most often that of a shorter vocal tract, whose formants are higher.
    tract = 0.9 + 0.22 * (np.log(pitch / 85) / np.log(260 / 85)) + by.normal(0, 0.04)
    tempo, breath, tilt = by.uniform(0.75, 1.3), by.uniform(0.0, 0.06), by.uniform(-0.5, 0.7)
    vibrato_hertz, vibrato_share = by.uniform(4, 7), by.uniform(0.0, 0.04)
    accents = np.exp(by.normal(0, 0.07, (len(PHONEMES), 4)))
    accent = dict(zip(PHONEMES, accents, strict=True))
    spoken = []
    for name in DIGITS[utterance.digit]:
        phoneme = PHONEMES[name]
        formants = tract * accent[name][:3] * np.asarray(phoneme.formants) * np.exp(here.normal(0, 0.05, 3))
        hiss = phoneme.hiss * np.exp(here.normal(0, 0.4)) + breath * phoneme.voice
        row = [*formants, phoneme.voice, hiss, phoneme.hiss_hertz * accent[name][3], phoneme.hiss_width]
        frames = max(2, round(phoneme.seconds * tempo * np.exp(here.normal(0, 0.2)) * RATE / FRAME))
        spoken.append(np.tile(row, (frames, 1)))
    seconds = np.arange(FRAMES) * FRAME / RATE
    wave = vibrato_share * np.sin(2 * np.pi * (vibrato_hertz * seconds + here.random()))
    drawn = pitch * np.exp(here.normal(0, 0.08)) * (1 + here.uniform(-0.35, 0.1) * seconds + wave)
    tracks = np.column_stack([drawn, _placed(np.concatenate(spoken)[:FRAMES], here)])
    noise = here.standard_normal(SAMPLES, dtype=np.float32)
    return Plan(tracks, glottal_pulses(drawn), noise, _around(here), tilt, 10 ** (here.uniform(-40, -18) / 20))


def _placed(spoken: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """The tracks in a clip, silence around them, gliding from phoneme to phoneme."""
    before = int(chance.integers(0, FRAMES - len(spoken) + 1))
    padded = np.pad(spoken, ((before, FRAMES - before - len(spoken)), (0, 0)), mode="edge")
    padded[:before, 3:5] = 0.0
    padded[before + len(spoken) :, 3:5] = 0.0
    glide, attack = np.ones(9) / 9, np.ones(3) / 3  # 45 ms and 15 ms
    ends = np.pad(padded, ((4, 4), (0, 0)), mode="edge")
    columns = [np.convolve(ends[:, each], glide, "valid") for each in range(3)]
    columns += [np.convolve(ends[3:-3, each], attack, "valid") for each in range(3, padded.shape[1])]
    return np.column_stack(columns)


def _around(chance: np.random.Generator) -> np.ndarray:
    """Noise between white and brown, 0 to 25 dB below the voice, and up to three tones, 5 to 30 dB below it."""
    spectrum = np.fft.rfft(chance.standard_normal(SAMPLES, dtype=np.float32))
    noise = np.fft.irfft(spectrum * np.exp(np.float32(-chance.uniform(0.0, 1.0)) * LOG_HERTZ), SAMPLES)
    heard = noise * np.float32(10 ** (-chance.uniform(0, 25) / 20) / noise.std())
    for _ in range(int(chance.integers(0, 4))):
        hertz, level = np.exp(chance.uniform(np.log(100), np.log(5000))), 10 ** (-chance.uniform(5, 30) / 20)
        turns = (np.arange(SAMPLES) * (hertz / RATE) + chance.random()) % 1.0
        heard += np.float32(np.sqrt(2) * level) * np.sin(2 * np.pi * turns.astype(np.float32))
    return heard


def render(plans: Sequence[Plan]) -> Iterator[np.ndarray]:
    """The sound (SAMPLES,) of each of these plans, from -1 to 1, float32."""
    for each, voiced, hissed in zip(plans, *_through_resonators(plans), strict=True):
        voice, hiss = np.repeat(each.tracks[:, 4], FRAME), np.repeat(each.tracks[:, 5], FRAME)
        level = np.sqrt((voiced**2).sum() / max(1, np.count_nonzero(voice > 0.5)))
        mixed = voiced / level + hissed * hiss + each.around
        mixed[1:] -= each.tilt * mixed[:-1]  # the microphone
        yield (mixed * (each.loudness / mixed.std())).clip(-1.0, 1.0).astype(np.float32)


def glottal_pulses(pitch: np.ndarray) -> np.ndarray:
    """The change of the air's flow through the glottis (SAMPLES,), from the pitch in hertz (FRAMES,).

    Rosenberg's pulse of two pieces of a cosine: it opens in 40 % of a period, closes in 16 % and rests.
    """
    phase = (np.cumsum(np.repeat(pitch / RATE, FRAME)) % 1.0).astype(np.float32)
    opening = 0.5 * (1 - np.cos(np.pi * phase / 0.4))
    closing = np.cos(np.pi / 2 * (phase - 0.4) / 0.16)
    flow = np.where(phase < 0.4, opening, np.where(phase < 0.56, closing, 0.0))
    return np.diff(flow, prepend=flow[:1])


def _through_resonators(plans: Sequence[Plan]) -> tuple[np.ndarray, np.ndarray]:
    """Voiced and hissed, each (plans, SAMPLES): the voice through the formants; noise of unit variance through its own.

    y[n] = a x[n] + b y[n - 1] + c y[n - 2] for each resonator (Klatt 1980). All of them move a sample
    at once: each formant hears the one before it a sample later, which delays the voice by three samples.
    """
    gains, firsts, seconds = _coefficients(np.stack([each.tracks for each in plans]))
    driven = np.empty((SAMPLES, 2, len(plans)), np.float32)
    for number, each in enumerate(plans):
        driven[:, 0, number] = each.pulses * np.repeat(each.tracks[:, 4], FRAME)
        driven[:, 1, number] = each.noise
    last, before, drive, spare = (np.zeros(gains.shape[1:], np.float32) for _ in range(4))
    for sample in range(SAMPLES):
        frame = sample // FRAME
        drive[0], drive[4] = driven[sample]
        drive[1:4] = last[:3]
        np.multiply(before, seconds[frame], out=before)
        np.multiply(drive, gains[frame], out=drive)
        np.multiply(last, firsts[frame], out=spare)
        before += drive
        before += spare
        last, before = before, last
        driven[sample] = last[3:]
    return driven[:, 0].T.copy(), driven[:, 1].T.copy()


def _coefficients(tracks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b and c of the four formants and of the hiss, each (FRAMES, 5, plans)."""
    tract = tracks.transpose(1, 2, 0)
    fourth = np.full_like(tract[:, :1], FOURTH_FORMANT)
    hertz = np.concatenate([tract[:, 1:4], fourth, tract[:, 6:7]], axis=1).clip(max=0.48 * RATE)
    formant_widths = np.broadcast_to(np.array(BANDWIDTHS)[:, None], (FRAMES, 4, tract.shape[2]))
    widths = np.concatenate([formant_widths, tract[:, 7:8]], axis=1)
    second = -np.exp(-2 * np.pi * widths / RATE)
    first = 2 * np.exp(-np.pi * widths / RATE) * np.cos(2 * np.pi * hertz / RATE)
    gain = 1 - first - second
    # Where Klatt's gain gives a level of 1 at 0 Hz, white noise of unit variance is to keep its variance.
    gain[:, 4] = np.sqrt((1 + second) * ((1 - second) ** 2 - first**2) / (1 - second))[:, 4]
    return gain.astype(np.float32), first.astype(np.float32), second.astype(np.float32)
