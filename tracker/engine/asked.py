"""The first event of an attempt: what is asked of a worker. Its coordinator writes it, before anything runs."""

from __future__ import annotations

from tracker.errors import StoreError
from tracker.training.events import EventLog, set_aside
from tracker.training.request import AttemptRequest


def write_request(request: AttemptRequest) -> None:
    """Write the first event of an attempt into its log. Raises StoreError."""
    parts = request.span.parts if request.span else (request,)
    asked = {
        "role": request.role,
        "label": request.label,
        "attempt": request.attempt,
        "settings": request.settings,
        "seed": request.seed,
        "cores": [core for part in parts for core in part.cores],
        "accelerators": [gpu for part in parts for gpu in part.accelerators],
        "price_point": request.price_point.row,
        "price_book": request.price_book,
        "last_epoch": request.last_epoch,
        "user": request.user,
        "time": request.asked_at,
        "steady": request.asked_steady,
        **({"node": request.node} if request.node else {}),
        **({"nodes": [part.node for part in request.span.parts]} if request.span else {}),
    }
    path = request.log_path
    log = EventLog(path)
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        set_aside(path)
        problem = "" if log.write("asked", asked) else log.problem
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise StoreError(f"event log '{path}' cannot be written: {problem}; {request.label} did not start")
