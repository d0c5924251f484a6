"""What is in an image, and where? A small detector without anchors: one convolutional network, one stage.

Reads from top to bottom: the shape, the model, the workload, its targets and its boxes. It finds objects as peaks of a
map of each class, as CenterNet does (Zhou et al. 2019, arXiv:1904.07850), and at each place predicts how far the box's
four edges are away, as FCOS does (Tian et al. 2019, arXiv:1904.01355). Images and boxes come from experiments.data, and
the loop over epochs is experiments.training_loop.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from experiments import lazy
from experiments.data.array_data import load_array_card
from experiments.data.scenes import NO_OBJECT, Scenes, load_scenes, prepare_scenes, prepared_scenes, with_boxes
from experiments.inference import with_weights
from experiments.training_loop import LOOP_KNOBS, Batch, fit
from tracker.records import DataCard, Direction, Settings
from tracker.study.knobs import Knob
from tracker.training.run import Run
from tracker.training.workload import Predictor

CHANNELS_PER_SIZE = 16
STRIDE = 4
"""Pixels from one place of the maps to the next."""
SPREAD = 0.09
"""The deviation of an object's peak in the maps, as a share of its width and height: TTFNet's 0.54 / 6 (Liu et al.
2019, arXiv:1909.00700, section 4.1)."""
BOX_WEIGHT = 2.0
MOST_FOUND = 100
LEAST_SCORE = 0.02
"""Detections of a lower score are left out of the evaluation: they hardly move an average precision."""
EVALUATION_BATCH = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that make a model."""

    classes: int
    channels: int
    side: int
    width: int
    depth: int

    @classmethod
    def of(cls, settings: Settings, classes: int, channels: int) -> Shape:
        """The shape that the settings ask for: ``size`` gives 16 × size channels and size / 2 blocks, up."""
        size, side = int(settings["size"]), int(settings["image_side"])
        return cls(classes, channels, side, CHANNELS_PER_SIZE * size, math.ceil(size / 2))


def convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    """A convolution with group normalisation (Wu and He 2018, arXiv:1803.08494)."""
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, padding=1, bias=False), nn.GroupNorm(4, out), nn.ReLU())


