"""The documentation is true: commands that it shows exist, files that it names are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from experiments.workloads.text_classifier import TextClassifier
from tracker.cli.main import tracker
from tracker.pricing.price_book import load_price_book
from tracker.pricing.scenario_file import read_scenario
from tracker.records import Market
from tracker.study.check import check_study
from tracker.study.costs import ASSUMPTIONS
from tracker.study.document import StudyDocument
from tracker.study.spec import WorkloadDescription
from tracker.training.describe import describe_workload

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "CONTRIBUTING.md", "results/README.md"]


def commands_shown():
    """Every command line of a shell block in the README."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.partition("#")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in commands_shown() if line.startswith("tracker ")])
def test_every_command_shown_is_one_that_exists_with_those_options(line):
    words = re.sub(r"experiments/\S+", str(ROOT / "README.md"), line).split()[1:]
    command = tracker.get_command(click.Context(tracker), words[0])
    assert command is not None
    context = command.make_context(words[0], words[1:])
    if isinstance(command, click.Group):
        name, below, rest = command.resolve_command(context, words[1:])
        below.make_context(name, rest)


def test_every_make_target_shown_is_one_of_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in ("README.md", "CONTRIBUTING.md"):
        assert set(re.findall(r"^make (\w+)", (ROOT / page).read_text(), re.MULTILINE)) <= targets


def test_every_command_is_shown_in_the_readme():
    for name in tracker.list_commands(click.Context(tracker)):
        assert re.search(rf"^tracker {name}\b|`tracker {name}\b", README, re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text()):
        assert "://" in target or ((ROOT / page).parent / target).exists(), target


def toml_shown():
    """The TOML files that the README shows: a study of a command, a study, rates of one's own, a scenario."""
    blocks = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    return dict(zip(("study", "command", "rates", "scenario"), blocks, strict=True))


def test_the_command_shown_is_a_valid_study(tmp_path):
    (tmp_path / "study.toml").write_text(toml_shown()["command"])
    document = StudyDocument.read(tmp_path / "study.toml")
    description = describe_workload(document.workload)
    assert set(check_study(document, description).description.knobs) == {"learning_rate", "epochs"}


def test_the_study_file_shown_is_a_valid_one():
    shown = toml_shown()["study"]
    workload = TextClassifier
    description = WorkloadDescription(workload.knobs, workload.metrics, workload.data_options)
    assert check_study(StudyDocument("README.md", tomllib.loads(shown), shown), description).name == "reviews"


def test_the_price_file_and_the_scenario_shown_are_valid_ones(tmp_path):
    for name, text in toml_shown().items():
        (tmp_path / f"{name}.toml").write_text(text)
    book = load_price_book().with_user_rates(tmp_path / "rates.toml")
    assert book.point("lab/dgx", Market.ON_PREM).usd_per_hour > 0
    assert len(book.exchange_rates) == 1
    scenario = read_scenario(tmp_path / "scenario.toml")
    assert scenario.point_for(book.point("gcp/a3-highgpu-8g", Market.ON_DEMAND), book).usd_per_hour > 0


def test_every_assumption_about_costs_says_where_its_default_is_from():
    assert all(assumption.source and assumption.knob.help for assumption in ASSUMPTIONS.values())


def test_the_readme_counts_what_is_in_the_price_book():
    book = load_price_book()
    sellers = {point.provider for point in book.points} - {"aws", "gcp", "azure"}
    years = sorted({point.effective_from.year for point in book.points})
    counted = (
        f"{len(book.skus)} SKUs of AWS, Google Cloud, Azure and {len(sellers)} other sellers of GPUs, "
        f"with {len(book.points)} dated rates from {years[0]} to {years[-1]}"
    )
    assert counted in " ".join(README.split())
