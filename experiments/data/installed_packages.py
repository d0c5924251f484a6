"""Which Python files a distribution and everything that it depends on have installed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tracker.errors import DataError

TEST_FOLDERS = frozenset({"test", "tests", "testing"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A Python file of an installed distribution.

    ``package`` is the top-level name that it is imported under; ``relative`` is its path below
    site-packages, with forward slashes.
    """

    package: str
    relative: str
    path: Path


def check_installed(distribution: str) -> None:
    """Raises DataError where there is no installed distribution of this name."""
    try:
        importlib.metadata.distribution(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise DataError(f"distribution '{distribution}' is not installed; allowed: one that pip list names") from None


def dependency_closure(distribution: str) -> dict[str, importlib.metadata.Distribution]:
    """Every installed distribution that ``distribution`` requires, directly or not, by canonical name.

    Extras are followed where a requirement asks for them; those of ``distribution`` itself are not, so
    that an environment with the test tools gives the same answer as one without. The distribution
    itself is left out.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = [(canonicalize_name(distribution), frozenset[str]())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # a requirement for another system
        for text in found[name].requires or ():
            requirement = Requirement(text)
            wanted = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if wanted not in seen and _applies(requirement, extras):
                seen.add(wanted)
                waiting.append(wanted)
    found.pop(canonicalize_name(distribution), None)
    return dict(sorted(found.items()))


def source_files(distributions: Mapping[str, importlib.metadata.Distribution]) -> list[SourceFile]:
    """The Python files of the distributions, by path; tests and single-module packages are left out."""
    files = {}
    for distribution in distributions.values():
        for file in distribution.files or ():
            folders = file.parts[:-1]
            outside = not folders or ".." in folders or not folders[0].isidentifier()
            if file.suffix == ".py" and not outside and not TEST_FOLDERS.intersection(folders):
                relative = file.as_posix()
                files[relative] = SourceFile(folders[0], relative, Path(str(file.locate())))
    return [files[relative] for relative in sorted(files)]


def package_names(distributions: Mapping[str, importlib.metadata.Distribution]) -> dict[str, frozenset[str]]:
    """Every name that a top-level package goes by: its own, and those of the distributions that fill it."""
    names: dict[str, set[str]] = {}
    for canonical, distribution in distributions.items():
        for package in {file.parts[0] for file in distribution.files or () if file.suffix == ".py"}:
            names.setdefault(package, {package}).update({canonical, distribution.metadata["Name"]})
    return {package: frozenset(each) for package, each in names.items()}


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    if requirement.marker is None:
        return True
    return any(requirement.marker.evaluate({"extra": extra}) for extra in extras or {""})
