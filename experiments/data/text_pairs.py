"""Pairs of texts and where they come from; from them to token arrays, with one vocabulary for both sides.

Imported only where there is something to prepare (see experiments.lazy).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from experiments import lazy
from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from experiments.data.files import whole_folder
from experiments.data.function_rows import DISTRIBUTION, FILES_PER_PACKAGE, plain
from experiments.data.pair_arrays import SPACE, SPECIAL_TOKENS, PairCard, save_pair_card, save_pairs
from experiments.data.signatures import load_signatures
from experiments.data.table_file import TextTable, file_fingerprint, left_out, read_table
from experiments.data.table_reading import FILE_OPTIONS, ROW_OPTIONS, Reading
from tracker.errors import DataError
from tracker.records import Settings
from tracker.training.workload import PredictionTexts

RULE_VERSION = 2
"""Raise it whenever the result for the same file changes."""

SIGNATURES = "signatures"
HUB = "datasets:"
COLUMN_OPTIONS = ("source_column", "target_column", "split_column", *FILE_OPTIONS, *ROW_OPTIONS)
SIGNATURE_OPTIONS = ("distribution", "files_per_package")

WORD = (
    rf"{SPACE}?(?:\p{{Lu}}?[\p{{Ll}}\p{{M}}]+|\p{{Lu}}+(?![\p{{Ll}}\p{{M}}])|[\p{{L}}\p{{M}}]+|\p{{N}}+)"
    rf"|{SPACE}?[^\p{{L}}\p{{M}}\p{{N}}{SPACE}_]+|{SPACE}?_+|{SPACE}"
)
"""A word: letters up to the next capital ("get" and "HTTP" and "Server" in getHTTPServer), digits, or other signs."""

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PairCorpus:
    """Pairs of a source and a target text.

    Attributes:
        name: what a person calls it.
        fingerprint: changes whenever a text or a split may have changed.
        splits: the pairs of each of SPLITS, in an order that depends on the texts alone and looks shuffled, so that
            the first n are a fair sample that is the same in every process.
        description: where the texts come from, in a sentence.
    """

    name: str
    fingerprint: str
    splits: Mapping[str, Sequence[Pair]]
    description: str

    def without_duplicates(self) -> PairCorpus:
        """This corpus with every pair once, and no source of the training split in another one."""
        train = dict.fromkeys(self.splits["train"])
        learnt, seen = {source for source, _ in train}, set(train)
        kept = {"train": list(train)}
        for split in SPLITS[1:]:
            kept[split] = [
                pair for pair in dict.fromkeys(self.splits[split]) if pair not in seen and pair[0] not in learnt
            ]
            seen.update(kept[split])
        return replace(self, splits=kept)

    def cut(self, settings: Settings) -> PairCorpus:
        """What these settings leave of it. Raises DataError where a split is empty."""
        left = self.without_duplicates() if settings["deduplicate"] else self
        for split in SPLITS:
            if not left.splits[split]:
                rows = {name: len(pairs) for name, pairs in left.splits.items()}
                raise DataError(f"{self.name}: the {split} split is empty ({rows}); each split needs a pair")
        return left


def load_corpus(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> PairCorpus:
    """The corpus that a study's ``[data]`` table names.

    Raises DataError for: an option that its source does not have, no such distribution, file, data set or column, a
    file that cannot be read, an empty text, an unknown split.
    """
    source = str(data.get("source", SIGNATURES))
    foreign = COLUMN_OPTIONS if source == SIGNATURES else SIGNATURE_OPTIONS
    if source.startswith(HUB):
        foreign = (*foreign, "split_column")
    if given := [name for name in foreign if name in data]:
        allowed = sorted({*COLUMN_OPTIONS, *SIGNATURE_OPTIONS} - set(foreign))
        raise DataError(f"data option {given[0]} is not for source '{source}'; allowed with it: {', '.join(allowed)}")
    if source == SIGNATURES:
        return _signatures(data, cache, progress)
    columns = [str(data.get("source_column", "source")), str(data.get("target_column", "target"))]
    if source.startswith(HUB):
        return _of_hub(data, source, columns, cache, progress)
    return _of_file(data, Path(source), columns, progress)


def prediction_texts(data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> PredictionTexts:
    """The first ``limit`` pairs of the test split, whole. Raises DataError."""
    corpus = load_corpus(data, cache, lambda _: None)
    sources, targets = zip(*corpus.cut(settings).splits["test"][:limit], strict=True)
    return PredictionTexts(sources, targets, "test", corpus.fingerprint)


def learn_vocabulary(texts: Iterable[str], size: int) -> Tokenizer:
    """A byte-pair vocabulary (Sennrich et al. 2016, arXiv:1508.07909) of at most ``size`` tokens.

    A blank is part of the word after it, as SPACE, so that tokens joined together are the text again. The commonest
    characters have a token each, half of ``size`` at most; others are unknown.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(SPACE), pre_tokenizers.Split(Regex(WORD), "isolated")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL_TOKENS), limit_alphabet=size // 2, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_of(path: Path) -> Callable[[Sequence[str]], list[list[int]]]:
    """What cuts source texts into tokens as they were cut for the training."""
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: [each.ids for each in tokenizer.encode_batch_fast([plain(text) for text in texts])]


