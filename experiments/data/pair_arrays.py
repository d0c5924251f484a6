"""Tokenised pairs of texts on disk and in memory: what a trial of the translator reads. Light to import.

A prepared folder holds, for each split, the token arrays (experiments.data.token_arrays) ``SPLIT-source`` and
``SPLIT-target``, the latter each from BEGIN to END, and SPLIT-targets.json, the targets as texts; beside them are
``pairs.json`` and ``tokenizer.json``, of one vocabulary for both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments import lazy
from experiments.data.batches import shuffled_batches, sorted_batches
from experiments.data.token_arrays import MAX_TOKENS, PADDING, UNKNOWN, TokenizedTexts, digest, load_texts, save_texts
from experiments.training_loop import Batch
from tracker.errors import DataError
from tracker.records import DataCard, Settings
from tracker.training.meter import bytes_below
from tracker.training.run import Run

PREPARATION_VERSION = 1
"""Raise it whenever the vocabulary, or how texts are cut, changes."""

PREPARATION_KNOBS = ("deduplicate", "vocabulary_size")

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BEGIN]", "[END]")
"""By their number: PADDING, UNKNOWN, BEGIN, END."""
BEGIN, END = SPECIAL_TOKENS.index("[BEGIN]"), SPECIAL_TOKENS.index("[END]")
NEVER_WRITTEN = (PADDING, UNKNOWN, BEGIN)

SPACE = "▁"
"""What stands for a blank in the vocabulary's tokens."""

TARGET_BAND = 6  # of 4, 6 and 8 tokens the one with the least padding in batches of 64 signatures: 14 %


@dataclass(frozen=True, slots=True)
class PairCard:
    """A prepared folder's ``pairs.json``."""

    name: str
    fingerprint: str
    vocabulary_size: int
    rows: Mapping[str, int]
    description: str

    def data_card(self, folder: Path) -> DataCard:
        """The card that the tracker records; a text has no class."""
        return DataCard(self.name, self.fingerprint, self.rows, 0, self.description, bytes_below(folder))


@dataclass(frozen=True, slots=True)
class TokenPairs:
    """The pairs of one split, on one device; ``texts`` are the targets as their source has them."""

    source: TokenizedTexts
    target: TokenizedTexts
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.source)

    def widths(self, rows: Tensor) -> tuple[int, int]:
        """The most source tokens and the most target tokens, BEGIN among them, of these rows."""
        return int(self.source.host_lengths[rows].max()), int(self.target.host_lengths[rows].max())

    def batch(self, rows: Tensor) -> Batch:
        """Source tokens (len(rows), longest source) and target tokens (len(rows), longest target) of these rows."""
        here = rows.to(self.source.tokens.device, non_blocking=True)
        source_width, target_width = self.widths(rows)
        return self.source.padded(here, source_width)[0], self.target.padded(here, target_width)[0]

    @property
    def target_tokens(self) -> int:
        """The tokens to predict: those of all targets after their BEGIN."""
        return int(self.target.host_lengths.sum()) - len(self)

    @property
    def order(self) -> Tensor:
        """A number for each pair, on the CPU: where two are near each other, both of their texts are of similar length.

        Targets of similar length make a band, and in it pairs stand by the length of their sources, which rises in one
        band and falls in the next: so also a batch that reaches over two bands has little padding.
        """
        band, source = self.target.host_lengths // TARGET_BAND, self.source.host_lengths
        return band * (2 * MAX_TOKENS) + torch.where(band % 2 == 0, source, MAX_TOKENS - source)

    def shuffled(self, batch_size: int, seed: int, *, by_length: bool) -> list[Tensor]:
        """The rows of each batch of one epoch, in random order, those of similar length together if ``by_length``."""
        generator = torch.Generator().manual_seed(seed)
        if by_length:
            return [plan.rows for plan in shuffled_batches(self.order, batch_size, generator)]
        return list(torch.split(torch.randperm(len(self), generator=generator), batch_size))

    def sorted(self, batch_size: int) -> list[Tensor]:
        """The rows of each batch, by length: for evaluation, where order does not matter."""
        return [plan.rows for plan in sorted_batches(self.order, batch_size)]

    def padding_share(self, plans: Iterable[Tensor]) -> float:
        """The share of padding among the tokens of batches of these rows."""
        of_batches, real = 0, 0
        for rows in plans:
            of_batches += len(rows) * sum(self.widths(rows))
            real += int(self.source.host_lengths[rows].sum() + self.target.host_lengths[rows].sum())
        return 1 - real / of_batches


