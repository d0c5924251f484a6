from __future__ import annotations

import numpy as np
import pytest

from experiments.data import synthetic_sounds
from experiments.data.synthetic_sounds import DIGITS, FRAME, FRAMES, RATE, SAMPLES, Utterance

SOME = [Utterance(digit, speaker, 0) for digit in ("two", "six", "nine") for speaker in (0, 5)]


def made(seed, wanted):
    return list(synthetic_sounds.sounds(seed, wanted))


def test_the_same_seed_speaker_digit_and_take_give_the_same_sound_whatever_is_made_beside_it():
    together, alone = made(3, SOME), [made(3, [each])[0] for each in SOME]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_several_processes_make_the_same_sounds_in_the_same_order(monkeypatch):
    monkeypatch.setattr(synthetic_sounds, "AT_ONCE", 2)
    for one, other in zip(made(3, SOME), synthetic_sounds.sounds(3, SOME, processes=2), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_speaker_digit_or_take_gives_another_sound():
    base = Utterance("four", 1, 0)
    sound = made(0, [base])[0]
    others = made(0, [Utterance("five", 1, 0), Utterance("four", 2, 0), Utterance("four", 1, 1)]) + made(1, [base])
    for other in others:
        assert abs(np.corrcoef(sound, other)[0, 1]) < 0.3


def test_sounds_last_a_second_and_neither_clip_nor_vanish():
    for sound in made(0, SOME):
        assert sound.shape == (SAMPLES,) and sound.dtype == np.float32 and SAMPLES == RATE
        assert np.isfinite(sound).all() and np.abs(sound).max() <= 1.0
        assert 0.005 < sound.std() < 0.2


def test_every_digit_fits_into_its_clip_and_is_made_of_known_phonemes():
    assert len(DIGITS) == 10
    for digit in DIGITS:
        for speaker in range(30):
            tracks = synthetic_sounds.plan(0, Utterance(digit, speaker, 0)).tracks
            assert tracks.shape == (FRAMES, 8) and np.isfinite(tracks).all()
            heard = (tracks[:, 4] > 0.01) | (tracks[:, 5] > 0.01)
            assert 0.1 < heard.mean() < 1.0


def test_a_voice_has_the_pitch_that_it_was_given():
    for hertz in (100.0, 200.0):
        pulses = synthetic_sounds.glottal_pulses(np.full(FRAMES, hertz))
        spectrum = np.abs(np.fft.rfft(pulses))
        assert spectrum[1 : int(1.5 * hertz)].argmax() + 1 == pytest.approx(hertz, abs=1), "of the first harmonic"
        between = [int(hertz * (harmonic + 0.5)) for harmonic in range(1, 5)]
        harmonics = [int(hertz * harmonic) for harmonic in range(1, 5)]
        assert spectrum[harmonics].min() > 20 * spectrum[between].max(), "nothing between the harmonics"


def test_the_resonators_are_those_of_klatts_formula_and_the_hiss_keeps_the_variance_of_noise():
    tracks = np.tile([120.0, 500.0, 1500.0, 2500.0, 1.0, 0.2, 4000.0, 2000.0], (1, FRAMES, 1))
    gain, first, second = (each[0, :, 0].astype(float) for each in synthetic_sounds._coefficients(tracks))
    impulse = np.zeros(4000)
    for number, hertz in enumerate((500.0, 1500.0, 2500.0, 3300.0, 4000.0)):
        last = before = 0.0
        for sample in range(len(impulse)):
            last, before = gain[number] * (sample == 0) + first[number] * last + second[number] * before, last
            impulse[sample] = last
        spectrum = np.abs(np.fft.rfft(impulse))
        assert spectrum.argmax() * RATE / len(impulse) == pytest.approx(hertz, rel=0.04)
        if number < 4:
            assert spectrum[0] == pytest.approx(1.0, rel=1e-3), "a level of 1 at 0 Hz"
        else:
            assert (impulse**2).sum() == pytest.approx(1.0, rel=1e-3)


def test_formants_stand_where_the_phoneme_has_them_for_the_speaker():
    utterance = Utterance("three", 4, 0)
    plan = synthetic_sounds.plan(0, utterance)
    voiced, _ = synthetic_sounds._through_resonators([plan])
    vowel = np.flatnonzero(plan.tracks[:, 4] > 0.9)
    frames = vowel[len(vowel) // 2 :][:20]  # steady, in the middle of "ee"
    piece = voiced[0, frames[0] * FRAME : frames[-1] * FRAME]
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), RATE))
    second = int(plan.tracks[frames, 2].mean())
    peak, valley = spectrum[second - 150 : second + 150].max(), spectrum[second - 800 : second - 500].max()
    assert peak > 2 * valley, "though a voice's harmonics otherwise only fall"


def test_no_speaker_is_in_two_splits_and_every_split_has_some():
    for speakers in (7, 20, 120):
        splits = synthetic_sounds.speaker_splits(speakers)
        assert len(splits) == speakers and set(splits) == {"train", "validation", "test"}
    assert [splits.count(split) for split in ("train", "validation", "test")] == [84, 18, 18]
