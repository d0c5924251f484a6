"""What living children use is measured while they live, once and not twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tracker.training.descendants import Descendants
from tracker.training.meter import Meter

BUSY = """
import subprocess, sys, time
if len(sys.argv) > 1:
    below = subprocess.Popen([sys.executable, *sys.argv[1:]])
held = bytearray(64 * 2**20)
end = time.process_time() + 0.3
while time.process_time() < end:
    pass
print("done", flush=True)
sys.stdin.read()
if len(sys.argv) > 1:
    below.wait()
"""


@pytest.fixture
def family(tmp_path):
    """A child and a grandchild that have each used 0.3 s of a core and hold 64 MiB, until their input is closed."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    child = subprocess.Popen(
        [sys.executable, str(script), str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield child
    child.stdin.close()
    child.wait()


def test_the_use_of_living_children_counts_and_stays_the_same_when_they_have_ended(family):
    meter = Meter(asked_steady=time.monotonic(), cores=1)
    assert [family.stdout.readline() for _ in range(2)] == ["done\n"] * 2
    living = meter.usage()
    assert living.cpu_seconds > 0.55
    assert living.peak_memory_bytes > 2 * 64 * 2**20
    family.stdin.close()
    family.wait()
    ended = meter.usage()
    assert living.cpu_seconds <= ended.cpu_seconds < living.cpu_seconds + 0.3
    assert ended.peak_memory_bytes >= living.peak_memory_bytes


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin a process to a core")
def test_children_that_wait_for_a_core_are_waiting_time_even_after_they_have_ended():
    core = min(os.sched_getaffinity(0))
    spin = (
        f"import os, time; os.sched_setaffinity(0, {{{core}}}); end = time.time() + 60\nwhile time.time() < end: pass"
    )
    children = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2)]
    descendants = Descendants()
    try:
        end = time.monotonic() + 60.0
        while descendants.waiting_seconds < 0.2 and time.monotonic() < end:
            time.sleep(0.05)
            descendants.look()
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert descendants.waiting_seconds >= 0.2


def test_a_process_without_children_pays_nothing_for_the_look():
    looked = (
        "import psutil; from tracker.training.descendants import Descendants, LivingUsage\n"
        "found = Descendants(); psutil.Process.children = None\n"
        "assert found.look() == LivingUsage()"
    )
    subprocess.run([sys.executable, "-c", looked], check=True, timeout=60)
