from __future__ import annotations

import math
import struct
import wave

import numpy as np
import pytest

from experiments.data.sounds import (
    clip_of,
    files_fingerprint,
    fitted,
    read_wav,
    resampled,
    sound_files,
    split_of,
)
from tracker.errors import DataError


def tone(hertz, rate, seconds=0.5, level=0.5):
    return (level * np.sin(2 * math.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pcm(sound, width):
    """Whole numbers of ``width`` bytes, as wav files hold them."""
    whole = np.rint(np.asarray(sound, np.float64) * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        return (whole + 128).astype(np.uint8).tobytes()
    return b"".join(int(each).to_bytes(width, "little", signed=True) for each in whole)


def write_wav(path, sound, rate=8000, width=2, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(pcm(sound, width))
    return path


def header(tag, width=2, rate=8000, data=b"\0" * 8, more=b""):
    """A wav file with any format number; ``more`` is what its format chunk resumes."""
    form = struct.pack("<HHIIHH", tag, 1, rate, rate * width, width, 8 * width) + more
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def loudest_hertz(sound, rate):
    return float(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * rate / len(sound))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_bit_depth_comes_back_as_it_was_written(tmp_path, width):
    sound = np.array([0.0, 0.5, -0.5, 0.99, -0.99, 0.25], np.float32)
    found, rate = read_wav(write_wav(tmp_path / "a.wav", sound, rate=11_025, width=width))
    assert rate == 11_025 and found.dtype == np.float32
    np.testing.assert_allclose(found, sound, atol=1.5 / 2 ** (8 * width - 1))


def test_the_loudest_samples_of_16_bits_survive_a_round_trip_exactly(tmp_path):
    whole = np.array([-(2**15), -1, 0, 1, 2**15 - 1], np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, len(whole), "NONE", ""))
        file.writeframes(whole.tobytes())
    sound, rate = read_wav(tmp_path / "a.wav")
    np.testing.assert_array_equal(clip_of(sound, rate, 8000, len(whole) / 8000, "sinc"), whole)


def test_channels_are_averaged(tmp_path):
    left, right = tone(300, 8000), tone(700, 8000)
    both = np.stack([left, right], axis=1).reshape(-1)
    found, _ = read_wav(write_wav(tmp_path / "a.wav", both, channels=2))
    np.testing.assert_allclose(found, (left + right) / 2, atol=1e-4)


def test_pcm_by_its_longer_name_is_read_and_floats_by_it_are_not(tmp_path):
    data, path = pcm(tone(440, 8000), 3), tmp_path / "a.wav"
    for number, more in ((1, b""), (3, b"")):
        more = struct.pack("<HHI", 22, 24, 4) + struct.pack("<H", number) + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
        path.write_bytes(header(0xFFFE, width=3, data=data, more=more))
        if number == 1:
            np.testing.assert_allclose(read_wav(path)[0], tone(440, 8000), atol=1e-6)
        else:
            with pytest.raises(DataError, match=r"format is number 3 \(floating-point numbers\)"):
                read_wav(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"OggS" + b"\0" * 60, "it is no wav file: it begins with b'OggS', not with b'RIFF'"),
        (b"ID3", "begins with b'ID3'"),
        (b"RIFF\x10\0\0\0WAVE", "no wav file that can be read"),
        (b"RIFF\x10\0", "it is truncated: it ends inside its header"),
        (header(1)[:30], "truncated|no wav file that can be read"),
        (header(1)[:-2], "it is truncated: it ends after 3 of 4 samples"),
        (header(1, data=b""), "it holds 0 samples, at 8000 a second"),
        (header(1, rate=0), "it holds 4 samples, at 0 a second"),
        (header(7, width=1), r"its format is number 7 \(mu-law\); allowed: uncompressed PCM of 8, 16, 24 or 32 bits"),
        (header(3, width=4), r"its format is number 3 \(floating-point numbers\)"),
        (header(85), r"number 85 \(MP3\)"),
        (header(1, width=8), "its samples have 64 bits; allowed"),
        (header(1, width=0), "no wav file that can be read"),
    ],
)  # fmt: skip
def test_a_corrupt_file_is_named_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "broken one 🎤 'x'.wav"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as problem:
        read_wav(path)
    assert str(problem.value).startswith(f"{path}: ") and len(str(problem.value).splitlines()) == 1


def test_a_folder_in_the_place_of_a_file_is_reported(tmp_path):
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(DataError, match=r"a\.wav: cannot be read"):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize(("rate", "to_rate"), [(16_000, 8000), (44_100, 16_000), (8000, 16_000), (11_025, 7999)])
@pytest.mark.parametrize("resampling", ["sinc", "linear"])
def test_resampling_keeps_a_tones_frequency_and_level(rate, to_rate, resampling):
    found = resampled(tone(440, rate), rate, to_rate, resampling)
    assert abs(len(found) - 0.5 * to_rate) <= 1 and found.dtype == np.float32
    assert loudest_hertz(found, to_rate) == pytest.approx(440, abs=2.5)
    middle = slice(len(found) // 10, -len(found) // 10)
    np.testing.assert_allclose(found[middle], tone(440, to_rate)[: len(found)][middle], atol=0.02)


def test_sinc_leaves_out_what_the_new_rate_cannot_hold_and_linear_brings_it_back_as_another_tone():
    high = tone(6000, 16_000)
    level = {kind: float(resampled(high, 16_000, 8000, kind)[200:-200].std()) for kind in ("sinc", "linear")}
    assert level["sinc"] < 0.005 < 0.3 < level["linear"]
    assert loudest_hertz(resampled(high, 16_000, 8000, "linear"), 8000) == pytest.approx(2000, abs=3)


def test_the_middle_of_a_longer_sound_is_kept_and_a_shorter_one_stands_in_silence():
    assert fitted(np.arange(10), 4).tolist() == [3, 4, 5, 6]
    assert fitted(np.array([1, 2, 3]), 6).tolist() == [0, 1, 2, 3, 0, 0]
    for seconds in (0.1, 0.333, 1.0):
        clip = clip_of(tone(440, 11_025), 11_025, 8000, seconds, "sinc")
        assert clip.shape == (round(seconds * 8000),) and clip.dtype == np.int16


def test_folders_are_classes_and_other_files_and_hidden_or_underscored_folders_are_no_sounds(tmp_path):
    for name in (
        "yes/a.wav",
        "no/b.WAV",
        "né \"👋\" 'q'/c.wav",
        "_background_noise_/n.wav",
        ".git/x.wav",
        "yes/._a.wav",
    ):
        write_wav(tmp_path / name, tone(440, 8000))
    (tmp_path / "README.md").write_text("x")
    (tmp_path / "yes" / "notes.txt").write_text("x")
    assert [(file.name, file.label) for file in sound_files(tmp_path)] == [
        ("no/b.WAV", "no"), ("né \"👋\" 'q'/c.wav", "né \"👋\" 'q'"), ("yes/a.wav", "yes"),
    ]  # fmt: skip


def test_all_files_of_a_speaker_are_in_one_split_and_speakers_fill_all_splits():
    speakers = [f"{number:08x}" for number in range(400)]
    splits = [split_of(f"{speaker}_nohash_0.wav") for speaker in speakers]
    assert splits == [split_of(f"{speaker}_nohash_7.wav") for speaker in speakers]
    assert splits.count("train") / 400 == pytest.approx(0.7, abs=0.07)
    assert splits.count("validation") / 400 == pytest.approx(0.15, abs=0.06)
    assert len({split_of(f"take {number}.wav") for number in range(60)}) == 3, "without a speaker, the name decides"


def test_splits_of_ones_own_are_kept(tmp_path):
    for split in ("train", "validation", "test"):
        write_wav(tmp_path / split / "yes" / "same_nohash_0.wav", tone(440, 8000))
    assert [(file.split, file.label) for file in sound_files(tmp_path)] == [
        ("test", "yes"), ("train", "yes"), ("validation", "yes"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no folder is in it; one for each class is needed"),
        (["yes/a.txt"], "yes: no file in it ends in .wav"),
        (["train/yes/a.wav", "test/yes/a.wav"], "its folders are test, train; allowed: one per class, or train, valid"),
        (["train/yes/a.wav", "yes/a.wav"], "its folders are train, yes; allowed"),
        (["train/yes/a.wav", "validation/a.wav", "test/yes/a.wav"], "validation: no folder is in it"),
    ],
)
def test_a_folder_that_holds_no_classes_is_reported(tmp_path, names, message):
    for name in names:
        write_wav(tmp_path / name, tone(440, 8000))
    with pytest.raises(DataError, match=message):
        sound_files(tmp_path)


def test_a_source_that_is_no_folder_is_reported_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"'.*nowhere' is neither 'synthetic' nor a folder \(looked for /.*nowhere\)"):
        sound_files(tmp_path / "nowhere")


def test_the_fingerprint_follows_names_contents_splits_and_options_and_not_the_place(tmp_path):
    def fingerprint(folder, shown="", **sounds):
        for name, hertz in {"a": 300, "b": 400, **sounds}.items():
            write_wav(folder / "yes" / f"{name}.wav", tone(hertz, 8000))
        return files_fingerprint(sound_files(folder), shown)

    first = fingerprint(tmp_path / "1")
    assert first == fingerprint(tmp_path / "2")
    others = [
        fingerprint(tmp_path / "3", c=500),
        fingerprint(tmp_path / "4", b=401),
        fingerprint(tmp_path / "5", shown="skip"),
    ]
    assert len({first, *others}) == 4
