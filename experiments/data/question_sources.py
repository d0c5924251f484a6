"""Where questions with texts come from, and from them to token arrays and spans.

Imported only where there is something to prepare, or texts to be cut (see experiments.lazy).
"""

from __future__ import annotations

import bisect
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from experiments.data.corpus import SPLITS, split_for_share, stable_hash
from experiments.data.files import whole_folder
from experiments.data.left_out import say_left_out
from experiments.data.pair_arrays import PairCard, save_pair_card
from experiments.data.question_templates import load_templates
from experiments.data.questions import TEMPLATES
from experiments.data.span_arrays import NO_SPAN, SplitSpans, save_spans
from experiments.data.squad_file import Question, read_squad
from experiments.data.text_pairs import learn_vocabulary
from tracker.errors import DataError
from tracker.records import Settings

RULE_VERSION = 1
"""Raise it whenever the result for the same file changes."""

Notify = Callable[[str], None]
Splits = Mapping[str, Sequence[Question]]


@dataclass(frozen=True, slots=True)
class QuestionSource:
    """Questions in splits, in an order that depends on them alone and looks shuffled."""

    name: str
    fingerprint: str
    splits: Splits
    description: str


def question_source(options: Mapping[str, Any], cache: Path, progress: Notify) -> QuestionSource:
    """The source that these options name. Raises DataError."""
    if options["source"] == TEMPLATES:
        return _templates(str(options["distribution"]), int(options["files_per_package"]), cache, progress)
    return _squad(Path(options["source"]).expanduser(), progress, skip=options["corrupt"] == "skip")


def write_questions(source: QuestionSource, settings: Settings, folder: Path, progress: Notify) -> None:
    """Fill ``folder``: a vocabulary of the training texts and questions, and each split cut into tokens."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # it would turn itself off, and say so, in a forked process
    train = source.splits["train"]
    progress(f"learning a vocabulary from {len(train):,} training questions")
    learnt = [*dict.fromkeys(each.text for each in train), *(each.question for each in train)]
    tokenizer = learn_vocabulary(learnt, int(settings["vocabulary_size"]))
    with whole_folder(folder) as unfinished:
        for split, questions in source.splits.items():
            progress(f"cutting {len(questions):,} {split} questions into tokens")
            save_spans(unfinished, split, _cut(questions, tokenizer))
        tokenizer.save(str(unfinished / "tokenizer.json"))
        rows = {split: len(questions) for split, questions in source.splits.items()}
        size = tokenizer.get_vocab_size()
        save_pair_card(unfinished, PairCard(source.name, source.fingerprint, size, rows, source.description))


def cutter(tokenizer_file: Path) -> Callable[[Sequence[tuple[str, str]]], SplitSpans]:
    """What cuts (question, text) from outside as they were cut for the training."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    return lambda asked: _cut([Question(text, question, ()) for question, text in asked], tokenizer)


def _cut(questions: Sequence[Question], tokenizer: Tokenizer) -> SplitSpans:
    texts = list(dict.fromkeys(each.text for each in questions))
    encoded = tokenizer.encode_batch(texts)
    index = {text: position for position, text in enumerate(texts)}
    of_question = [index[each.text] for each in questions]
    return SplitSpans(
        questions=[each.ids for each in tokenizer.encode_batch_fast([each.question for each in questions])],
        texts=[each.ids for each in encoded],
        offsets=[each.offsets for each in encoded],
        text_of_question=of_question,
        spans=[_span(encoded[place], each) for place, each in zip(of_question, questions, strict=True)],
        written=texts,
        asked=[each.question for each in questions],
        answers=[list(dict.fromkeys(answer for answer, _ in each.answers)) for each in questions],
    )


def _span(text: Encoding, question: Question) -> tuple[int, int]:
    """The first and the last token that the first answer has a part of."""
    if not question.answers:
        return NO_SPAN
    answer, start = question.answers[0]
    first = bisect.bisect_right(text.offsets, start, key=lambda each: each[1])
    last = bisect.bisect_left(text.offsets, start + len(answer), key=lambda each: each[0]) - 1
    return (first, last) if first <= last else NO_SPAN


def _templates(distribution: str, files_per_package: int, cache: Path, progress: Notify) -> QuestionSource:
    rows, fingerprint = load_templates(cache, progress, distribution, files_per_package)
    asked: dict[tuple[str, str], tuple[str, Question]] = {}
    for wanted in SPLITS:  # copies of a function are in several files: training comes first
        for text, question, answer, start, split in rows:
            if split == wanted:
                asked.setdefault((text, question), (split, Question(text, question, ((answer, start),))))
    return QuestionSource(
        TEMPLATES,
        fingerprint,
        _gathered(asked.values(), TEMPLATES),
        f"questions that TEMPLATES make of functions that {distribution} installs, "
        "from their signatures and docstrings",
    )


def _squad(path: Path, progress: Notify, *, skip: bool) -> QuestionSource:
    files = {split: path / f"{split}.json" for split in SPLITS} if path.is_dir() else {"": path}
    if missing := [file for file in files.values() if not file.is_file()]:
        raise DataError(
            f"data source '{path}' lacks {missing[0].name}; a folder has {', '.join(f'{each}.json' for each in SPLITS)}"
            if path.is_dir()
            else f"data source '{path}' is neither '{TEMPLATES}' nor a file or folder (looked for {path.resolve()})"
        )
    found, unusable = list[tuple[str, Question]](), list[str]()
    fingerprint = hashlib.sha256(f"rule {RULE_VERSION}, {skip}\n".encode())
    for split, file in files.items():
        fingerprint.update(f"{split}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
        for article, row in read_squad(file):
            if isinstance(row, Question):
                found.append((split or split_for_share(stable_hash(article) / 2**64), row))
            elif skip:
                unusable.append(row.reason)
            else:
                raise DataError(f"{row.reason}; corrupt = 'skip' leaves such questions out")
    say_left_out(unusable, progress)
    without = sum(not each.answers for _, each in found)
    remarks = [f"{path.name}: {len(found):,} questions in SQuAD's form"]
    remarks += [f"{without:,} of them without an answer"] if without else []
    remarks += [f"{len(unusable):,} that cannot be used left out"] if unusable else []
    return QuestionSource(
        path.resolve().stem, fingerprint.hexdigest()[:16], _gathered(found, str(path)), "; ".join(remarks)
    )


def _gathered(found: Iterable[tuple[str, Question]], name: str) -> Splits:
    shuffled = sorted(found, key=lambda each: stable_hash(f"{each[1].question}\n{each[1].text}"))
    splits = {split: [question for of, question in shuffled if of == split] for split in SPLITS}
    counts = {split: len(of) for split, of in splits.items()}
    for split, of in splits.items():
        if not any(each.answers for each in of):
            raise DataError(
                f"{name}: the {split} split has no question with an answer ({counts}); each split needs one"
            )
    return splits