class Block(nn.Module):
    """Two convolutions beside the identity (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(convolution(channels, channels), convolution(channels, channels))

    def forward(self, states: Tensor) -> Tensor:
        """States of the same shape."""
        changed: Tensor = self.convolutions(states)
        return states + changed


class Detector(nn.Module):
    """Images (b, channels, side, side), from 0 to 255, to maps of classes and of edges at every place.

    Coarse states, at twice and four times the stride, see far; they are enlarged and added to finer ones, as in a
    feature pyramid (Lin et al. 2017, arXiv:1612.03144), of which the finest level alone is used.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, width = shape, shape.width
        self.stem = nn.Sequential(convolution(shape.channels, width, 2), convolution(width, width, 2))
        self.down = nn.ModuleList(convolution(width, width, 2) for _ in range(2))
        self.blocks = nn.ModuleList(
            nn.Sequential(*(Block(width) for _ in range(shape.depth))) for _ in range(len(self.down) + 1)
        )
        self.neck = convolution(width, width)
        self.classes = nn.Conv2d(width, shape.classes, 1)
        self.edges = nn.Conv2d(width, 4, 1)
        assert self.classes.bias is not None
        nn.init.constant_(self.classes.bias, -4.0)  # nothing anywhere, as the focal loss needs at its start

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (b, classes, h, w), and the distances of left, top, right and bottom edge (b, 4, h, w) in pixels."""
        levels = [self.blocks[0](self.stem(images.to(self.edges.weight.dtype) / 127.5 - 1.0))]
        for down, blocks in zip(self.down, list(self.blocks)[1:], strict=True):
            levels.append(blocks(down(levels[-1])))
        states = levels.pop()
        while levels:
            finer = levels.pop()
            states = finer + F.interpolate(states, size=finer.shape[2:], mode="nearest")
        states = self.neck(states)
        return self.classes(states), F.softplus(self.edges(states)) * (2 * STRIDE)


class ObjectDetector:
    """The workload: finds objects in images. See tracker.training.workload.Workload."""

    knobs: Mapping[str, Knob] = {
        "size": Knob("int", 2, "the size of the model: channels and blocks follow from it", low=1, high=64),
        "image_side": Knob("int", 64, "the longer side of an image in pixels, which images are resized to", low=32),
        "train_share": Knob("float", 1.0, "share of the training images that are used", low=0.001, high=1.0),
        "validation_images": Knob("int", 300, "validation images to measure each epoch with; 0 for all", low=0),
        "test_images": Knob("int", 500, "test images to measure the trained model with; 0 for all", low=0),
        "score_threshold": Knob("float", 0.3, "the score that a served detection has at least", low=0.0, high=1.0),
        **LOOP_KNOBS,
    }
    metrics: Mapping[str, Direction] = {
        "mean_average_precision": Direction.MAXIMIZE,
        "average_precision_50": Direction.MAXIMIZE,
        "validation_loss": Direction.MINIMIZE,
        "training_loss": Direction.MINIMIZE,
    }
    data_options: Mapping[str, str] = {
        "source": "'synthetic', made on this machine; a json file in COCO's form; or a folder with train.json, "
        "validation.json and test.json",
        "images": "the folder of a json's images; by default that of the json",
        "channels": "'rgb' (the default) or 'grey', of a json's images",
        "corrupt": "what to do about an image, a box or a class that cannot be used: 'fail' (the default) or 'skip'",
        "scenes": "synthetic scenes; default 1500",
        "seed": "the seed of the synthetic scenes; default 0",
    }

    def prepare(
        self, data: Mapping[str, Any], settings: Settings, cache: Path, progress: Callable[[str], None]
    ) -> DataCard:
        """Make or read the images and fit them into squares. Raises DataError, also where pycocotools is missing."""
        lazy.call("experiments.detection_scores:needed")
        folder = prepare_scenes(data, settings, cache, progress)
        return load_array_card(folder).data_card(folder)

    def train(self, run: Run) -> None:
        """Train one detector; keeps its weights and its settings."""
        settings = run.settings
        torch.manual_seed(run.seed)
        folder = prepared_scenes(run)
        card, batch_size = load_array_card(folder), int(settings["batch_size"])
        shape = Shape.of(settings, len(card.classes), card.extra["channels"])
        train = with_boxes(load_scenes(folder, "train", run.device, float(settings["train_share"])), "training")
        validation = with_boxes(
            load_scenes(folder, "validation", run.device, first=int(settings["validation_images"])), "validation"
        )
        model = Detector(shape).to(run.device)
        if settings["compile"]:
            model.compile(dynamic=True)
        objects = float((train.labels != NO_OBJECT).sum(1).double().mean())

        def train_batches(epoch: int) -> Iterator[Batch]:
            order = torch.randperm(len(train), generator=torch.Generator().manual_seed(run.seed + epoch))
            return (train.take(rows.to(run.device, non_blocking=True)) for rows in torch.split(order, batch_size))

        run.ready()
        done = fit(
            run,
            model,
            steps_per_epoch=math.ceil(len(train) / batch_size),
            train_batches=train_batches,
            loss=lambda trained, batch: detection_loss(trained(batch[0]), *batch[1:]).sum() / (objects * len(batch[0])),
            evaluate=lambda trained: measure(run, trained, validation, objects).reported,
            keep=lambda trained, kept: save(run, trained, shape, card.classes, kept),
        )
        if run.rank:
            return
        with run.evaluating():
            test_split = load_scenes(folder, "test", run.device, first=int(settings["test_images"]))
            test = measure(run, done.model, test_split, objects)
        run.conclude(
            test_mean_average_precision=test.reported["mean_average_precision"],
            parameters=sum(each.numel() for each in model.parameters()),
            flops=done.samples * training_flops(shape),
            samples_per_second=done.samples / done.seconds,
            predictions_per_second=test.predictions_per_second,
        )

    def predictor(self, folder: Path, weights: str, device: torch.device) -> Predictor:
        """Images to what is in them, by the model that ``save`` kept in ``folder``.

        An image is rows of numbers from 0 to 255, or rows of colours, of any size; the answer to it is a list of
        objects with "class", "score" and "box", left, top, width and height in its pixels. Raises DataError.
        """
        saved = json.loads((folder / "settings.json").read_text())
        shape = Shape(**saved["shape"])
        model = Detector(shape)
        model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        network, least = with_weights(model, weights, device), float(saved["settings"]["score_threshold"])

        def predict(images: Sequence[Any]) -> list[list[dict[str, Any]]]:
            if not images:
                return []
            fitted, scales = lazy.call(
                "experiments.data.image_pixels:fitted_arrays", images, shape.channels, shape.side
            )
            with torch.inference_mode():
                found = detections(network(torch.from_numpy(fitted).to(device)), least)
            return [
                [
                    {"class": saved["classes"][int(row[5])], "score": row[4], "box": [each / scale for each in row[:4]]}
                    for row in of_image.tolist()
                ]
                for of_image, scale in zip(found, scales, strict=True)
            ]

        return predict

    def prediction_inputs(self, data: Mapping[str, Any], settings: Settings, cache: Path, limit: int) -> list[Any]:
        """Images of the test split, as ``predictor`` takes them. Raises DataError."""
        folder = prepare_scenes(data, settings, cache, lambda _: None)
        test = load_scenes(folder, "test", torch.device("cpu"), first=limit)
        images: list[Any] = test.inputs.permute(0, 2, 3, 1).tolist()
        return images

    @staticmethod
    def _sliding_window(run: Run) -> None:
        lazy.call("experiments.workloads.sliding_window:train", run)

    baselines: Mapping[str, Callable[[Run], None]] = {"sliding window, nearest neighbours": _sliding_window}


@dataclass(frozen=True, slots=True)
class Measured:
    """A detector on some images: what is reported of it beside the training loss, and images a second."""

    reported: Mapping[str, float]
    predictions_per_second: float


def places_of(maps: Tensor) -> Tensor:
    """Where the places of maps (…, h, w) are in the image, in pixels from its corner: (h × w, 2), x and y."""
    height, width = maps.shape[-2:]
    rows, columns = (torch.arange(each, device=maps.device) + 0.5 for each in (height, width))
    down, right = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([right, down], dim=-1).flatten(0, 1) * STRIDE


def peaks_of(boxes: Tensor, labels: Tensor, places: Tensor) -> Tensor:
    """How much each place is each object's middle: 1 where it is nearest to it, falling to 0 (b, objects, places)."""
    centres = boxes[..., :2] + boxes[..., 2:] / 2
    nearest = torch.cdist(centres, places.unsqueeze(0).expand(len(boxes), -1, -1)).argmin(dim=2)
    apart = (places - places[nearest].unsqueeze(2)) / (SPREAD * boxes[..., 2:]).clamp(min=1e-3).unsqueeze(2)
    peaks = (-apart.square().sum(3) / 2).exp()
    return peaks * (labels != NO_OBJECT).unsqueeze(2)


