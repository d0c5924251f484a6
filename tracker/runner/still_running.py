"""What still runs on a cluster of a study whose coordinator is gone: only a resume continues it."""

from __future__ import annotations

import shlex

from tracker.engine.cluster.asking import ask_all
from tracker.engine.cluster.cluster import FIND_SECONDS
from tracker.engine.cluster.fleet import Fleet
from tracker.errors import ClusterError, RequestError
from tracker.runner.fleet_machines import connected
from tracker.runner.progress import Observer
from tracker.runner.study_folder import StudyFolder
from tracker.runner.study_notes import StudyNotes
from tracker.study.spec import EngineSpec


def refuse_while_running(fleet: Fleet, folder: StudyFolder, name: str) -> None:
    """Raise RequestError where attempts of a study still run on the machines of a fleet."""
    nodes = [node.node_id for node in fleet.nodes() if node.cores]
    said = ask_all(fleet, nodes, FIND_SECONDS, "found", StudyNotes(folder.path).cluster_name())
    labels = sorted(
        found.request.label
        for _, answer in said
        if not isinstance(answer, Exception)
        for found in answer
        if found.log_bytes is None
    )
    if labels:
        many = f"{', '.join(labels[:5])}{' …' * (len(labels) > 5)} still run{'s' * (len(labels) == 1)} on the cluster"
        raise RequestError(f"{many}: `tracker resume {shlex.quote(name)}` continues what is paid for there")


def refuse_while_cluster_runs(engine: EngineSpec, folder: StudyFolder, name: str, observer: Observer) -> None:
    """The same of the cluster that a study names, where an attempt on it has no end.

    Raises RequestError. A cluster that is away is not waited for.
    """
    lost = [events[0] for _, events in folder.attempts() if not any(event["event"] == "ended" for event in events)]
    if engine.name == "local" or not any(asked.get("node") for asked in lost):
        return
    try:
        with connected(engine.address, allow_open=engine.allow_open) as fleet:
            refuse_while_running(fleet, folder, name)
    except ClusterError as error:
        observer.notify(f"{error}; what ran there is closed as killed")
