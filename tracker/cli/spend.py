"""What ``tracker report --all`` prints and writes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tracker.cli.output import say
from tracker.cli.tables import print_table
from tracker.errors import RequestError
from tracker.pricing.scenario import Scenario
from tracker.report import words
from tracker.report.spend_across import Spend, parse_by, spend_across
from tracker.store.home import Home


def report_spend(
    home: Home,
    by: str | None,
    since: date | None,
    scenario: Scenario,
    currency: str,
    formats: Sequence[str] | None,
    out: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> Spend:
    """Read the spend of all studies; print it unless ``as_json``, or write it where there are ``formats``."""
    if formats is None and out is not None:
        raise RequestError("--out is for files; with --all, say by --format which")
    spend = spend_across(home, parse_by("study" if by is None else by), since, scenario, currency)
    if formats is not None:
        from tracker.export.spend import spend_folder, write_spend  # what writes files is not imported for a table

        for path in write_spend(spend, out or spend_folder(home, spend), formats, force=force):
            say(path, err=as_json)
    elif not as_json:
        _print(spend)
    if not as_json:
        for line in (spend.sentence, *spend.remarks):
            say(line, err=True)
    return spend


def _print(spend: Spend) -> None:
    columns = [*(f"{name} " for name in spend.by), "studies", "runs", "attempts", "machine hours", *spend.bases]
    rows = [
        (
            *(row[name] or words.NOTHING for name in spend.by),
            *(f"{row[count]:,}" for count in ("studies", "runs", "attempts")),
            words.hours(row["machine_hours"]),
            *(words.money_part(row[column], spend.unit) for column in spend.bases.values()),
        )
        for row in spend.table.to_dict("records")
    ]
    print_table(columns, rows)
