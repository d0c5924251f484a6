"""A study as its event logs tell it: what MLflow has of it once everything is delivered. Writes nothing.

Attempts without an end count as running: only who holds the study's lock can say that they ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tracker.engine.cluster.node_times import nodes_of
from tracker.errors import StoreError
from tracker.pricing.price_point import price_point_from_row
from tracker.records import TrialState
from tracker.runner.account import Account, attempt_tags, named_together
from tracker.runner.job import job_of
from tracker.runner.study_folder import StudyFolder, read_attempts
from tracker.runner.study_notes import StudyNotes
from tracker.store.columns import ParentRun
from tracker.store.entries import Entries
from tracker.store.entries_source import EntriesSource, KeyedRun
from tracker.store.run_logs import Outbox, RunLog
from tracker.store.tags import shared_tags
from tracker.study.costs import CostTerms
from tracker.training.events import follow, new_attempt


def events_source(folder: StudyFolder) -> EntriesSource:
    """A store that has the study in this folder alone, by its events; for repeated reads.

    Reading it raises StoreError where a log, or the study's description, cannot be read.
    """
    return EntriesSource(_EventStudy(folder).read)


class _EventStudy:
    """Reads a study's logs, again and again: those of a run only where one of them has grown."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._known: dict[str, Entries] = {}

    def read(self) -> tuple[ParentRun, list[KeyedRun]]:
        """The study's parent run, and its other runs. Raises StoreError."""
        folder = self._folder
        content, tags = folder.document().content, StudyNotes(folder.path).tags()
        name, terms, shared = str(content["name"]), CostTerms(**content.get("costs", {})), shared_tags(tags)
        common = hashlib.sha256(repr((name, terms, shared)).encode(errors="surrogatepass")).hexdigest()[:16]
        found = {}
        for run_folder, logs in folder.logs().items():
            sizes = [(path.stem, path.stat().st_size) for path in logs]
            key = f"{common} {run_folder.name} {sizes}"
            entries = self._known.get(key) or _run_entries(name, logs, terms, shared)
            if entries is not None:
                found[key] = entries
        self._known = found
        return self._parent(name, tags), [KeyedRun(entries, key) for key, entries in found.items()]

    def _parent(self, name: str, tags: Mapping[str, str]) -> ParentRun:
        end = self._folder.end()
        state = TrialState.RUNNING if end is None else end[0]
        tags = {**tags, "tracker.role": "study", "tracker.state": state}
        return ParentRun(name, name, int(self._folder.started_at * 1000), tags)


def _run_entries(study: str, logs: Sequence[Path], terms: CostTerms, tags: Mapping[str, str]) -> Entries | None:
    """All that a run's attempts log, by the code that logs it; None where no attempt was asked for yet."""
    account: Account | None = None
    for path, events in read_attempts(logs):
        asked, record = events[0], follow(new_attempt(int(path.stem)), events)
        job = job_of(asked)
        if "price_point" not in asked:
            raise StoreError(f"event log '{path}' does not say its rate: an older version wrote it")
        point = price_point_from_row(asked["price_point"], job.label)
        user, node = str(asked.get("user", "")), named_together(nodes_of(asked))
        own = {**tags, **attempt_tags(job, point, asked["price_book"], user, node, account)}
        if account is None:
            outbox = Outbox(_Nobody(), study)
            log = RunLog(outbox, "", job.label, own, record.started_at, job.settings, f"{study} {job.label}")
            account = Account(job, point, terms, log, node=node)
        else:
            account.resume(job, point, node)
            account.log.tag(own)
        if record.ended_at is None:
            account.follow(record)
        else:
            account.close(record)
    return None if account is None else account.log.take()


class _Nobody:
    """Takes no entries: they are read here."""

    def new_run_id(self) -> str:
        """Runs have no id in MLflow here."""
        return ""

    def write(self, batch: Sequence[Entries]) -> None:
        """Nothing is written."""
