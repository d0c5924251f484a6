"""What a study's coordinator saw, look by look: shows that a budget is kept, on however slow a machine."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from tracker.runner.progress import Silent


class Looks(Silent):
    """Keeps what is said, and what the study had spent at each look at it."""

    def __init__(self):
        self.messages, self.spent = [], []

    def notify(self, message):
        self.messages.append(message)

    def show(self, progress):
        self.spent.append((time.time(), progress.spend_usd))

    def late_stops(self, home, budget_usd):
        """The attempts that were under way at the first look that saw the budget spent and were not stopped then."""
        spent_at = min((at for at, usd in self.spent if usd >= budget_usd), default=math.inf)
        late = []
        for log in Path(home).glob("studies/*/trials/*/*.jsonl"):
            events = [json.loads(line) for line in log.read_text().splitlines()]
            times = {event["event"]: event["time"] for event in events}
            if times["asked"] < spent_at < times["ended"] and times.get("stop_asked", math.inf) > spent_at:
                late.append(log)
            if times["asked"] > spent_at:
                late.append(log)
        return late
