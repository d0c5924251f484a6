import math
from pathlib import Path

import pytest

from tracker.training.cgroup import cpu_limit, memory_limit_bytes


def machine(tmp_path: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A membership file and a control group tree like those that Linux shows."""
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    (tmp_path / "membership").write_text(membership)
    return tmp_path / "membership", tmp_path / "cgroup"


def test_the_tightest_limit_of_version_2_holds(tmp_path):
    where = machine(
        tmp_path,
        "0::/user/job\n",
        {
            "user/job/cpu.max": "max 100000",
            "user/job/memory.max": "4096",
            "user/cpu.max": "150000 100000",
            "user/memory.max": "max",
        },
    )
    assert cpu_limit(*where) == 1.5
    assert memory_limit_bytes(*where) == 4096


def test_version_1_is_read_too(tmp_path):
    where = machine(
        tmp_path,
        "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n",
        {
            "cpu/job/cpu.cfs_quota_us": "200000",
            "cpu/job/cpu.cfs_period_us": "100000",
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/job/memory.limit_in_bytes": "1024",
        },
    )
    assert cpu_limit(*where) == 2
    assert memory_limit_bytes(*where) == 1024


def test_inside_a_container_the_limit_stands_at_the_top(tmp_path):
    where = machine(tmp_path, "0::/../../a/path/of/the/host\n", {"cpu.max": "300000 100000"})
    assert cpu_limit(*where) == 3


@pytest.mark.parametrize("membership", ["", "0::/\n"])
def test_without_control_groups_nothing_is_limited(tmp_path, membership):
    where = machine(tmp_path, membership, {})
    assert cpu_limit(*where) == math.inf
    assert memory_limit_bytes(*where) == math.inf
