"""From sounds to pictures of them: log-mel spectrograms by torch alone, and masks over them.

Frequencies in mel are those of O'Shaughnessy 1987, Speech Communication, page 150, as the HTK Book (Young et al.
2006, section 5.4) uses them: mel = 2595 log10(1 + hertz / 700).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_ENERGY = 1e-6
"""Added before the logarithm: about what a narrow band holds of white noise that lies 80 dB below full scale."""

SMALLEST_VARIANCE = 1e-6
"""Keeps a clip of digital silence finite."""


def hertz_to_mel(hertz: Tensor) -> Tensor:
    """Frequencies in hertz to mel (see the module)."""
    return 2595.0 * torch.log10(1.0 + hertz / 700.0)


def mel_to_hertz(mel: Tensor) -> Tensor:
    """Frequencies in mel to hertz (see the module)."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def band_edges(bands: int, sample_rate: int) -> Tensor:
    """The ``bands`` + 2 frequencies in hertz, evenly apart in mel from 0 to half the rate, that the bands lie between.

    Band number k (from 0) begins at edge k, is centred at edge k + 1 and ends at edge k + 2.
    """
    highest = float(hertz_to_mel(torch.tensor(sample_rate / 2, dtype=torch.float64)))
    return mel_to_hertz(torch.linspace(0.0, highest, bands + 2, dtype=torch.float64))


def mel_filter_bank(bands: int, fft_length: int, sample_rate: int) -> Tensor:
    """The weights (fft_length / 2 + 1, bands) that add the energies of an FFT's frequencies up to those of the bands.

    Each band is a triangle over hertz that is 1 at its centre; at every frequency between the first and the last
    centre the weights add up to 1, so that energy is neither lost nor counted twice there.
    """
    edges = band_edges(bands, sample_rate)
    frequencies = torch.linspace(0.0, sample_rate / 2, fft_length // 2 + 1, dtype=torch.float64)[:, None]
    begin, centre, end = edges[:-2], edges[1:-1], edges[2:]
    rise = (frequencies - begin) / (centre - begin)
    fall = (end - frequencies) / (end - centre)
    return torch.minimum(rise, fall).clamp(min=0.0).float()


def fft_length(bands: int, window: int, sample_rate: int) -> int:
    """The smallest power of two that holds a window of so many samples and leaves no band without a frequency."""
    length = 1 << (window - 1).bit_length()
    while not bool((mel_filter_bank(bands, length, sample_rate) > 0).any(dim=0).all()):
        length *= 2
    return length


class LogMel(nn.Module):
    """Sounds (batch, samples), from -1 to 1, to log-mel spectrograms (batch, bands, 1 + samples / hop).

    ``window`` (a Hann window) and ``hop`` are in samples. Each spectrogram is moved and scaled to mean 0 and standard
    deviation 1, so that loudness does not matter. Computed in float32, whatever the precision around it.
    """

    def __init__(self, bands: int, window: int, hop: int, sample_rate: int) -> None:
        super().__init__()
        self.hop, self.length = hop, fft_length(bands, window, sample_rate)
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        self.register_buffer("bank", mel_filter_bank(bands, self.length, sample_rate), persistent=False)

    def energies(self, sounds: Tensor) -> Tensor:
        """The energy in each band (batch, bands, frames)."""
        found = torch.stft(
            sounds.float(),
            self.length,
            self.hop,
            len(self.window),
            self.window,
            pad_mode="constant",
            return_complex=True,
        )
        energies = found.real.square() + found.imag.square()  # on a CPU a quarter of what .abs().square() takes
        return (energies.transpose(1, 2) @ self.bank).transpose(1, 2)

    def forward(self, sounds: Tensor) -> Tensor:
        """The spectrograms of these sounds."""
        with torch.autocast(sounds.device.type, enabled=False):
            levels = torch.log(self.energies(sounds) + SMALLEST_ENERGY)
            return F.layer_norm(levels, levels.shape[1:], eps=SMALLEST_VARIANCE)


def masked(spectrograms: Tensor, time_mask: float, frequency_mask: float) -> Tensor:
    """Spectrograms (batch, bands, frames) with one stretch of frames and one of bands set to 0, their mean.

    SpecAugment without its time warping (Park et al. 2019, arXiv:1904.08779, section 2): a stretch's width is drawn
    between none and ``time_mask`` of all frames (``frequency_mask`` of all bands), then its beginning; for each
    spectrogram on its own.
    """
    frames = _stretches(spectrograms, spectrograms.shape[2], time_mask)[:, None, :]
    bands = _stretches(spectrograms, spectrograms.shape[1], frequency_mask)[:, :, None]
    return spectrograms.masked_fill(frames | bands, 0.0)


def _stretches(like: Tensor, length: int, share: float) -> Tensor:
    """True (batch, length) inside one stretch a row, of at most ``share`` of the length."""
    drawn, place = torch.rand((2, len(like), 1), device=like.device)
    width = share * length * drawn
    begin = place * (length - width)
    positions = torch.arange(length, device=like.device) + 0.5
    return (positions >= begin) & (positions < begin + width)
