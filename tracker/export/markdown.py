"""A study's report as GitHub-flavoured Markdown, short enough for a pull request or a wiki: the answer first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import IO

import numpy as np

from tracker.export import reproduction
from tracker.export.formats import ReportFile, as_text
from tracker.records import Direction
from tracker.report import words
from tracker.report.assumptions import assumptions_table, rates_table
from tracker.report.confirmation import confirmation_sentences
from tracker.report.headlines import headlines
from tracker.report.levers import levers_table
from tracker.report.machines import LINES, machines_by_sku, machines_table
from tracker.report.prediction_words import prediction_sentences
from tracker.report.predictions import wanted_predictions
from tracker.report.recommendation import recommendations
from tracker.report.scenarios import report_remarks
from tracker.report.tables import confirmed_frontier_table, searched_settings, spend_by_part, spend_by_state
from tracker.store.run_table import StudyTable

MOST_POINTS, MOST_LEVERS, MOST_SETTINGS, MOST_RATES, MOST_PREDICTED = 12, 6, 4, 3, 12
"""How many rows and columns are listed; the other formats have all."""
_ZERO_WIDTH = "&#8203;"  # between # or @ and what follows: GitHub makes it no issue and no person
_MARKS = re.compile(r"([\\`*\[\]{}|~$]|(?<!\w)_|_(?!\w)|#(?!\w))")


def text(value: object) -> str:
    """A text on one line that Markdown takes for nothing else.

    >>> text("a|b <i>`x`</i>"), text("trial #3")
    ('a\\\\|b &lt;i&gt;\\\\`x\\\\`&lt;/i&gt;', 'trial #&#8203;3')
    """
    plain = " ".join(words.visible(str(value)).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marked = _MARKS.sub(r"\\\1", plain)
    return re.sub(r"([#@])(?=\w)", rf"\1{_ZERO_WIDTH}", marked)


def code(value: object) -> str:
    """A text on one line as code, whatever backticks it has; not for a table, whose bars count in code too.

    >>> code("a|b"), code("a`b")
    ('`a|b`', '`` a`b ``')
    """
    plain = " ".join(words.visible(str(value)).split()) or " "
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{space}{plain}{space}{fence}"


def report_markdown(table: StudyTable) -> str:
    """The report; about 60 lines for a usual study."""
    parts = [_head(table), _answer(table), _frontier(table), _spend(table), _levers(table), _predicted(table)]
    parts += [_assumptions(table)]
    return "\n\n".join(filter(None, [*parts, _reproduction(table)])) + "\n"


def _head(table: StudyTable) -> str:
    better = "higher" if table.quality.direction == Direction.MAXIMIZE else "lower"
    limits = "".join(f"; {text(limit.words)}" for limit in table.limits)
    line = (
        f"{text(table.state)} · quality: {text(table.quality.name)}, {better} is better{limits} · written {words.now()}"
    )
    return "\n\n".join([f"# {text(table.study)}", line, *(f"> {text(remark)}" for remark in report_remarks(table))])


def _answer(table: StudyTable) -> str:
    advice = [
        f"- **{text(each.title)}: {text(each.figure)}** {_sentence(each.answer.sentence)}"
        for each in recommendations(table)
    ]
    sure = list(dict.fromkeys(each.answer.sure for each in recommendations(table) if each.answer.sure))
    advice += [f"- How sure: {_sentence(sentence)}" for sentence in sure]
    lines = [f"- **{text(each.title)}: {text(each.figure)}** {_sentence(each.sentence)}" for each in headlines(table)]
    lines = [*advice, *lines]
    lines += [f"- {_sentence(sentence)}" for sentence in confirmation_sentences(table)]
    return "\n".join(lines)


def _sentence(words_: str) -> str:
    """A sentence of the tracker's: trial #3 would be a link to an issue."""
    return text(re.sub(r"\b([Tt]rial) #(\d+)", r"\1 \2", words_))


def _frontier(table: StudyTable) -> str:
    points = confirmed_frontier_table(table)
    if points.empty:
        return "## Frontier\n\nNo trial has reached a checkpoint yet."
    at = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(np.int64))
    more = f", {len(at)} of them here" if len(at) < len(points) else ""
    usd, settings = partial(words.money, unit=table.unit), searched_settings(table)[:MOST_SETTINGS]
    tied = "tied_with" in points and bool(points["tied_with"].notna().any())
    rows = [
        [
            str(row["trial"]),
            str(row["epoch"]),
            words.quality(row["quality"]),
            text(usd(row["price_usd"])),
            words.duration(row["wall_seconds"]),
            *(_setting(row["settings"].get(name)) for name in settings),
            *([text(row["tied_with"] or "")] if tied else []),
        ]
        for row in points.iloc[at].to_dict("records")
    ]
    head = [
        "trial",
        "epoch",
        text(table.quality.name),
        "price",
        "wall time",
        *map(text, settings),
        *(["tied with"] if tied else []),
    ]
    return f"## Frontier: {words.several(len(points), 'point')}{more}\n\n{_table(head, rows, numbers=5)}"


def _setting(value: object) -> str:
    return text(words.setting(value))