def write_pairs(corpus: PairCorpus, settings: Settings, folder: Path, progress: Callable[[str], None]) -> None:
    """Fill ``folder`` with the token arrays of ``corpus``. Raises DataError where a split is empty."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # it would turn itself off, and say so, in a forked process
    splits = corpus.cut(settings).splits
    progress(f"learning a vocabulary from {len(splits['train']):,} training pairs")
    tokenizer = learn_vocabulary((text for pair in splits["train"] for text in pair), int(settings["vocabulary_size"]))
    with whole_folder(folder) as unfinished:
        for split, pairs in splits.items():
            progress(f"cutting {len(pairs):,} {split} pairs into tokens")
            sources, targets = ([pair[side] for pair in pairs] for side in (0, 1))
            tokens = ([each.ids for each in tokenizer.encode_batch_fast(texts)] for texts in (sources, targets))
            save_pairs(unfinished, split, *tokens, targets)
        tokenizer.save(str(unfinished / "tokenizer.json"))
        rows = {split: len(pairs) for split, pairs in splits.items()}
        size = tokenizer.get_vocab_size()
        save_pair_card(unfinished, PairCard(corpus.name, corpus.fingerprint, size, rows, corpus.description))


def _signatures(data: Mapping[str, Any], cache: Path, progress: Callable[[str], None]) -> PairCorpus:
    count = data.get("files_per_package", FILES_PER_PACKAGE)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise DataError(f"data option files_per_package is {count!r}; allowed: a whole number of at least 0")
    distribution = str(data.get("distribution", DISTRIBUTION))
    rows, fingerprint = load_signatures(cache, progress, distribution=distribution, files_per_package=count)
    description = f"signatures of functions that {distribution} installs to the first lines of their docstrings"
    return PairCorpus(SIGNATURES, fingerprint, _gather(rows), description)


def _of_file(data: Mapping[str, Any], path: Path, columns: list[str], progress: Callable[[str], None]) -> PairCorpus:
    """Rows are split by ``split_column``; without one, by a hash of the source, so that equal ones stay together."""
    split_column = str(data.get("split_column", ""))
    reading = Reading.of_texts(data, (*columns, split_column))
    table = read_table(path, reading, SIGNATURES)
    pairs = _pairs(table, columns)
    splits = (
        table.splits(split_column) if split_column else [split_for_share(stable_hash(of) / 2**64) for of, _ in pairs]
    )
    identity = f"rule {RULE_VERSION}, columns {[*columns, split_column]}, {reading.summary}\n"
    fingerprint = file_fingerprint(path, identity)
    rows = table.good((*pair, split) for pair, split in zip(pairs, splits, strict=True))
    remarks = [*table.remarks, *left_out([table], progress)]
    return PairCorpus(path.stem, fingerprint, _gather(rows), _described(path.name, columns, len(rows), remarks))


def _of_hub(
    data: Mapping[str, Any], source: str, columns: list[str], cache: Path, progress: Callable[[str], None]
) -> PairCorpus:
    tables: Mapping[str, TextTable]
    tables, content = lazy.call(
        "experiments.data.hub_tables:hub_tables", source, cache, Reading.of_texts(data, columns)
    )
    rows = [(*pair, split) for split, table in tables.items() for pair in table.good(_pairs(table, columns))]
    identity = f"rule {RULE_VERSION}, columns {columns}, {content}"
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()[:16]
    remarks = [*dict.fromkeys(remark for table in tables.values() for remark in table.remarks)]
    remarks += left_out(tables.values(), progress)
    name = source.removeprefix(HUB)
    return PairCorpus(name, fingerprint, _gather(rows), _described(name, columns, len(rows), remarks))


def _pairs(table: TextTable, columns: list[str]) -> list[Pair]:
    sources, targets = ([plain(text) for text in table.filled(column)] for column in columns)
    return list(zip(sources, targets, strict=True))


def _described(name: str, columns: list[str], count: int, remarks: Iterable[str]) -> str:
    return "; ".join([f"{name}: '{columns[0]}' to '{columns[1]}', {count:,} pairs", *remarks])


def _gather(rows: Iterable[tuple[str, str, str]]) -> dict[str, list[Pair]]:
    """The pairs of each split, from rows of (source, target, split)."""
    shuffled = sorted(rows, key=lambda row: stable_hash("\n".join(row[:2])))
    return {split: [(source, target) for source, target, of in shuffled if of == split] for split in SPLITS}
