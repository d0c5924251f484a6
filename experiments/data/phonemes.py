"""What the SYNTHETIC digits are made of (see experiments.data.synthetic_sounds): targets of a formant synthesizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phoneme:
    """What a sound of a word aims at: formants and the middle and width of its noise in hertz, levels from 0 to 1."""

    formants: tuple[float, float, float]
    seconds: float
    voice: float = 1.0
    hiss: float = 0.0
    hiss_hertz: float = 4000.0
    hiss_width: float = 2000.0


PHONEMES: Mapping[str, Phoneme] = {
    "iy": Phoneme((300, 2050, 2960), 0.15),
    "ih": Phoneme((400, 1800, 2570), 0.11),
    "eh": Phoneme((530, 1680, 2500), 0.11),
    "ah": Phoneme((620, 1220, 2550), 0.13),
    "uh": Phoneme((500, 1350, 2450), 0.07),
    "ao": Phoneme((600, 990, 2570), 0.15),
    "ey1": Phoneme((480, 1720, 2520), 0.09),
    "ey2": Phoneme((330, 2020, 2600), 0.09),
    "ay1": Phoneme((660, 1200, 2550), 0.10),
    "ay2": Phoneme((400, 1880, 2500), 0.09),
    "ow1": Phoneme((540, 1100, 2300), 0.09),
    "ow2": Phoneme((450, 900, 2300), 0.09),
    "uw1": Phoneme((350, 1250, 2200), 0.10),
    "uw2": Phoneme((320, 900, 2200), 0.09),
    "w": Phoneme((290, 610, 2150), 0.08, voice=0.6),
    "r": Phoneme((310, 1060, 1380), 0.08, voice=0.7),
    "n": Phoneme((480, 1340, 2470), 0.09, voice=0.4),
    "v": Phoneme((220, 1100, 2080), 0.08, voice=0.3, hiss=0.06, hiss_hertz=4500, hiss_width=4000),
    "z": Phoneme((240, 1390, 2530), 0.09, voice=0.25, hiss=0.20, hiss_hertz=5500, hiss_width=1500),
    "f": Phoneme((340, 1100, 2080), 0.11, voice=0.0, hiss=0.09, hiss_hertz=4500, hiss_width=4000),
    "th": Phoneme((320, 1290, 2540), 0.11, voice=0.0, hiss=0.07, hiss_hertz=5800, hiss_width=3500),
    "s": Phoneme((320, 1390, 2530), 0.12, voice=0.0, hiss=0.30, hiss_hertz=5500, hiss_width=1500),
    "gap": Phoneme((350, 1700, 2600), 0.06, voice=0.0),
    "t": Phoneme((400, 1600, 2600), 0.04, voice=0.0, hiss=0.35, hiss_hertz=4200, hiss_width=2500),
    "k": Phoneme((300, 1990, 2850), 0.04, voice=0.0, hiss=0.30, hiss_hertz=2000, hiss_width=600),
}
"""Formants after Klatt 1980, tables II and III; durations, levels, noises and "uh" were chosen here."""

DIGITS: Mapping[str, Sequence[str]] = {
    "zero": ("z", "iy", "r", "ow1", "ow2"),
    "one": ("w", "ah", "n"),
    "two": ("t", "uw1", "uw2"),
    "three": ("th", "r", "iy"),
    "four": ("f", "ao", "r"),
    "five": ("f", "ay1", "ay2", "v"),
    "six": ("s", "ih", "gap", "k", "s"),
    "seven": ("s", "eh", "v", "uh", "n"),
    "eight": ("ey1", "ey2", "gap", "t"),
    "nine": ("n", "ay1", "ay2", "n"),
}
"""The phonemes of each class's utterances."""
