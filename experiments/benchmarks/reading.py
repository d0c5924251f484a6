"""How fast a large csv file of texts and labels is read: by our reader, and as Hugging Face datasets reads it.

    python -m experiments.benchmarks.reading [--gigabytes 1] [--pairs 3] [--json]

Both give the columns of texts and labels as Python lists, with no white space around the values. Each reads the same
file of made-up texts in a process of its own, one right after the other; the order alternates, and medians are
reported. The baseline takes whole columns at once: value by value, as texts were read before there was our own reader,
datasets takes twenty times as long. Our reader is measured on a file with line breaks in its texts too, where every row
is read by Python's csv module.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.figures import Figure, main
from experiments.benchmarks.table_reads import read_by_datasets, read_ours
from tracker.engine.forkserver import Forkserver

ROWS = 20_000


def measure(gigabytes: float, pairs: int) -> Iterator[Figure]:
    """All figures."""
    forkserver = Forkserver("")
    with tempfile.TemporaryDirectory(prefix="reading-") as name:
        folder = Path(name)
        path = _write(folder / "plain.csv", gigabytes, " ")
        ours, theirs = [], []
        for pair in range(pairs):
            for each in ("ours", "theirs") if pair % 2 else ("theirs", "ours"):
                if each == "ours":
                    ours.append(forkserver.call(read_ours, path))
                else:
                    theirs.append(forkserver.call(read_by_datasets, path, folder / f"cache-{pair}"))
        ratios = [mine[0] / other[0] for mine, other in zip(ours, theirs, strict=True)]
        ratio = statistics.median(ratios)
        yield Figure(f"reading {gigabytes:g} GB of csv / datasets", ratio, "×", "<= 1.1", ratio <= 1.1, ratios)
        for who, found in (("ours", ours), ("datasets", theirs)):
            seconds, memory = ([each[part] for each in found] for part in (0, 1))
            yield Figure(f"seconds, {who}", statistics.median(seconds), "s", "reported", True, seconds)
            yield Figure(f"peak memory, {who}", statistics.median(memory), "GiB", "reported", True, memory)
        path.unlink()
        several = [forkserver.call(read_ours, _write(folder / "several.csv", gigabytes, "\n"))]
        yield Figure("seconds, ours, texts of several lines", several[0][0], "s", "reported", True, [several[0][0]])


def _write(path: Path, gigabytes: float, between: str) -> Path:
    """A file of about that size: numbered texts of 10 to 80 words, some with commas and quotes, in eight classes."""
    chance = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 9))) for _ in range(5000)]
    words += ["naïve", 'say "so"', "first, second"]
    rows = []
    for number in range(ROWS):
        text = " ".join(chance.choices(words, k=chance.randint(10, 80)))
        rows.append((number, text + between + "the end", chance.choice(letters[:8])))
    block = io.StringIO(newline="")
    csv.writer(block, lineterminator="\n").writerows(rows)
    content = block.getvalue().encode()
    with path.open("wb") as file:
        file.write(b"number,text,label\n")
        for _ in range(max(1, round(gigabytes * 1e9 / len(content)))):
            file.write(content)
    return path


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gigabytes", type=float, default=1.0, help="the size of the file")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of measurements; the median counts")


if __name__ == "__main__":
    main("reading", _arguments, measure)
