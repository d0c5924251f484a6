from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import resource, numpy
from experiments.memory import keep_freed_memory
if {keep}:
    keep_freed_memory()
def use():
    for _ in range(5):
        numpy.ones(10_000_000)
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(keep):
    code = FAULTS.format(keep=keep)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="needs the GNU C library")
def test_freed_memory_that_is_kept_is_used_again_without_page_faults():
    code = "from experiments.memory import keep_freed_memory; print(keep_freed_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    if done.stdout.strip() != "True":
        pytest.skip("the C library is not known")
    given_back, kept = page_faults(keep=False), page_faults(keep=True)
    assert kept < given_back / 10
