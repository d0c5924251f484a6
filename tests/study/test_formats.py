"""The files that a study keeps are whole, whatever happens to the disk that they are on."""

from __future__ import annotations

import pytest

from tests.support.fragile_disk import NoDiskError, fragile_disk
from tracker.study.formats import DESCRIPTION


def test_what_was_written_outlives_a_power_cut(tmp_path):
    content = {"content": {"name": "n" * 10_000}}
    try:
        with fragile_disk(tmp_path / "disk") as disk:
            path = disk.folder / "study.json"
            for number in range(3):
                DESCRIPTION.write(path, {**content, "number": number})
            disk.make_read_only()
            with pytest.raises(OSError, match="Read-only file system"):
                DESCRIPTION.write(path, {**content, "number": 3})
            assert DESCRIPTION.read(path)["number"] == 2
            disk.mend()
            assert DESCRIPTION.read(path) == {**DESCRIPTION.stamp, **content, "number": 2}
    except NoDiskError as error:
        pytest.skip(str(error))
