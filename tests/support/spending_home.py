"""A home with several studies that were paid for: two users, two months, tags, made in MLflow without training."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from tests.support.tables import PRICE_POINT, USD_PER_HOUR
from tracker.store.home import Home
from tracker.store.mlflow_store import MlflowStore

OCTOBER, NOVEMBER = (datetime(2026, month, 31 if month == 10 else 5, 12, tzinfo=UTC).timestamp() for month in (10, 11))
USD_PER_SECOND = USD_PER_HOUR / 3600


def put_study(home, name, runs, tags=None, user="ada"):
    """A study of ``runs``: of each its user, its start and its seconds, which are billed at USD_PER_HOUR."""
    own = {"tracker.tags": json.dumps(tags or {}), **({"mlflow.user": user} if user else {})}
    study = {"tracker.study": name, "tracker.quality": "accuracy", "tracker.direction": "maximize"}
    store = MlflowStore(Home(home).tracking_uri)
    log = store.create_study(name, {**study, "tracker.state": "completed", **own}, OCTOBER, home / "artifacts")
    for number, (who, start, seconds) in enumerate(runs):
        of_run = {"tracker.role": "trial", "tracker.trial": str(number), "tracker.sku": "aws/m5.large"}
        rate = {"tracker.market": "on_demand", "tracker.region": "us-east-1", "tracker.usd_per_hour": str(USD_PER_HOUR)}
        usage = {"tracker.cores": "2", "tracker.price_point": PRICE_POINT, "tracker.attempts": "1"}
        tags_of_run = {**of_run, **rate, **usage, **({"mlflow.user": who} if who else {})}
        run = log.run(f"#{number}", {"width": number}, {**tags_of_run, "tracker.state": "completed"}, start)
        usd = seconds * USD_PER_SECOND
        costs = {"price_usd": usd, "wall_seconds": seconds}
        run.add({"accuracy": 0.5 + number / 100, **costs}, step=1, timestamp=start + seconds)
        parts = {"compute_usd": usd, "data_usd": 0.0, "storage_usd": 0.0, "maintenance_usd": 0.0}
        run.add({**costs, **parts, "billed_seconds": seconds, "machine_share": 1.0}, step=2, timestamp=start + seconds)
        run.end("completed", start + seconds)
        run.outbox.flush()
    log.parent.end("completed", NOVEMBER)
    log.flush()
    return log
