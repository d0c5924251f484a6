"""tracker check-workload: check training code against the contract of workloads."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from tracker.cli.options import home_option, json_option, print_json
from tracker.cli.output import say
from tracker.errors import RequestError
from tracker.runner.contract import check_workload as findings_of
from tracker.runner.contract import declared_metric
from tracker.store.home import Home
from tracker.study.document import StudyDocument, parse_assignments

MARKS = {"passed": "✓", "failed": "✗", "skipped": "–"}


@click.command(name="check-workload", short_help="Check training code against what the tracker relies on.")
@click.argument("workload")
@click.option("--study", "study_file", type=click.Path(path_type=Path), help="Use data and settings from this file.")
@click.option("--metric", help="The quality metric; default the first one that the workload declares.")
@click.option("--direction", type=click.Choice(["maximize", "minimize"]), help="Which way the metric gets better.")
@click.option("--set", "settings", multiple=True, metavar="KNOB=VALUE", help="Fix a knob; repeatable.")
@json_option
@home_option
def check_workload(
    workload: str,
    study_file: Path | None,
    metric: str | None,
    direction: str | None,
    settings: tuple[str, ...],
    as_json: bool,
    home: Home,
) -> None:
    """Train WORKLOAD (module:name or file.py:name) about ten times and check it against the contract.

    With --study, use that study's data and settings, from its [smoke] table if it has one. Exit code 1 if a check
    fails.
    """
    document = _document(workload, study_file, metric, direction).override(parse_assignments(settings))
    found = []
    for finding in findings_of(document, home, lambda message: say(f"  {message}", err=True)):
        found.append(finding)
        if not as_json:
            say(f"{MARKS[finding.verdict]} {finding.check}: {finding.seen}")
    failed = sum(finding.verdict == "failed" for finding in found)
    if as_json:
        print_json({"workload": workload, "failed": failed, "findings": [asdict(finding) for finding in found]})
    else:
        say(f"{len(found) - failed} of {len(found)} checks passed or were skipped", err=True)
    sys.exit(1 if failed else 0)


def _document(workload: str, study_file: Path | None, metric: str | None, direction: str | None) -> StudyDocument:
    if study_file is not None:
        document = StudyDocument.read(study_file)
        document = document.smoke() if "smoke" in document.content else document
        content = {key: value for key, value in document.content.items() if key not in ("workload", "command")}
        return StudyDocument(document.source, {**content, "workload": workload}, document.text)
    metric = metric or declared_metric(workload)
    if metric is None:
        raise RequestError("--metric is missing: the workload does not declare its metrics; give --metric or --study")
    quality = {"metric": metric, **({"direction": direction} if direction else {})}
    content = {
        "name": "check",
        "workload": workload,
        "quality": quality,
        "budget": {"trials": 1},
        "space": {"seed": [0]},
    }
    return StudyDocument("check-workload", content).anchored(Path.cwd())
