"""Reading something out of many Python files, with all cores: their definitions, docstrings, signatures."""

from __future__ import annotations

import ast
import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

from experiments.data.installed_packages import SourceFile

FILES_PER_TASK = 100

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Row = TypeVar("Row")


def read_files(
    files: list[SourceFile],
    read: Callable[[list[SourceFile]], list[Row]],
    what: str,
    progress: Callable[[str], None],
) -> Iterator[Row]:
    """What ``read`` gives of all ``files``, in their order; it is called with some of them at a time.

    It runs in other processes: pass a function of a module, or a partial of one. ``what`` names its rows.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    tasks = [files[start : start + FILES_PER_TASK] for start in range(0, len(files), FILES_PER_TASK)]
    progress(f"reading the {what} of {len(files):,} Python files with {cores} processes")
    results: dict[int, list[Row]] = {}
    # A forkserver, because the caller may have threads (which a fork must not copy); where the caller is itself
    # the child of one, these processes start from the same server in milliseconds.
    # Syntax trees have no cycles to collect, and looking for some takes a third of the time.
    pool = ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("forkserver"), initializer=gc.disable)
    try:
        waiting = {pool.submit(read, task): index for index, task in enumerate(tasks)}
        for done, future in enumerate(as_completed(waiting), start=1):
            results[waiting[future]] = future.result()
            if done * 10 // len(tasks) > (done - 1) * 10 // len(tasks):
                progress(f"read {done / len(tasks):.0%} of the files, {sum(map(len, results.values())):,} {what}")
    finally:
        pool.shutdown(cancel_futures=True)  # at once, also where the caller is asked to stop
    for index in range(len(tasks)):
        yield from results[index]


def definitions(source: bytes) -> Iterator[Documented]:
    """The module of a file's source, its classes and functions wherever they are; none where it cannot be parsed.

    In the order of a walk. A file without a triple quote documents nothing, and none are given of it either.
    """
    if b'"""' not in source and b"'''" not in source:
        return
    try:
        waiting: list[ast.AST] = [ast.parse(source)]
    except (SyntaxError, ValueError, RecursionError):
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, Documented):
            yield node
        # Only statements hold further definitions: expressions, most of a tree, are not walked.
        for block in ("body", "orelse", "finalbody", "handlers"):
            inner = getattr(node, block, ())
            waiting.extend(inner if isinstance(inner, list) else ())
