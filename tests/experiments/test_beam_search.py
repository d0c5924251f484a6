from __future__ import annotations

import itertools
import math

import pytest
import torch

from experiments.beam_search import beam_search
from experiments.data.pair_arrays import BEGIN, END, NEVER_WRITTEN
from experiments.data.token_arrays import PADDING
from experiments.workloads.translator import Shape, Translator, translate

torch.set_num_threads(1)

CPU = torch.device("cpu")
VOCABULARY, LONGEST = 7, 4
WRITTEN = [token for token in range(VOCABULARY) if token not in NEVER_WRITTEN]
EVERY_TEXT = [
    text
    for length in range(1, LONGEST + 1)
    for text in itertools.product(WRITTEN, repeat=length)
    if END not in text[:-1] and (END in text or length == LONGEST)
]

SHAPE = Shape(VOCABULARY, source_length=8, target_length=LONGEST, width=16, heads=2, depth=2, dropout=0.0)


@pytest.fixture(scope="module")
def model():
    """A model whose next token depends much on the source and the tokens before: its decoder has large weights."""
    torch.manual_seed(3)
    model = Translator(SHAPE).eval()
    with torch.no_grad():
        for weight in model.decoder.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
    return model


def best_by_exhaustion(model, source, length_penalty):
    """The text of EVERY_TEXT with the best score, by the model's forward pass of all of them at once."""
    texts = [torch.tensor([BEGIN, *text]) for text in EVERY_TEXT]
    target = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=PADDING)
    with torch.no_grad():
        likely = model(torch.tensor([source]).expand(len(texts), -1), target[:, :-1]).log_softmax(dim=2)
    right = target[:, 1:]
    sums = (likely.gather(2, right.unsqueeze(2)).squeeze(2) * (right != PADDING)).sum(dim=1)
    return EVERY_TEXT[(sums / (right != PADDING).sum(dim=1) ** length_penalty).argmax()]


def found(model, sources, beam_width, length_penalty=1.0):
    rows = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, sources)), batch_first=True, padding_value=PADDING)
    with torch.no_grad():
        tokens = translate(model, rows, beam_width=beam_width, length_penalty=length_penalty).tolist()
    return [tuple(token for token in row if token != PADDING) for row in tokens]


SOURCES = [[4], [5, 6], [5, 5, 5, 4, 5], [6, 6], [6, 5, 4], [5], [1, 4, 6, 4], [4, 5]]


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.0, 2.0])
def test_a_beam_as_wide_as_all_texts_finds_the_best_of_them(model, length_penalty):
    expected = [best_by_exhaustion(model, source, length_penalty) for source in SOURCES]
    assert found(model, SOURCES, len(EVERY_TEXT), length_penalty) == expected
    assert len(set(expected)) > 1, "the sources matter"


def test_a_wider_beam_finds_what_a_greedy_search_misses():
    # The likelier first token leads to unlikely texts only.
    after = {(): {4: 0.6, 5: 0.4}, (4,): {END: 0.3, 4: 0.3, 5: 0.4}, (5,): {END: 0.9, 4: 0.05, 5: 0.05}}
    even = {END: 1 / 3, 4: 1 / 3, 5: 1 / 3}
    tables = {prefix: after.get(prefix, even) for n in range(LONGEST) for prefix in itertools.product((4, 5), repeat=n)}
    assert search_tables(tables, beam_width=1).tokens.tolist()[0][0] == 4
    wide = search_tables(tables, beam_width=2)
    assert wide.tokens.tolist() == [[5, END, PADDING]], "the other hypothesis ended a step later"
    assert wide.scores.item() == pytest.approx(math.log(0.4 * 0.9) / 2)


def test_the_length_penalty_decides_between_a_short_and_a_long_text():
    # END at once has probability 0.5; "4 5 4 END" has 0.5 × 0.9 × 0.9 × 0.9 = 0.36.
    sure = {4: 0.05, 5: 0.05, END: 0.05}
    tables = {(): {END: 0.5, 4: 0.5}, (4,): {**sure, 5: 0.9}, (4, 5): {**sure, 4: 0.9}, (4, 5, 4): {**sure, END: 0.9}}
    short = search_tables(tables, beam_width=3, length_penalty=0.0)
    assert short.tokens.tolist()[0][0] == END
    assert short.scores.item() == pytest.approx(math.log(0.5))
    long = search_tables(tables, beam_width=3, length_penalty=1.0)
    assert long.tokens.tolist() == [[4, 5, 4, END]]
    assert long.scores.item() == pytest.approx(math.log(0.5 * 0.9**3) / 4)


def search_tables(tables, **options):
    """Search with the probabilities of the next token after each beginning of a text."""
    texts = [()]

    def step(last, parents):
        nonlocal texts
        pairs = zip(parents.tolist(), last.tolist(), strict=True)
        texts = [(*texts[parent], token) if token != BEGIN else () for parent, token in pairs]
        likely = torch.full((len(texts), VOCABULARY), -math.inf)
        for row, text in enumerate(texts):
            for token, probability in tables.get(text, {END: 1.0}).items():
                likely[row, token] = math.log(probability)
        return likely

    texts = [()] * options["beam_width"]
    return beam_search(
        step, 1, CPU, max_length=LONGEST, begin=BEGIN, end=END, padding=PADDING, never=NEVER_WRITTEN, **options
    )


def test_a_beam_of_one_is_greedy_search(model):
    for source in SOURCES:
        text = []
        while len(text) < LONGEST and END not in text:
            with torch.no_grad():
                logits = model(torch.tensor([source]), torch.tensor([[BEGIN, *text]]))[0, -1]
            logits[list(NEVER_WRITTEN)] = -math.inf
            text.append(logits.argmax().item())
        assert found(model, [source], 1) == [tuple(text)]


@pytest.mark.parametrize("beam_width", [1, 3])
def test_texts_searched_together_are_those_searched_alone(model, beam_width):
    together = found(model, SOURCES, beam_width)
    assert together == [found(model, [source], beam_width)[0] for source in SOURCES]


def test_neither_padding_nor_unknown_nor_begin_is_written_and_nothing_follows_the_end():
    even = dict.fromkeys(range(VOCABULARY), 1 / VOCABULARY)
    tables = {prefix: even for n in range(LONGEST) for prefix in itertools.product((4, 5), repeat=n)}
    for beam_width in (1, 3, 20):
        text = [token for token in search_tables(tables, beam_width=beam_width).tokens.tolist()[0] if token != PADDING]
        assert set(text) <= set(WRITTEN)
        assert END not in text[:-1]


def test_a_text_that_does_not_end_is_cut_at_the_maximal_length():
    endless = {prefix: {4: 1.0} for n in range(LONGEST) for prefix in itertools.product((4,), repeat=n)}
    result = search_tables(endless, beam_width=2)
    assert result.tokens.tolist() == [[4] * LONGEST]
    assert result.scores.item() == 0.0