def detection_loss(maps: tuple[Tensor, Tensor], boxes: Tensor, labels: Tensor) -> Tensor:
    """The loss of each image (b,), summed over its objects: CenterNet's focal loss of classes and GIoU of boxes."""
    logits, edges = (each.float().flatten(2) for each in maps)
    places = places_of(maps[0])
    peaks = peaks_of(boxes, labels, places)
    of_class = F.one_hot(labels.clamp(min=0), logits.shape[1]).to(peaks.dtype)
    target = (peaks.unsqueeze(3) * of_class.unsqueeze(2)).amax(1).transpose(1, 2)  # (b, classes, places)
    found, missed = F.logsigmoid(logits), F.logsigmoid(-logits)
    likelihood = logits.sigmoid()
    right = target > 1 - 1e-4
    focal = torch.where(right, (1 - likelihood).square() * found, (1 - target).pow(4) * likelihood.square() * missed)
    most, owner = peaks.max(dim=1)
    weight = most * (most > 0.1)
    wanted = boxes.gather(1, owner.unsqueeze(2).expand(-1, -1, 4))
    wanted = torch.cat([wanted[..., :2], wanted[..., :2] + wanted[..., 2:]], dim=2)
    lost = 1 - generalised_overlap(corners_of(edges, places), wanted)
    return -focal.sum((1, 2)) + BOX_WEIGHT * (lost * weight).sum(1)


