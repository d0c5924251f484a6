"""Strike real studies at random moments, resume and audit them.

    python -m tests.faults [--kills 200] [--seed N] [--store sqlite] [--study N] [--out FILE]

Prints every strike, a line for each study, and a table; exits with 1 where a book differed. The same seed draws the
same studies, moments and victims; what a moment meets depends on the machine. The places of studies with a problem are
kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.campaign import Campaign, as_document
from tests.faults.results import StudyResult
from tests.faults.stores import STORES
from tests.support.unavailable import UnavailableError


def main() -> int:
    """Run a campaign by the command line's options; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--kills", type=int, default=200, help="how many strikes in all")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of all draws; without one, the time")
    parser.add_argument("--store", choices=STORES, default="sqlite", help="what studies log to")
    parser.add_argument("--study", type=int, help="this study of the seed alone, as when it had a problem")
    parser.add_argument("--out", type=Path, help="a file for the results in JSON")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    campaign = Campaign(given.kills, given.seed, given.store, folder, lambda words: print(words, flush=True))
    print(f"{given.kills} strikes on {given.store}, seed {given.seed}, homes below {folder}", flush=True)
    results = []
    try:
        for result in campaign.run() if given.study is None else [campaign.study(given.study, given.kills)]:
            results.append(result)
            print(_line(result), flush=True)
    except UnavailableError as error:
        print(f"skipped: {error}", flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(as_document(results, campaign), indent=1), encoding="utf-8")
    print(_table(results))
    return 1 if any(result.problems for result in results) else 0


def _line(result: StudyResult) -> str:
    verdict = "the books agree" if not result.problems else f"{len(result.problems)} PROBLEMS"
    return (
        f"study {result.study} ({result.strategy}): {len(result.strikes)} strikes, {result.commands} commands,"
        f" {result.attempts} attempts, ${result.price_usd:.6f}: {verdict}"
    )


def _table(results: list[StudyResult]) -> str:
    strikes = [strike for result in results for strike in result.strikes]
    struck, ended = Counter(each.strike for each in strikes), Counter(each.strike for each in strikes if each.ended)
    width = max(map(len, struck), default=0)
    lines = [f"{'strike':{width}}  {'times':>5}  {'ended the coordinator':>21}"]
    lines += [f"{words:{width}}  {count:5}  {ended[words]:21}" for words, count in sorted(struck.items())]
    clean = sum(not result.problems for result in results)
    audits = sum(result.audits for result in results)
    over = f"{len(strikes)} strikes over {len(results)} studies, {audits} audits"
    lines.append(f"{over}; {clean} studies without a problem")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
