"""What it costs to follow a command's event files: the tracker's own time for every second of the command.

python -m experiments.benchmarks.log_following [--seconds 20] [--values 100] [--old 200] [--json]

A script logs values at a steady pace by TensorBoard's SummaryWriter, which writes them out every second, to a folder
where many runs have logged before. The tracker's own time is the CPU time of finding its event file and following it,
by looks as often as a trial's worker has them. It needs the extra [test], for TensorBoard.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure, main
from tracker.training.command_workload import POLL_SECONDS
from tracker.training.log_sources import TensorboardSource
from tracker.training.pickup import Pickup

MOST_MS_A_SECOND = 5.0
SCRIPT = """
import sys, time
from torch.utils.tensorboard import SummaryWriter

seconds, values = int(sys.argv[1]), int(sys.argv[2])
with SummaryWriter("runs/new", flush_secs=1) as writer:
    for step in range(1, seconds * values + 1):
        writer.add_scalar("loss", 1 / step, step)
        if step % values == 0:
            writer.add_scalar("accuracy", 1 - 1 / step, step)
        time.sleep(1 / values)
"""


def measure(seconds: int, values: int, old: int) -> Iterator[Figure]:
    """The old runs have a folder and an event file each."""
    with tempfile.TemporaryDirectory(prefix="log-following-") as name:
        folder = Path(name)
        (folder / "train.py").write_text(SCRIPT)
        for number in range(old):
            (run := folder / "runs" / f"old-{number}").mkdir(parents=True)
            (run / f"events.out.tfevents.1.host.{number}.0").touch()
        cost = _milliseconds_a_second(folder, seconds, values)
    what = f"CPU to follow {values} values a second beside {old} old runs"
    yield Figure(what, cost, "ms a second", f"at most {MOST_MS_A_SECOND:g}", cost <= MOST_MS_A_SECOND)


def _milliseconds_a_second(folder: Path, seconds: int, values: int) -> float:
    """The CPU time of looking, in milliseconds, by the seconds that the script takes."""
    source = TensorboardSource(folder / "runs", {}, all_own=False)
    pickup = Pickup(source, "accuracy", print)
    found, cpu_seconds, begin = 0, 0.0, time.monotonic()
    script = subprocess.Popen([sys.executable, "train.py", str(seconds), str(values)], cwd=folder)
    ended = False
    while not ended:
        ended = script.poll() is not None
        cpu_begin = time.process_time()
        found += len(pickup.look(last=ended))
        cpu_seconds += time.process_time() - cpu_begin
        time.sleep(POLL_SECONDS)
    assert found == seconds, "every accuracy is a checkpoint"
    return cpu_seconds * 1000 / (time.monotonic() - begin)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=int, default=20, help="how long the script logs")
    parser.add_argument("--values", type=int, default=100, help="how many it logs a second")
    parser.add_argument("--old", type=int, default=200, help="the runs that logged there before")


if __name__ == "__main__":
    main("log_following", _arguments, measure)
