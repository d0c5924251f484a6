"""The documents agree with the code: commands that they show exist, files that they name are there."""

from __future__ import annotations

import re
from types import SimpleNamespace

import click
import pytest

from docs.hook import on_page_markdown
from tests.conftest import ROOT
from tests.docs import shown
from tracker.cli.main import tracker
from tracker.pricing.price_book import load_price_book

PAGES = ("CONTRIBUTING.md", "results/README.md", "experiments/README.md", "docs/glossary.md", *shown.PAGES)
COMMANDS = sorted({each.command for page in shown.PAGES for block in shown.blocks(page) for each in shown.shown(block)})


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("tracker ")])
def test_every_command_shown_is_one_that_exists_with_those_options(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = re.sub(r"\S+\.toml", "README.md", line).replace("exported", "docs").split()[1:]
    command = tracker.get_command(click.Context(tracker), words[0])
    assert command is not None
    context = command.make_context(words[0], words[1:])
    if isinstance(command, click.Group):
        name, below, rest = command.resolve_command(context, words[1:])
        below.make_context(name, rest)


def test_every_make_target_shown_is_one_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:^|`)make (\w+)", (ROOT / page).read_text(), re.MULTILINE)) <= targets, page


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text()):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target


def test_a_picture_with_a_dark_twin_follows_light_and_dark():
    page = SimpleNamespace(is_homepage=False)
    for dark in (ROOT / "docs" / "pictures").glob("*-dark.png"):
        light = dark.name.replace("-dark", "")
        shown = on_page_markdown(f"![what it shows](../pictures/{light})", page)
        assert f"{light}#only-light" in shown and f"{dark.name}#only-dark" in shown


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_the_documents_count_what_is_in_the_price_book():
    book = load_price_book()
    sellers = {point.provider for point in book.points} - {"aws", "gcp", "azure"}
    years = sorted({point.effective_from.year for point in book.points})
    counted = (
        f"{len(book.skus)} SKUs of AWS, Google Cloud, Azure and {len(sellers)} other sellers of GPUs, "
        f"with {len(book.points)} dated rates from {years[0]} to {years[-1]}"
    )
    assert counted in " ".join((ROOT / "docs" / "how-to" / "prices.md").read_text().split())
