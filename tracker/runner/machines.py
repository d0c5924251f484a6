"""The machines that a study runs on: this one, or those of a cluster; what they can do and cost, and their engine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tracker.engine.cluster.cluster import ClusterEngine
from tracker.engine.cluster.fleet import Fleet
from tracker.engine.engine import Engine
from tracker.engine.forkserver import Forkserver
from tracker.engine.local import LocalEngine
from tracker.engine.reservations import Reservations
from tracker.errors import ClusterError, RequestError
from tracker.pricing.price_point import PricePoint
from tracker.records import Hardware
from tracker.runner.fleet_machines import FleetMachine, connected, greet, offers
from tracker.runner.node_rates import NodeRates
from tracker.runner.plan import StudyPlan, look_around, on_machine, plan_on
from tracker.runner.progress import Observer
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.store.home import Home
from tracker.store.names import logged_name
from tracker.study.check import check_study
from tracker.study.document import StudyDocument
from tracker.study.space import search_space

CLOCK_SECONDS = 60.0
"""A clock that is further from this machine's is reported."""


@dataclass(frozen=True)
class Cluster:
    """A fleet, its machines at the start, and what each machine of it is billed as."""

    fleet: Fleet
    nodes: Sequence[FleetMachine]
    rates: NodeRates


@dataclass(frozen=True)
class Machines:
    """Where a study runs. ``plan`` is for its trials; ``here`` for its data, which the coordinator's machine prepares.

    ``cluster`` is None where trials run on this machine too.
    """

    plan: StudyPlan
    here: StudyPlan
    forkserver: Forkserver
    workers: int | None
    observer: Observer
    cluster: Cluster | None = None

    def announce(self) -> None:
        """Show the machines, what they are billed as, changed cost terms, and what is left out of the space."""
        observer = self.observer
        _announce(self.plan, observer, machines=self.cluster is None)
        if self.cluster is None:
            return
        for machine in self.cluster.nodes:
            for device in self.plan.space.devices:
                able = device == "cpu" or machine.node.accelerators
                if able and (point := self.cluster.rates.on(machine.node, device)) is not None:
                    observer.notify(f"{machine.words}: {_billed(device, point)}")
            if abs(off := machine.clock_seconds) > CLOCK_SECONDS:
                observer.notify(
                    f"the clock of {machine.node.address} is {off:+.0f} s from this one's; so are its dates"
                )

    def local_engine(self) -> Engine:
        """The workers of this machine. Raises RequestError as engine_for does."""
        return engine_for(self.here, self.forkserver, self.workers)

    def engine(self, folder: StudyFolder) -> Engine:
        """The engine of the trials of the study in ``folder``. Raises RequestError as engine_for does, StoreError."""
        if self.cluster is None:
            return self.local_engine()
        name = StudyNotes(folder.path).cluster_name()
        notify, states = self.observer.notify, self.plan.spec.engine.states
        fleet, rates = self.cluster.fleet, self.cluster.rates
        return ClusterEngine(fleet, name, rates, self.workers, notify, folder.path, states)


