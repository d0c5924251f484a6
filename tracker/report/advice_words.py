"""An advice in words: a sentence or two for each thing that a person asks next."""

from __future__ import annotations

from tracker.report.advice import CONFIDENCE, Advice, repeated_within
from tracker.report.axes import y_words
from tracker.report.axis_points import parse_key
from tracker.report.marginal_steps import step_sentences
from tracker.report.more_money import curve_sentences, outlook_sentences
from tracker.report.predicted_candidates import PREDICTED, prediction_grounds
from tracker.report.tables import certainty_of, searched_settings
from tracker.report.targets import Answer, confidence_words, is_quality
from tracker.report.words import duration, money, percent, quality, setting, several


def advice_sentences(advice: Advice) -> list[str]:
    """The advice in words, a paragraph each."""
    found, answer = advice.found, advice.answer
    money_lines = [] if advice.outlook is None else outlook_sentences(advice.outlook, found.table)
    if answer is None:
        return [*step_sentences(found), *([PREDICTED] if found.is_predicted else []), *money_lines]
    lines = [f"{answer.question}:", answer.sentence]
    if answer.key:
        lines.append(_settings(advice, answer))
    return [*lines, *grounds(advice), *money_lines, *_training(advice, answer)]


def grounds(advice: Advice) -> list[str]:
    """What the answer rests on: how sure it is, the next better point, and, of what was not reached, the curves."""
    found, answer, wish, target = advice.found, advice.answer, advice.wish, advice.wish.quality
    if answer is None:
        return []
    predicted = found.is_predicted and answer.key
    ranges = prediction_grounds(found, advice.row, wish.cost, wish.wall_seconds) if predicted else []
    cheap = _baseline_sentences(advice)
    lines = [line for line in (*cheap, *ranges, answer.sure, _confidence_sentence(advice), answer.next_better) if line]
    if target is None or advice.outlook is None or not is_quality(found):
        return lines
    if (found.sign * (found.frontier["y"].to_numpy() - target) < 0).all():
        lines += curve_sentences(advice.outlook, found.table, target)
    return lines


def _baseline_sentences(advice: Advice) -> list[str]:
    """That a baseline, which nobody searched for, would do."""
    table = advice.found.table
    return [
        f"A baseline would do: {row['name']}, {table.quality.name} {quality(row['quality'])} for"
        f" {money(row['price_usd'], table.unit)}."
        for row in advice.baselines.head(1).to_dict("records")
    ]


def _settings(advice: Advice, answer: Answer) -> str:
    table = advice.found.table
    own = table.settings_of(answer.run)
    values = ", ".join(f"{name} {setting(own[name])}" for name in searched_settings(table) if name in own)
    took, row = duration(answer.wall_seconds), advice.row
    if advice.found.is_predicted:
        billed = f"Billed as {row['sku']} ({row['market']}); it would take {took}."
    else:
        billed = f"Billed as {table.runs['sku'].to_numpy()[answer.run]}; it took {took}."
    return f"Settings: {values}. {billed}" if values else billed


def _training(advice: Advice, answer: Answer) -> list[str]:
    """The command that trains the answer's run again, and what to know of it."""
    again, epoch = advice.train_again, parse_key(answer.key)[1] or 0
    if not again.text:
        return [again.remark] if again.remark else []
    points = advice.found.points
    last = int(points["epoch"][(points["run"] == answer.run).to_numpy()].max())
    whole = f" (all of it: to epoch {last}, past epoch {epoch})" if last > epoch else ""
    there, device = "", advice.found.table.settings_of(answer.run).get("device")
    if advice.found.is_predicted:
        there = f" on {advice.row['on']}" + (f", with its own device in place of {device}" if device else "")
    return [line for line in (f"Train it again{there}{whole}:", again.text, again.remark) if line]


def _confidence_sentence(advice: Advice) -> str:
    """Which point reaches the wished quality with CONFIDENCE; "" where nothing was repeated or the answer does."""
    found, wish, row = advice.found, advice.wish, advice.confident
    if wish.quality is None or certainty_of(found.table).empty or not is_quality(found):
        return ""
    target, sure = f"{found.metric} {y_words(wish.quality)}", percent(CONFIDENCE)
    if row is None:
        bounded = " within these bounds" if wish.cost is not None or wish.wall_seconds is not None else ""
        count = len(repeated_within(found, wish).drop_duplicates(["trial", "epoch"]))
        if not count:
            return f"No checkpoint{bounded} was repeated."
        return f"None of the {several(count, 'repeated checkpoint')}{bounded} reaches {target} with {sure} confidence."
    if (
        advice.answer is not None
        and parse_key(advice.answer.key)[1] == row["epoch"]
        and advice.answer.run == row["run"]
    ):
        return ""
    return (
        f"The cheapest that reaches {target} with {sure} confidence is trial #{row['trial']} after epoch"
        f" {row['epoch']}: mean {quality(row['quality_mean'])} for {found.x_measure.words(row['x'])},"
        f" {confidence_words(row['confidence'])} sure."
    )