def prepare_pairs(data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of the token arrays for these settings, made from the source as it is now. Raises DataError."""
    corpus = lazy.call("experiments.data.text_pairs:load_corpus", data, cache, progress)
    folder = _folder(cache, corpus.fingerprint, settings)
    if not folder.is_dir():
        lazy.call("experiments.data.text_pairs:write_pairs", corpus, settings, folder, progress)
    return folder


def prepared_pairs(run: Run) -> Path:
    """The same folder for a run, without looking at the source again where it was prepared for its settings before.

    Where a study searches one of PREPARATION_KNOBS, the first trial with a value prepares it, and pays for that.
    Raises DataError where the source is no longer what the study started with.
    """
    folder = _folder(run.cache, run.data_card.fingerprint, run.settings)
    if not folder.is_dir() and prepare_pairs(run.data, run.settings, run.cache, print) != folder:
        began = run.data_card.fingerprint
        raise DataError(f"the data are no longer those that the study started with, of fingerprint {began}")
    return folder


def save_pairs(
    folder: Path, split: str, sources: Iterable[list[int]], targets: Iterable[list[int]], texts: Sequence[str]
) -> None:
    """Write a split; ``targets`` are without BEGIN and END."""
    nothing = np.zeros(len(texts), dtype=np.int64)  # token arrays carry a class each; these have none
    save_texts(folder, f"{split}-source", list(sources), nothing)
    # What is cut has no END: no target is taught to end where it was only cut.
    save_texts(folder, f"{split}-target", [[BEGIN, *tokens, END] for tokens in targets], nothing)
    (folder / f"{split}-targets.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")


def load_pairs(folder: Path, split: str, device: torch.device, settings: Settings, first: int = 0) -> TokenPairs:
    """The first ``first`` pairs of a split (0 for all), cut to the settings' lengths.

    A target is at most ``target_length`` tokens after its BEGIN, END among them.
    """
    source = load_texts(folder, f"{split}-source", device, int(settings["source_length"]), first)
    target = load_texts(folder, f"{split}-target", device, int(settings["target_length"]) + 1, first)
    texts = json.loads((folder / f"{split}-targets.json").read_text(encoding="utf-8"))
    return TokenPairs(source, target, texts[: len(source)])


def save_pair_card(folder: Path, card: PairCard) -> None:
    """Write ``pairs.json``."""
    (folder / "pairs.json").write_text(json.dumps(asdict(card), indent=2))


def load_pair_card(folder: Path) -> PairCard:
    """Read ``pairs.json``."""
    return PairCard(**json.loads((folder / "pairs.json").read_text()))


def load_vocabulary(folder: Path) -> list[str]:
    """The tokens by their number, from ``tokenizer.json``."""
    numbers = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return sorted(numbers, key=numbers.__getitem__)


def written(tokens: Sequence[int], vocabulary: Sequence[str]) -> str:
    """The text of some tokens, up to the first END; the other special tokens are no text."""
    ended = tokens[: tokens.index(END)] if END in tokens else tokens
    return "".join(vocabulary[each] for each in ended if each > END).replace(SPACE, " ").strip()


def _folder(cache: Path, fingerprint: str, settings: Settings) -> Path:
    relevant = {name: settings[name] for name in PREPARATION_KNOBS}
    return cache / f"pairs-{digest({'version': PREPARATION_VERSION, 'pairs': fingerprint, **relevant})}"
