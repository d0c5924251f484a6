"""Environment variables, and the tags of runs in MLflow."""

from __future__ import annotations

from collections.abc import Mapping

from docs.generator.markdown import code, plain, table
from tracker.store.home import ENVIRONMENT
from tracker.store.tags import RUN_TAGS, STUDY_TAGS
from tracker.training.command_workload import COMMAND_ENVIRONMENT


def environment() -> str:
    """What the tracker reads, and what a shell command finds."""
    return f"{_table('variable', ENVIRONMENT)}\n## What a command finds\n\n{_table('variable', COMMAND_ENVIRONMENT)}"


def tags() -> str:
    """Those of a study's parent run, and those of its runs."""
    return f"### Of a study's parent run\n\n{_table('tag', STUDY_TAGS)}\n### Of a run\n\n{_table('tag', RUN_TAGS)}"


def _table(head: str, named: Mapping[str, str]) -> str:
    return table([head, "meaning"], ([code(name), plain(text)] for name, text in named.items()))
