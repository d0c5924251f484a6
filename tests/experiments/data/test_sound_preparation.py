from __future__ import annotations

import json
import math
import wave

import numpy as np
import pytest
import torch

from experiments.data.array_data import load_array_card, load_examples
from experiments.data.sound_preparation import prepare_sounds, sound_source
from experiments.data.synthetic_sounds import DIGITS
from tracker.errors import DataError

SETTINGS = {"sample_rate": 4000, "clip_seconds": 0.2, "resampling": "sinc", "deduplicate": True}
FEW = {"source": "synthetic", "speakers": 7, "takes": 1}


def write_wav(path, hertz, rate=8000):
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.rint(16_000 * np.sin(2 * math.pi * hertz * np.arange(rate // 5) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, len(sound), "NONE", ""))
        file.writeframes(sound.tobytes())


def write_classes(folder, speakers=40):
    """Two classes of tones, each with one by every speaker; ``speakers`` files each."""
    for number in range(speakers):
        write_wav(folder / "low" / f"s{number}_nohash_0.wav", 200 + number)
        write_wav(folder / "high \"🎺\" 'q'" / f"s{number}_nohash_0.wav", 900 + number)
    return folder


def ignore(message):
    del message


def everything(folder):
    return [load_examples(folder, split, torch.device("cpu")) for split in ("train", "validation", "test")]


def test_synthetic_sounds_are_called_so_and_come_as_clips_of_the_rate_and_length_asked_for(tmp_path):
    folder = prepare_sounds(FEW, SETTINGS, tmp_path, ignore)
    card = load_array_card(folder)
    assert card.name == "synthetic sounds" and "SYNTHETIC" in card.description and "no speech" in card.description
    assert card.classes == tuple(DIGITS) and dict(card.rows) == {"train": 50, "validation": 10, "test": 10}
    for examples in everything(folder):
        assert examples.inputs.dtype == torch.int16 and examples.inputs.shape[1] == 800
        assert examples.labels.bincount(minlength=10).tolist() == [len(examples) // 10] * 10


def test_preparing_again_makes_nothing_and_gives_the_same_whoever_prepared_it(tmp_path):
    said = []
    first = prepare_sounds(FEW, SETTINGS, tmp_path / "a", said.append)
    assert said[0] == "making 70 clips of 0.2 s at 4,000 samples a second: synthetic sounds"
    assert prepare_sounds(FEW, SETTINGS, tmp_path / "a", pytest.fail) == first
    second = prepare_sounds(FEW, SETTINGS, tmp_path / "b", ignore)
    assert second.name == first.name
    for one, other in zip(everything(first), everything(second), strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.labels, other.labels)


def test_each_option_that_changes_the_sounds_has_a_fingerprint_of_its_own(tmp_path):
    fingerprints = [
        sound_source({**FEW, **more}).fingerprint for more in ({}, {"speakers": 8}, {"takes": 2}, {"seed": 1})
    ]
    assert len(set(fingerprints)) == 4
    folders = [
        prepare_sounds(FEW, {**SETTINGS, **more}, tmp_path, ignore)
        for more in ({}, {"sample_rate": 2000}, {"clip_seconds": 0.1}, {"resampling": "linear"})
    ]
    assert len(set(folders)) == 4
    assert len({load_array_card(folder).fingerprint for folder in folders}) == 1, "the data are the same"


def test_a_folder_of_ones_own_is_split_by_speaker_and_its_names_may_hold_anything(tmp_path):
    source = write_classes(tmp_path / "my 'sounds' 👂")
    folder = prepare_sounds({"source": str(source)}, SETTINGS, tmp_path / "cache", ignore)
    card = load_array_card(folder)
    assert card.name == "my 'sounds' 👂" and card.classes == ("high \"🎺\" 'q'", "low")
    assert sum(card.rows.values()) == 80
    for examples in everything(folder):
        assert examples.labels.bincount().tolist() == [len(examples) // 2] * 2, "a speaker's two are together"


def test_splits_of_ones_own_are_kept(tmp_path):
    for split, files in (("train", 6), ("validation", 3), ("test", 2)):
        for number in range(files):
            write_wav(tmp_path / "s" / split / "low" / f"{number}.wav", 200 + number + 10 * files)
            write_wav(tmp_path / "s" / split / "high" / f"{number}.wav", 900 + number + 10 * files)
    card = load_array_card(prepare_sounds({"source": str(tmp_path / "s")}, SETTINGS, tmp_path / "cache", ignore))
    assert dict(card.rows) == {"train": 12, "validation": 6, "test": 4}


def test_a_corrupt_file_fails_or_is_skipped_reported_and_counted(tmp_path):
    source = write_classes(tmp_path / "s")
    (source / "low" / "empty.wav").write_bytes(b"")
    (source / "low" / "text.wav").write_text("hello, I am no sound")
    with pytest.raises(DataError, match=r"low/empty\.wav: the file is empty; corrupt = 'skip' leaves such files out"):
        prepare_sounds({"source": str(source)}, SETTINGS, tmp_path / "cache", ignore)
    said = []
    data = {"source": str(source), "corrupt": "skip"}
    card = load_array_card(prepare_sounds(data, SETTINGS, tmp_path / "cache", said.append))
    assert sum(card.rows.values()) == 80
    assert card.description.endswith("; 2 unreadable left out")
    shown = [message for message in said if message.startswith("left out: ")]
    assert len(shown) == 2 and "empty.wav: the file is empty" in shown[0] and "text.wav" in shown[1]
    with pytest.raises(DataError, match="empty"):
        prepare_sounds({"source": str(source), "corrupt": "fail"}, SETTINGS, tmp_path / "cache", ignore)


def test_equal_sounds_are_used_once_unless_that_is_switched_off(tmp_path):
    source = write_classes(tmp_path / "s")
    for number in range(5):
        write_wav(source / "low" / f"again{number}.wav", 200 + number)
    rows = {}
    for deduplicate in (True, False):
        settings = {**SETTINGS, "deduplicate": deduplicate}
        card = load_array_card(prepare_sounds({"source": str(source)}, settings, tmp_path / "cache", ignore))
        rows[deduplicate] = sum(card.rows.values())
        assert ("5 repeated left out" in card.description) is deduplicate
    assert rows == {True: 80, False: 85}


def test_training_clips_stand_in_an_order_that_their_names_alone_decide(tmp_path):
    cache, source = tmp_path / "cache", write_classes(tmp_path / "s")
    few = load_examples(
        prepare_sounds({"source": str(source)}, SETTINGS, cache, ignore), "train", torch.device("cpu"), 0.3
    )
    for number in range(40, 60):
        write_wav(source / "low" / f"s{number}_nohash_0.wav", 200 + number)
    more = load_examples(prepare_sounds({"source": str(source)}, SETTINGS, cache, ignore), "train", torch.device("cpu"))
    places = [int((more.inputs == clip).all(dim=1).nonzero()[0]) for clip in few.inputs]
    assert places == sorted(places), "new files came between, and moved none past another"
    assert len(set(few.labels[:10].tolist())) == 2, "not class by class"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": "synthetic", "speakers": 3}, "data option 'speakers': 3 is not a whole number from 7 to 100000"),
        ({"source": "synthetic", "takes": "two"}, "data option 'takes': 'two' is not a whole number"),
        (
            {"source": "synthetic", "corrupt": "skip"},
            "'corrupt' is not for source = 'synthetic'; allowed with it: speakers",
        ),
        ({"source": "FOLDER", "speakers": 9}, "'speakers' is not for source = '.*'; allowed with it: corrupt"),
        (
            {"source": "FOLDER", "corrupt": "ignore"},
            "data option 'corrupt': 'ignore' is not one of its values.*fail, skip",
        ),
        ({"source": "sinthetic"}, "'sinthetic' is neither 'synthetic' nor a folder"),
    ],
)
def test_options_that_make_no_sense_are_reported_before_anything_is_made(tmp_path, data, message):
    if data["source"] == "FOLDER":
        data = {**data, "source": str(tmp_path)}
    with pytest.raises(DataError, match=message):
        prepare_sounds(data, SETTINGS, tmp_path / "cache", pytest.fail)


def test_too_few_sounds_for_every_split_or_one_class_alone_are_reported(tmp_path):
    write_wav(tmp_path / "few" / "low" / "a.wav", 300)
    write_wav(tmp_path / "few" / "high" / "b.wav", 900)
    with pytest.raises(DataError, match="split is empty"):
        prepare_sounds({"source": str(tmp_path / "few")}, SETTINGS, tmp_path / "cache", ignore)
    for number in range(30):
        write_wav(tmp_path / "one" / "low" / f"{number}.wav", 300 + number)
    with pytest.raises(DataError, match="all of one class"):
        prepare_sounds({"source": str(tmp_path / "one")}, SETTINGS, tmp_path / "cache", ignore)


def test_what_is_kept_is_small_and_whole(tmp_path):
    folder = prepare_sounds(FEW, SETTINGS, tmp_path, ignore)
    assert load_array_card(folder).data_card(folder).size_bytes < 70 * 800 * 2 + 70 * 8 + 5000
    assert json.loads((folder / "card.json").read_text())["rows"]["train"] == 50
