"""Commands that the documents show, with their output, run against one small study and compared.

A block ```` ```console ```` has commands after ``$ `` and what they print below, standard error after standard output.
Numbers, amounts and blanks differ from run to run and are not compared, nor how many rows of figures there are; ``…``
stands for anything, and alone on a line for any lines or none. In a block ```` ```sh ```` there are only commands.

    python -m tests.docs.shown [PAGE …]

runs pages, all without one, and puts what is printed in place of outputs that do not match: look at the change before
you commit it. Pages stand in the order of ``PAGES``: later ones read the studies of earlier ones.
"""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.support.command import tracker
from tests.support.mlflow_database import put_mlflow_database
from tests.support.past_runs import mlflow_experiment, step_table, wandb_folder

PAGES = (
    *("README.md", "docs/tutorial.md", "docs/index.md"),
    *(
        str(path.relative_to(ROOT))
        for folder in ("how-to", "explanation")
        for path in sorted((ROOT / "docs" / folder).glob("*.md"))
    ),
)
WIDTH = 110
_NOT_RUN = ("tracker dashboard",)  # it would serve for ever
_BLOCK = re.compile(r"^( *)```(console|sh)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
FIGURES = 3
"""A line with so many figures, a table's row or what a study says while it runs, is compared by its words alone."""
_STATES = {"busy", "running", "paused", "completed", "stopped", "trials"}
"""Words that such lines have or not, as the machine is quick."""


@dataclass
class Shown:
    """A command that a page shows; ``output`` is None where none is shown."""

    command: str
    output: str | None
    printed: str = ""

    @property
    def is_true(self) -> bool:
        """Whether it printed what the page shows."""
        return self.output is None or matches(self.output, self.printed)


def blocks(page: str) -> list[re.Match[str]]:
    """The blocks of a page that show commands."""
    return list(_BLOCK.finditer((ROOT / page).read_text()))


def shown(block: re.Match[str]) -> Iterator[Shown]:
    """The commands of a block."""
    text = re.sub(rf"^{block[1]}", "", block[3], flags=re.MULTILINE)
    if block[2] == "sh":
        lines = (line.partition(" #")[0].strip() for line in text.replace("\\\n", " ").splitlines())
        yield from (Shown(line, None) for line in lines if line)
        return
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield Shown(command.strip(), output)


def matches(expected: str, printed: str) -> bool:
    """Whether an output is the expected one, whatever its figures.

    >>> matches("spent 1.2 m$ of $0.01\\n…\\nend\\n", "spent  3 µ$ of $0.02\\na\\nb\\nend\\n")
    True
    >>> matches("#0  0.5  1 m$\\n", "#0  0.6  1 m$\\n#1  0.7  3 m$\\n"), matches("spent $1\\n", "left $1\\n")
    (True, False)
    """
    lines = (line if line == "…" else re.escape(line).replace("…", r"[^\n]*") for line in _plain(expected))
    pattern = "".join(r"(?:[^\n]*\n)*" if line == "…" else rf"{line}\n" for line in lines)
    same = re.fullmatch(pattern, "".join(f"{line}\n" for line in _plain(printed)))
    # What has a slash is a path or a machine's SKU.
    words, known = (set(re.findall(r"[a-z]{4,}", re.sub(r"\S+/\S+", "", text))) for text in (expected, printed))
    return same is not None and words - known <= _STATES


def _plain(text: str) -> list[str]:
    """The lines of an output without its figures; those full of figures that stand together are one empty line."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        plain = re.sub(r"(?<!\w)\d[\d,.:]*(e-\d+)?", "#", line)
        plain = re.sub(r"(m|µ)?\$\s?#|#\s?(m|µ)?\$", "$", plain)
        plain = re.sub(r"#(\s(h|min|s|ms)\b\s?#?)+", "#", " ".join(plain.split()))
        plain = "" if len(re.findall(r"[#$]", plain)) >= FIGURES else plain
        if plain or not lines or lines[-1]:
            lines.append(plain)
    return lines


def run(each: Shown, folder: Path) -> None:
    """Run the command in ``folder``; what is neither the tracker's nor ``cat`` is not run. Raises AssertionError."""
    name, *words = shlex.split(each.command)
    if name == "tracker" and each.command not in _NOT_RUN:
        done = tracker(*words, folder=folder, columns=WIDTH)
        assert done.returncode == 0, f"{each.command}\n{done.stderr}"
        each.printed = (done.stdout + done.stderr).replace(f"{folder.resolve()}/", "")
    elif name == "cat":
        each.printed = "".join((folder / word).read_text() for word in words)


def workplace(folder: Path) -> Path:
    """Make ``folder`` look like a clone to the commands, with runs to import; what they write stays in it."""
    (folder / "experiments").symlink_to(ROOT / "experiments")
    put_mlflow_database(folder / "results")
    mlflow_experiment(folder)
    step_table(folder)
    wandb_folder(folder)
    (folder / "machines.toml").write_text('[[map]]\nparam = "width"\nsku = "aws/g5.xlarge"\n')
    return folder


def main() -> None:
    """Put what is printed now in place of outputs that do not match."""
    folder = workplace(Path(tempfile.mkdtemp()))
    for page in sys.argv[1:] or PAGES:
        for block in blocks(page):
            found = list(shown(block))
            for each in found:
                print(page, each.command, flush=True)
                run(each, folder)
            if not all(each.is_true for each in found):
                new = "".join(f"$ {each.command}\n{each.output if each.is_true else each.printed}" for each in found)
                new = re.sub(r" +$", "", f"```console\n{new.rstrip()}\n```", flags=re.MULTILINE)
                text = (ROOT / page).read_text()
                (ROOT / page).write_text(text.replace(block[0], re.sub("^(?=.)", block[1], new, flags=re.MULTILINE), 1))


if __name__ == "__main__":
    main()
