"""What more money would bring, said at the end of a study."""

from __future__ import annotations

from tracker.cli.output import say
from tracker.records import TrialState
from tracker.store.home import Home


def say_more_money(home: Home, name: str, state: TrialState) -> None:
    """Print what the search expects of more money; nothing for a study that did not complete, or made no forecast."""
    if state is not TrialState.COMPLETED:
        return
    from tracker.pricing.scenario import Scenario
    from tracker.report.more_money import growth_sentences, money_outlook
    from tracker.report.repricing import priced_study_table  # pandas, while nothing waits for it any more

    try:
        table = priced_study_table(home, name, Scenario())
        outlook = money_outlook(table)
    except Exception as error:  # noqa: BLE001 - the study itself has ended well
        say(f"what more money would bring is not known: {type(error).__name__}: {error}", err=True)
        return
    if outlook.growth is not None:
        say(" ".join(growth_sentences(outlook.growth, table)), err=True)
