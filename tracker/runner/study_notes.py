"""What a coordinator leaves in its study's folder for whoever reads the study while MLflow is away or behind."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tracker.errors import StoreError
from tracker.study import formats

TAGS = "tags.json"
BEHIND = "behind.json"
CLUSTER = "cluster.json"


@dataclass(frozen=True, slots=True)
class StudyNotes:
    """``tags.json``, and ``behind.json`` while MLflow lacks something, in the study's folder ``path``.

    A full disk costs only what could not be written.
    """

    path: Path

    def save_tags(self, tags: Mapping[str, str]) -> None:
        """Keep the tags that MLflow gets of the study itself."""
        with contextlib.suppress(OSError):
            formats.TAGS.write(self.path / TAGS, {"tags": dict(tags)})

    def tags(self) -> Mapping[str, str]:
        """What ``save_tags`` kept; none where an older version ran the study, or they cannot be read."""
        with contextlib.suppress(StoreError, OSError, KeyError, TypeError, AttributeError):
            return {str(name): str(text) for name, text in formats.TAGS.read(self.path / TAGS)["tags"].items()}
        return {}

    def cluster_name(self) -> str:
        """The name that the study has on machines of clusters, which no other study has; made when it is first asked.

        Raises StoreError where it cannot be kept.
        """
        path = self.path / CLUSTER
        with contextlib.suppress(FileNotFoundError, KeyError):
            return str(formats.CLUSTER.read(path)["study"])
        name = f"{self.path.name}-{uuid.uuid4().hex}"
        try:
            formats.CLUSTER.write(path, {"study": name})
        except OSError as error:
            raise StoreError(f"'{path}' cannot be written: {error.strerror or error}") from None
        return name

    def save_behind(self, entries: int) -> None:
        """Mark that MLflow lacks so many values of the study; with 0, that it lacks none."""
        with contextlib.suppress(OSError):
            if entries:
                formats.BEHIND.write(self.path / BEHIND, {"entries": entries})
            else:
                (self.path / BEHIND).unlink(missing_ok=True)

    def behind(self) -> int:
        """How many values MLflow lacks of the study, by the last mark; 0 without one."""
        with contextlib.suppress(StoreError, OSError, KeyError, TypeError, ValueError):
            return max(0, int(formats.BEHIND.read(self.path / BEHIND)["entries"]))
        return 0


def study_of(cluster_name: str) -> str:
    """The study that ``cluster_name`` is of."""
    return cluster_name.rpartition("-")[0] or cluster_name
