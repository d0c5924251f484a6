"""The project keeps to the words of its glossary: those that CONTRIBUTING.md says we do not use stay out."""

from __future__ import annotations

import re
import subprocess

from tests.conftest import ROOT

WORDS_WE_DO_NOT_USE = (
    *(r"\b(?:gone|went|goes|go|going)[ _]on[ _]with\b", r"\bgo_on\b", r"begun", r"(?<![a-z])(?:un|fore)?told(?![a-z])"),
    *(
        r"\bwhat[ _]became[ _]of\b",
        r"\bmade[ _]anew\b",
        r"(?<![a-z])handed(?![a-z])",
        r"\bwhereabouts\b",
        "how-manieth",
    ),
)
"""Regular expressions, whatever the case; docs/glossary.md has the words for them."""
WHERE_THEY_MAY_STAND = {
    "CONTRIBUTING.md": r"^\| ",  # the list for people
    "experiments/data/array_data.py": r"^_EXTRA_KEY = ",  # a key of files that are on disk already
    "tests/docs/test_words.py": "",  # the patterns themselves
}
"""Lines that are left alone, by file."""
ENDINGS = {".py", ".md", ".jinja", ".toml", ".js", ".css", ".html"}


def test_words_that_we_do_not_use_do_not_come_back():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    pattern = re.compile("|".join(WORDS_WE_DO_NOT_USE), re.IGNORECASE)
    found = []
    for name in listed:
        path = ROOT / name
        if path.suffix in ENDINGS and path.is_file():
            allowed = re.compile(WHERE_THEY_MAY_STAND.get(name, "(?!)"))
            lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
            found += [
                f"{name}:{at}: {line.strip()}"
                for at, line in lines
                if pattern.search(line) and not allowed.search(line)
            ]
    assert not found, "\n".join(found)
