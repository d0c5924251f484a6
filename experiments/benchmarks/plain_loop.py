"""The text classifier trained as PyTorch's tutorials do it: the baseline for experiments.training_loop.

The same model, the same batches in the same order, the same optimiser, schedule, clipping and evaluations, without
the tracker: a Dataset of texts, a DataLoader that pads them, torch.optim.AdamW with a LambdaLR.
Source: https://pytorch.org/tutorials/beginner/basics/optimization_tutorial.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from experiments.data.batches import WIDTH_MULTIPLE, BatchPlan, shuffled_batches, sorted_batches
from experiments.data.prepared import prepared_tokens
from experiments.data.token_arrays import PADDING, TokenizedTexts, load_card, load_texts
from experiments.workloads.text_classifier import EVALUATION_BATCH, Classifier, Shape, seeded
from tracker.training.run import Run

Sample = tuple[Tensor, Tensor]


class TextDataset(Dataset[Sample]):
    """One text and its class at a time."""

    def __init__(self, texts: TokenizedTexts) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        start, length = int(self.texts.starts[index]), int(self.texts.lengths[index])
        return self.texts.tokens[start : start + length], self.texts.labels[index]


def train_plainly(run: Run) -> float:
    """Train with ``run.settings``, reporting nothing; the test accuracy."""
    settings, folder = run.settings, prepared_tokens(run)
    corpus = load_card(folder)
    shape = Shape.of(settings, corpus.vocabulary_size, len(corpus.classes))
    torch.manual_seed(run.seed)
    train = load_texts(folder, "train", run.device, shape.max_length)
    validation = load_texts(folder, "validation", run.device, shape.max_length, int(settings["validation_documents"]))
    test = load_texts(folder, "test", run.device, shape.max_length)
    model = Classifier(shape).to(run.device)
    rate, decay = float(settings["learning_rate"]), float(settings["weight_decay"])
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    kept = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": decay}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    epochs, batch_size = int(settings["epochs"]), int(settings["batch_size"])
    plans = [
        shuffled_batches(train.host_lengths, batch_size, seeded(run.seed + epoch)) for epoch in range(1, epochs + 1)
    ]
    warmup, total = float(settings["warmup_fraction"]), epochs * len(plans[0])

    def factor(step: int) -> float:
        progress = step / total
        if progress < warmup:
            return progress / warmup
        return (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    criterion = nn.CrossEntropyLoss()
    for plan in plans:
        model.train()
        running_loss = 0.0
        for tokens, labels in _loader(train, plan):
            optimizer.zero_grad()
            with run.precision.autocast(run.device):
                loss = criterion(model(tokens), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), float(settings["gradient_clip"]))
            optimizer.step()
            schedule.step()
            running_loss += loss.item()
        _accuracy(run, model, _loader(validation, sorted_batches(validation.host_lengths, EVALUATION_BATCH)))
    return _accuracy(run, model, _loader(test, sorted_batches(test.host_lengths, EVALUATION_BATCH)))


def _loader(texts: TokenizedTexts, plan: Sequence[BatchPlan]) -> DataLoader[Sample]:
    return DataLoader(TextDataset(texts), batch_sampler=[each.rows.tolist() for each in plan], collate_fn=_pad)


def _pad(samples: list[Sample]) -> Sample:
    tokens, labels = zip(*samples, strict=True)
    padded = pad_sequence(list(tokens), batch_first=True, padding_value=PADDING)
    # To the same widths as in the project's batches: bfloat16 products of odd widths are far slower.
    padded = nn.functional.pad(padded, (0, -padded.shape[1] % WIDTH_MULTIPLE), value=PADDING)
    return padded, torch.stack(labels)


@torch.no_grad()
def _accuracy(run: Run, model: nn.Module, batches: Iterable[Sample]) -> float:
    model.eval()
    loss_sum, correct, count = 0.0, 0, 0
    for tokens, labels in batches:
        with run.precision.autocast(run.device):
            logits = model(tokens)
        loss_sum += nn.functional.cross_entropy(logits.float(), labels, reduction="sum").item()
        correct += int((logits.argmax(dim=1) == labels).sum())
        count += len(labels)
    return correct / count