def _spend(table: StudyTable) -> str:
    usd = partial(words.money, unit=table.unit)
    by_part, states = spend_by_part(table), spend_by_state(table)
    whole = sum(by_part.values())
    parts = [
        [part, text(words.money_part(amount, table.unit)), words.percent(amount / whole if whole else 0.0)]
        for part, amount in by_part.items()
    ]
    rows = [
        [text(row["state"]), f"{row['runs']:,}", text(usd(row["spend_usd"])), words.percent(row["share"])]
        for row in states.to_dict("records")
    ]
    first, second = _table(["part", "spend", "share"], parts), _table(["state", "runs", "spend", "share"], rows)
    spend = f"## Spend: {text(usd(table.spend_usd))}\n\n{first}\n\n{second}"
    return "\n\n".join(filter(None, [spend, _machines(table)]))


def _machines(table: StudyTable) -> str:
    machines = machines_by_sku(machines_table(table))
    if machines.empty:
        return ""
    usd = partial(words.money, unit=table.unit)
    rows = [
        [
            text(f"{row['machines']} × {row['sku'] or 'no rate'}" + (f" ({row['market']})" if row["market"] else "")),
            words.hours(row["hours"]),
            *(text(usd(row[column])) for column in (*LINES, "usd")),
        ]
        for row in machines.to_dict("records")
    ]
    head = ["machines", "hours", *(column.removesuffix("_usd") for column in LINES), "together"]
    return f"Whole machines, for as long as the study had them:\n\n{_table(head, rows)}"


def _predicted(table: StudyTable) -> str:
    targets, found = wanted_predictions(table)
    if not targets:
        return ""
    usd = partial(words.money, unit=table.unit)
    known = found[found["refused"] == ""].head(MOST_PREDICTED)
    rows = [
        [
            text(f"trial {row['trial']}, epoch {row['epoch']}"),
            words.quality(row["quality"]),
            text(row["on"]),
            *(text(usd(row[f"price_usd{end}"])) for end in ("", "_low", "_high")),
            words.duration(row["wall_seconds"]),
        ]
        for row in known.to_dict("records")
    ]
    head = ["point", text(table.quality.name), "on", "price, likely", "from", "to", "time, likely"]
    remarks = "\n".join(f"- {text(sentence)}" for sentence in prediction_sentences(table, found, targets))
    body = _table(head, rows) + "\n\n" if rows else ""
    return f"## On hardware that nobody has rented\n\n{body}{remarks}"


def _levers(table: StudyTable) -> str:
    levers = levers_table(table)
    if levers.empty:
        return ""
    usd = partial(words.change, in_words=partial(words.money, unit=table.unit))
    rows = [
        [
            text(row["lever"]),
            f"{_setting(row['without'])} → {_setting(row['with'])}",
            str(row["pairs"]),
            text(usd(row["usd_difference"], row["usd_low"], row["usd_high"])),
            words.percent_change(row["usd_ratio"]),
            words.change(row["quality_difference"], row["quality_low"], row["quality_high"], words.figure),
        ]
        for row in levers.head(MOST_LEVERS).to_dict("records")
    ]
    more = f"; {len(levers) - MOST_LEVERS} more in levers.csv" if len(levers) > MOST_LEVERS else ""
    head = ["lever", "from → to", "pairs", "price", "price in %", text(table.quality.name)]
    return f"## What each lever saved\n\nWith 95 % intervals over pairs of trials{more}.\n\n{_table(head, rows)}"


def _assumptions(table: StudyTable) -> str:
    rates, known = rates_table(table), assumptions_table(table)
    changed = known[known["changed"].astype(bool)]
    lines = [
        f"- {text(row['sku'])} ({text(row['market'])}) at {text(words.usd(row['usd_per_hour']))} an hour"
        f" of {text(row['price_date'])}, {text(row['price_source'])}"
        for row in rates.sort_values("spend_usd", ascending=False).head(MOST_RATES).to_dict("records")
    ]
    lines += [f"- and {len(rates) - MOST_RATES} more rates"] if len(rates) > MOST_RATES else []
    lines += [
        f"- {text(row['name'])} = {text(words.setting(row['value']))}: {text(row['help'])}"
        for row in changed.to_dict("records")
    ]
    lines.append(
        f"- {len(known) - len(changed)} other assumptions about costs at their defaults (report.html lists them)"
    )
    return "\n".join([f"## Assumptions\n\nPrice book {code(table.price_book)}.\n", *lines])


def _reproduction(table: StudyTable) -> str:
    known = [(name, fact) for name, fact in reproduction.facts(table) if fact != reproduction.UNRECORDED]
    lines = [f"- {name}: {code(fact)}" for name, fact in known if name != "versions"]
    advice = recommendations(table)
    commands = reproduction.commands(table, advice[0].answer.run if advice else None)
    lines += [f"- {_sentence(title)}: {code(command)}" for title, command, _ in commands if command]
    return "\n".join(["## How to reproduce\n", *lines])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 99) -> str:
    """A table; its first ``numbers`` columns but the first are set to the right."""
    marks = [":--" if at == 0 or at >= numbers else "--:" for at in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, marks, *rows])


def _write(table: StudyTable, file: IO[bytes]) -> None:
    file.write(as_text(report_markdown(table)))


FILES = (ReportFile("report.md", "for a pull request or a wiki: the answer and what it rests on, in a page", _write),)