def corners_of(edges: Tensor, places: Tensor) -> Tensor:
    """Left, top, right and bottom (b, places, 4) in pixels, from their distances (b, 4, places)."""
    distances = edges.transpose(1, 2)
    return torch.cat([places - distances[..., :2], places + distances[..., 2:]], dim=2)


def generalised_overlap(one: Tensor, other: Tensor) -> Tensor:
    """GIoU of boxes by their corners (…, 4): from -1 to 1 (Rezatofighi et al. 2019, arXiv:1902.09630)."""
    shared = (torch.minimum(one, other)[..., 2:] - torch.maximum(one, other)[..., :2]).clamp(min=0).prod(-1)
    around = (torch.maximum(one, other)[..., 2:] - torch.minimum(one, other)[..., :2]).clamp(min=0).prod(-1)
    areas = [(each[..., 2:] - each[..., :2]).clamp(min=0).prod(-1) for each in (one, other)]
    union = (areas[0] + areas[1] - shared).clamp(min=1e-6)
    return shared / union - (around - union) / around.clamp(min=1e-6)


def detections(maps: tuple[Tensor, Tensor], least: float) -> list[Tensor]:
    """The peaks of at least ``least``: for each image (n, 6) of left, top, width, height, score, class, on the CPU."""
    scores = maps[0].float().sigmoid()
    peaks = (scores * (F.max_pool2d(scores, 3, 1, padding=1) == scores)).flatten(1)
    places, side = places_of(maps[0]), STRIDE * max(maps[0].shape[2:])
    score, index = peaks.topk(min(MOST_FOUND, peaks.shape[1]), dim=1)
    place, label = index % len(places), index // len(places)
    corners = corners_of(maps[1].float().flatten(2), places).clamp(0, side)
    chosen = corners.gather(1, place.unsqueeze(2).expand(-1, -1, 4))
    rows = torch.cat(
        [chosen[..., :2], chosen[..., 2:] - chosen[..., :2], score.unsqueeze(2), label.unsqueeze(2)], dim=2
    )
    return [of_image[of_image[:, 4] >= least] for of_image in rows.cpu()]


def measure(run: Run, model: nn.Module, scenes: Scenes, objects: float) -> Measured:
    """The model's loss on these images, and its average precisions."""
    begin, loss_sum, found = time.perf_counter(), torch.zeros((), device=run.device), list[np.ndarray]()
    for rows in torch.split(torch.arange(len(scenes)), EVALUATION_BATCH):
        images, boxes, labels = scenes.take(rows.to(run.device))
        with torch.no_grad(), run.precision.autocast(run.device):
            maps = model(images)
        loss_sum += detection_loss(maps, boxes, labels).sum()
        found += [each.numpy() for each in detections(maps, LEAST_SCORE)]
    seconds = time.perf_counter() - begin
    classes = maps[0].shape[1]
    scores = lazy.call("experiments.detection_scores:average_precisions", found, objects_of(scenes), classes)
    return Measured({**scores, "validation_loss": loss_sum.item() / (objects * len(scenes))}, len(scenes) / seconds)


def objects_of(scenes: Scenes) -> list[np.ndarray]:
    """For each image its objects, (n, 5) of left, top, width, height and class."""
    whole = torch.cat([scenes.boxes, scenes.labels.unsqueeze(2)], dim=2).cpu().numpy()
    return [of_image[of_image[:, 4] != NO_OBJECT] for of_image in whole]


def training_flops(shape: Shape) -> float:
    """Floating-point operations of training on one image.

    Those of the forward pass as PyTorch counts them (torch.utils.flop_counter: two a multiplication and addition),
    times 3: the backward pass takes about twice as many (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    image = torch.zeros(1, shape.channels, shape.side, shape.side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Detector(shape).eval()(image)
    return 3.0 * float(counter.get_total_flops())


def save(run: Run, model: nn.Module, shape: Shape, classes: tuple[str, ...], folder: Path) -> None:
    """Keep the weights (a state dict, readable with weights_only=True) and the settings."""
    torch.save(model.state_dict(), folder / "model.pt")
    saved = {"shape": asdict(shape), "classes": classes, "settings": dict(run.settings)}
    (folder / "settings.json").write_text(json.dumps(saved, indent=2))
