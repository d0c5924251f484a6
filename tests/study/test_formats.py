"""The files that a study keeps are whole, whatever happens to the disk that they are on."""

from __future__ import annotations

import pytest

from tests.support.fragile_disk import fragile_disk
from tests.support.unavailable import UnavailableError
from tracker.study.formats import DESCRIPTION


def test_what_was_written_outlives_a_power_cut(tmp_path):
    written = {f"{number}.json": {"content": {"name": "n" * 10_000, "number": number}} for number in range(3)}
    try:
        with fragile_disk(tmp_path / "disk") as disk:
            for name, content in written.items():
                DESCRIPTION.write(disk.folder / name, content)
            disk.make_read_only()
            with pytest.raises(OSError, match="Read-only file system"):
                DESCRIPTION.write(disk.folder / "0.json", {})
            disk.mend()
            for name, content in written.items():
                assert DESCRIPTION.read(disk.folder / name) == {**DESCRIPTION.stamp, **content}
    except UnavailableError as error:
        pytest.skip(str(error))
