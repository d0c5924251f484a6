"""An assistant: what runs the part of an attempt that a further machine has. It writes no events.

It ends with its part, with the attempt, which it knows by its connection to the first machine, and with its host.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import signal
import traceback

from tracker.training.line import Line
from tracker.training.process_tree import end_all_below
from tracker.training.processes import FAILURE_SECONDS, Companions
from tracker.training.request import AttemptRequest
from tracker.training.set_up import begin, limit_memory, take_cores
from tracker.training.stopping import PAUSE_AT_SAVE_SIGNAL, PAUSE_SIGNAL, take_requests
from tracker.training.worker import accompany


def assist(request: AttemptRequest) -> None:
    """Run a part of an attempt; the whole life of an assistant."""
    begin(request)
    take_cores(request.cores)
    limit_memory(request)
    for number in (signal.SIGINT, PAUSE_SIGNAL, PAUSE_AT_SAVE_SIGNAL):
        signal.signal(number, signal.SIG_IGN)  # what is asked of an attempt is asked of its worker
    take_requests()
    companions = Companions(request.ranks, accompany, request)
    companions.start()  # before there is a connection that they would keep open
    try:
        _follow(request, companions)
    except OSError:  # the first machine cannot be reached, or not any more
        traceback.print_exc()
    companions.end()
    end_all_below()


def _follow(request: AttemptRequest, companions: Companions) -> None:
    """Tell the first machine how this part ends, unless the attempt does before. Raises OSError."""
    host = multiprocessing.parent_process()
    assert request.span is not None and host is not None, "a host started this for one of several machines"
    line = Line(request.span)
    over = (line.socket, host.sentinel)
    failure = companions.failure(over)
    if not multiprocessing.connection.wait(over, 0.0):
        line.say(failure[1] if failure else None, FAILURE_SECONDS)
        if failure is None:  # the others may still have work to do, such as a last evaluation
            multiprocessing.connection.wait(over)
    with contextlib.suppress(OSError):
        line.socket.close()