@contextlib.contextmanager
def machines_of(document: StudyDocument, home: Home, workers: int | None, observer: Observer) -> Iterator[Machines]:
    """The machines that a study names, while the context is open.

    Raises what make_plan raises, and ClusterError and RequestError where there is no such cluster.
    """
    forkserver = Forkserver(document.workload or "")
    surroundings = look_around(document, forkserver)
    spec = check_study(document, surroundings.workload)
    if spec.engine.name == "local":
        plan = plan_on(document, spec, surroundings, home)
        yield Machines(plan, plan, forkserver, workers, observer)
        return
    with connected(spec.engine.address, allow_open=spec.engine.allow_open) as fleet:
        nodes = greet(fleet)
        able = combined([machine.hardware for machine in nodes])
        offered = [(machine.node, offer) for machine in nodes for offer in offers(machine, spec.pricing.market)]
        plan = plan_on(document, spec, replace(surroundings, hardware=able), home, [offer for _, offer in offered])
        points = {"cpu": plan.cpu_point, **plan.price_points}
        rates = NodeRates(plan.price_book, spec.pricing, observer.notify, points, nodes)
        billed = [  # no trial runs on a machine of which nobody knows what it costs
            replace(offer, market=point.market)
            for node, offer in offered
            if (point := rates.on(node, offer.device)) is not None
        ]
        if not billed:
            raise ClusterError("nobody knows what any machine of the cluster costs; give them a label tracker/sku")
        plan = replace(plan, space=search_space(spec, able, surroundings.compile_problem, billed))
        here = on_machine(plan, surroundings.hardware)
        yield Machines(plan, here, forkserver, workers, observer, Cluster(fleet, nodes, rates))


def engine_for(plan: StudyPlan, forkserver: Forkserver, workers: int | None) -> Engine:
    """The workers of this machine, at most ``workers`` at once; None for as many as it has cores.

    Raises RequestError for an invalid number, and for several where nobody could know whose log is whose.
    """
    hardware, report = plan.hardware, plan.spec.report
    if report is not None and report.one_at_a_time:
        if workers is not None and workers > 1:
            raise RequestError(
                f"--workers {workers}: trials at once would all write csv logs to '{report.place}', and which is whose "
                "could not be known; let each write below $TRACKER_ARTIFACTS, or use --workers 1"
            )
        workers = 1 if workers is None else workers
    if workers is not None and workers < 1:
        raise RequestError(f"--workers {workers} is not a whole number of at least 1")
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(hardware.cores)
    reservations = Reservations(
        usable[: hardware.cores], range(hardware.accelerator_count), hardware.trial_memory_bytes
    )
    return LocalEngine(forkserver, reservations, workers)


def _announce(plan: StudyPlan, observer: Observer, *, machines: bool = True) -> None:
    """Show changed cost terms, and what is left out of the space; before, the machine and what it is billed as."""
    if machines:
        observer.notify(f"machine: {plan.hardware.label}")
    for device, point in plan.price_points.items() if machines else ():
        observer.notify(_billed(device, point))
    if changed := plan.spec.costs.changed:
        observer.notify(
            f"costs assumed: {', '.join(f'{name} = {str(value).lower()}' for name, value in changed.items())}"
        )
    for sentence in plan.space.left_out:
        observer.notify(f"left out: {sentence}")
    for name in sorted({*plan.spec.needed_metrics, *plan.spec.default_settings, *plan.spec.space}):
        if (logged := logged_name(name)) != name:
            observer.notify(f"'{name}' is '{logged}' in MLflow, which does not allow every name; here it keeps its own")


def _billed(device: str, point: PricePoint) -> str:
    rate = f"${point.usd_per_hour:g} an hour for the whole machine on {point.effective_from}"
    return f"{device} is billed as {point.sku} ({point.market}), {rate}"


def combined(machines: Sequence[Hardware]) -> Hardware:
    """What a fleet can do: the most that any of its machines has, in the precisions that all with a device can use."""
    largest = max(machines, key=lambda each: (each.cores, each.memory_bytes))
    with_most = max(machines, key=lambda each: each.accelerator_count)
    memories = [each.accelerator_memory_bytes for each in machines if each.accelerator_count]
    precisions = {}
    for device in with_most.devices:
        able = [each.precisions.get(device, ()) for each in machines if device in each.devices]
        precisions[device] = tuple(name for name in able[0] if all(name in each for each in able))
    return replace(
        largest,
        cpu_model=f"{len(machines)} machines",
        memory_bytes=max(each.memory_bytes for each in machines),
        accelerator=with_most.accelerator,
        accelerator_count=with_most.accelerator_count,
        accelerator_memory_bytes=min(memories, default=0),
        precisions=precisions,
    )
