"""A cluster's engine on a fake fleet, used as a coordinator uses it, on the fleet's virtual clock."""

from __future__ import annotations

from tests.support.attempts import request_for
from tests.support.near_fleet import rate
from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.node import Needs
from tracker.training.ending import end_lost
from tracker.training.events import EventReader, follow, new_attempt

TURN_SECONDS = 0.1


class VirtualStudy:
    """``ended`` are the attempts that have ended, in that order."""

    def __init__(self, fleet, folder, name="study", **options):
        self.fleet, self.folder, self.name = fleet, folder, name
        self.attempts = []
        self.ended = []
        self._numbers = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.engine = ClusterEngine(fleet, name, rate, folder=folder, **options)

    def start(self, trial, nodes=1):
        """Start the next attempt at a trial, on so many machines; None where there is no place."""
        folder = self.folder / str(trial)
        reservation = self.engine.reserve(Needs(1, nodes=nodes), folder)
        if reservation is None:
            return None
        number = self._numbers[trial] = self._numbers.get(trial, 0) + 1
        attempt = self.engine.start(request_for(reservation, folder, number=number), reservation)
        self.attempts.append(attempt)
        return attempt

    def run(self, seconds):
        """Let time pass, and follow what happens."""
        until = self.fleet.now() + seconds
        while self.fleet.now() < until:
            self.engine.pump.turn(TURN_SECONDS)
            self.ended += self.engine.poll(0.0)

    def run_until(self, happened, most_seconds=1000.0):
        """Follow what happens until something is so."""
        until = self.fleet.now() + most_seconds
        while not happened():
            assert self.fleet.now() < until, "it did not happen"
            self.run(TURN_SECONDS)

    def restart(self):
        """The coordinator is killed, and another one adopts what runs; what it does not find has vanished."""
        left = {attempt.key: attempt for attempt in self.engine.running}
        self.engine = ClusterEngine(self.fleet, self.name, rate, folder=self.folder)
        adopted = {attempt.key: attempt for attempt in self.engine.adopt(self.folder)}
        self.attempts = [adopted.get(each.key, each) for each in self.attempts]
        for key in left.keys() - adopted.keys():
            left[key].read()
            if left[key].record.ended_at is None:
                path = left[key].request.log_path
                left[key].record = end_lost(path, left[key].record, EventReader(path).new_events())
            self.ended.append(left[key])
        self.engine.recount(self.attempts_that_ended())
        return list(adopted.values())

    def attempts_that_ended(self):
        """Each with its first event, by their logs."""
        for path in sorted(self.folder.glob("*/*.jsonl")):
            if not path.name.endswith(".late.jsonl"):
                events = EventReader(path).new_events()
                record = follow(new_attempt(int(path.stem)), events)
                if record.ended_at is not None:
                    yield events[0], record


def node_of(attempt):
    """The name of the machine that an attempt runs on."""
    return attempt.reservation.node.node_id


def others_of(attempt):
    """The names of the further machines that an attempt runs on."""
    return [each.node.node_id for each in attempt.reservation.others]


def training_of(fleet, attempt):
    """What really happens to an attempt; None where it never started."""
    hosts = [*fleet.hosts.values(), *fleet.dead]
    return next((each for host in hosts for each in host.ever if each.key == attempt.key), None)
