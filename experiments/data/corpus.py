"""What every source of text gives: texts with labels, in a training, a validation and a test split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tracker.errors import DataError

SPLITS = ("train", "validation", "test")
TRAIN_SHARE = 0.70
VALIDATION_SHARE = 0.15
NAMES_SHOWN = 8
SHOWN = 24


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Texts, each with the index of its class."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, count: int) -> LabelledTexts:
        """The first ``count`` texts; all of them where ``count`` is 0."""
        return LabelledTexts(self.texts[:count], self.labels[:count]) if count else self

    def distinct(self) -> LabelledTexts:
        """Each text once, with the label that it has first."""
        first = dict(zip(reversed(self.texts), reversed(self.labels), strict=True))
        return LabelledTexts(tuple(reversed(first)), tuple(reversed(first.values())))


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text-classification data set.

    Attributes:
        name: what a person calls it.
        fingerprint: changes whenever a text, a label or a split may have changed.
        classes: the name of each class, by index.
        splits: one entry for each of SPLITS. Rows stand in an order that depends on the texts alone and
            looks shuffled, so that the first n are a fair sample that is the same in every process.
        description: where the texts come from, in a sentence.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    splits: Mapping[str, LabelledTexts]
    description: str = ""

    def with_train_documents(self, count: int) -> Corpus:
        """This corpus with only the first ``count`` training texts (0 for all); the rest as it is.

        Raises DataError where they are all of one class.
        """
        train = self.splits["train"].first(count)
        if len(set(train.labels)) < 2:
            raise DataError(f"{self.name}: its {len(train)} training texts are all of one class; two are needed")
        return replace(self, splits={**self.splits, "train": train})

    def with_texts(self, change: Callable[[str], str]) -> Corpus:
        """This corpus with every text changed."""
        changed = {
            split: LabelledTexts(tuple(change(text) for text in of.texts), of.labels)
            for split, of in self.splits.items()
        }
        return replace(self, splits=changed)


def gather(rows: list[tuple[str, str, str]], classes: tuple[str, ...]) -> dict[str, LabelledTexts]:
    """The splits of a corpus from rows of (text, class name, split name)."""
    index = {name: position for position, name in enumerate(classes)}
    shuffled = sorted(rows, key=lambda row: stable_hash(row[0]))
    chosen = {split: [row for row in shuffled if row[2] == split] for split in SPLITS}
    return {
        split: LabelledTexts(tuple(row[0] for row in of), tuple(index[row[1]] for row in of))
        for split, of in chosen.items()
    }


def few(names: Sequence[str]) -> str:
    """The first names in quotes, cut where they are long, and how many more there are.

    >>> few(["1.1", "1.10"])
    "'1.1', '1.10'"
    """
    shown = [repr(name if len(name) <= SHOWN else name[: SHOWN - 1] + "…") for name in names[:NAMES_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else "")


def with_classes(description: str, classes: Sequence[str]) -> str:
    """A description of data that says what their classes are too."""
    return f"{description}; {len(classes):,} classes: {few(classes)}"


def stable_hash(text: str) -> int:
    """64 bits that depend on the text alone: the same in every process, on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def split_for_share(share: float) -> str:
    """The split that a position between 0 and 1 falls in."""
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"
