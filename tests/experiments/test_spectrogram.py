from __future__ import annotations

import math

import pytest
import torch

from experiments.spectrogram import (
    LogMel,
    band_edges,
    fft_length,
    hertz_to_mel,
    masked,
    mel_filter_bank,
    mel_to_hertz,
)

RATE, BANDS, WINDOW, HOP = 8000, 40, 256, 128


def tone(hertz, seconds=1.0, rate=RATE, level=0.5):
    return level * torch.sin(2 * math.pi * hertz * torch.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="module")
def log_mel():
    torch.set_num_threads(1)
    return LogMel(BANDS, WINDOW, HOP, RATE)


def test_mel_is_the_formula_of_the_htk_book():
    assert float(hertz_to_mel(torch.tensor(1000.0))) == pytest.approx(999.99, abs=0.01), "1000 Hz is about 1000 mel"
    assert float(hertz_to_mel(torch.tensor(0.0))) == 0.0
    hertz = torch.tensor([0.0, 60.0, 440.0, 3999.0], dtype=torch.float64)
    torch.testing.assert_close(mel_to_hertz(hertz_to_mel(hertz)), hertz)


def test_a_band_is_a_triangle_between_its_edges():
    bank, edges = mel_filter_bank(10, 2048, RATE), band_edges(10, RATE)
    frequencies = torch.linspace(0, RATE / 2, 1025, dtype=torch.float64)
    for band in range(10):
        begin, centre, end = edges[band : band + 3].tolist()
        for frequency, weight in zip(frequencies.tolist(), bank[:, band].tolist(), strict=True):
            expected = (
                (frequency - begin) / (centre - begin) if frequency < centre else (end - frequency) / (end - centre)
            )
            assert weight == pytest.approx(max(0.0, expected), abs=1e-6)


def test_a_tone_is_loudest_in_the_band_that_holds_its_frequency(log_mel):
    edges = band_edges(BANDS, RATE)
    for band in range(4, BANDS, 5):
        centre = float(edges[band + 1])
        spectrum = log_mel.energies(tone(centre)[None])[0].mean(dim=1)
        assert int(spectrum.argmax()) == band, f"{centre:.0f} Hz"


def test_energy_is_neither_lost_nor_counted_twice_between_the_first_and_the_last_centre(log_mel):
    between = tone(700.0) + tone(1500.0) + tone(2800.0)
    bands = log_mel.energies(between[None])[0].sum()
    spectrum = torch.stft(
        between, log_mel.length, HOP, WINDOW, torch.hann_window(WINDOW), pad_mode="constant", return_complex=True
    )
    assert float(bands / spectrum.abs().square().sum()) == pytest.approx(1.0, abs=0.01)


def test_twice_the_amplitude_is_four_times_the_energy_and_the_same_spectrogram(log_mel):
    quiet, loud = tone(900.0, level=0.2)[None], tone(900.0, level=0.4)[None]
    assert float(log_mel.energies(loud).sum() / log_mel.energies(quiet).sum()) == pytest.approx(4.0, rel=1e-4)
    noise = 0.01 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_mel(2 * (quiet + noise)), log_mel(quiet + noise), atol=2e-2, rtol=0)


def test_a_spectrogram_has_a_frame_for_each_hop_mean_nothing_and_deviation_one(log_mel):
    found = log_mel(torch.randn(3, RATE, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert found.shape == (3, BANDS, 1 + RATE // HOP)
    torch.testing.assert_close(found.mean(dim=(1, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(dim=(1, 2)), torch.ones(3), atol=1e-2, rtol=0)


def test_silence_and_clips_shorter_than_the_window_have_finite_spectrograms(log_mel):
    for samples in (1, 100, RATE):
        assert bool(log_mel(torch.zeros(2, samples)).isfinite().all())


def test_no_band_is_left_without_a_frequency_however_narrow_bands_are():
    for bands, window in ((128, 64), (256, 16), (40, 256)):
        length = fft_length(bands, window, RATE)
        assert length >= window
        assert bool((mel_filter_bank(bands, length, RATE).sum(dim=0) > 0).all())
    assert fft_length(40, 256, RATE) == 256, "no longer than it must be"


def test_under_bfloat16_a_spectrogram_is_computed_in_float32(log_mel):
    clip = tone(500.0)[None]
    with torch.autocast("cpu", torch.bfloat16):
        found = log_mel(clip)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, log_mel(clip))


def test_masks_are_one_stretch_of_time_and_one_of_bands_no_larger_than_allowed():
    torch.manual_seed(0)
    spectrograms = torch.rand(200, 40, 60) + 1.0
    found = masked(spectrograms, 0.25, 0.5)
    hidden = found == 0.0
    frames, bands = hidden.all(dim=1), hidden.all(dim=2)
    assert bool((hidden == (frames[:, None, :] | bands[:, :, None])).all()), "nothing but whole frames and whole bands"
    for stretch, most in ((frames, 0.25 * 60), (bands, 0.5 * 40)):
        sizes = stretch.sum(dim=1)
        assert int(sizes.max()) <= most + 1 and float(sizes.float().mean()) == pytest.approx(most / 2, rel=0.15)
        starts = (stretch[:, 1:] & ~stretch[:, :-1]).sum(dim=1)
        assert int(starts.max()) == 1, "in one piece"
        assert len(set(sizes.tolist())) > 5, "each spectrogram has its own"
    torch.testing.assert_close(found[~hidden], spectrograms[~hidden])


def test_no_mask_changes_nothing():
    spectrograms = torch.rand(4, 40, 60)
    torch.testing.assert_close(masked(spectrograms, 0.0, 0.0), spectrograms)
