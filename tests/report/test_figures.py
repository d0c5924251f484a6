"""What the charts show, read from the figures themselves."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracker.records import Direction, QualityMetric
from tracker.report.figures import hypervolume_figure, spend_figure
from tracker.report.frontier_chart import frontier_caption, frontier_figure
from tracker.report.labels import _label_box, _overlap, place_labels
from tracker.report.plane import study_plane
from tracker.report.style import PRECISION_COLOURS, precision_colours


def traces(figure):
    return {trace.name: trace for trace in figure.data}


def test_the_frontier_is_a_step_line_that_leaves_hovering_to_the_points(small):
    line = traces(frontier_figure(small))["frontier"]
    assert line.line.shape == "hv"
    assert line.hoverinfo == "skip"
    assert list(line.y) == [0.5, 0.6, 0.7]


def test_price_is_logarithmic_and_reported_in_plain_dollars(small):
    layout = frontier_figure(small).layout
    assert layout.xaxis.type == "log"
    assert layout.xaxis.tickformat == "$,.10~f"
    assert "cheaper" in layout.xaxis.title.text
    assert "better →" in layout.yaxis.title.text
    lower = replace(small, quality=QualityMetric("loss", Direction.MINIMIZE))
    assert "← better" in frontier_figure(lower).layout.yaxis.title.text


def test_every_checkpoint_is_drawn_once_with_its_run(small):
    shown = traces(frontier_figure(small))
    assert list(shown["dominated"].customdata) == ["run-1@1", "run-1@2"]
    assert list(shown["fp32"].customdata) == ["run-0@1", "run-0@2", "run-2@1"]
    star = shown["baseline: tf-idf + logistic regression"]
    assert star.marker.symbol == "star"
    assert list(star.customdata) == ["run-baseline@1"]


def test_the_baseline_has_a_dashed_line_at_its_quality(small):
    (line,) = frontier_figure(small).layout.shapes
    assert (line.y0, line.y1, line.line.dash) == (0.65, 0.65, "dash")


def test_hovering_tells_all_about_a_point(small):
    shown = traces(frontier_figure(small))
    first = shown["fp32"].hovertext[0]
    for part in ("#0, epoch 1", "of 2", "0.5000", "$1.00", "1,000 parameters", "fp32 on cpu, 1 thread"):
        assert part in first
    assert "price: aws/karpenter-provider-aws@1d92708, 2026-07-20" in first
    assert "on the frontier" in first
    assert "dominated by #0 e2: +0.2 accuracy for 33 % less" in shown["dominated"].hovertext[0]
    assert "dominates 1 frontier point" in shown["baseline: tf-idf + logistic regression"].hovertext[0]


def test_a_price_from_a_busy_machine_is_flagged(by_hand):
    busy = by_hand.build([by_hand.trial(0, [0.5], [2.0], busy=True), by_hand.trial(1, [0.6], [3.0])])
    flags = ["busy machine" in hover for hover in traces(frontier_figure(busy))["fp32"].hovertext]
    assert flags == [True, False]


def test_equal_points_are_reported_as_equal(by_hand):
    twins = by_hand.build([by_hand.trial(0, [0.5], [2.0]), by_hand.trial(1, [0.5], [2.0])])
    assert (
        "dominated by #0 e1: the same accuracy for the same price"
        in traces(frontier_figure(twins))["dominated"].hovertext[0]
    )


def test_colour_tells_the_precision_and_symbol_the_hardware(realistic):
    shown = traces(frontier_figure(realistic))
    assert shown["bf16"].marker.color == PRECISION_COLOURS["bf16"]
    assert shown["fp32"].marker.color == PRECISION_COLOURS["fp32"]
    assert shown["cpu, 1 thread"].marker.symbol == "circle"
    assert shown["cpu, 2 threads"].marker.symbol == "square"
    assert set(shown["dominated"].marker.symbol) == {"circle", "square"}
    assert precision_colours(["int8"]) == precision_colours(["int8", "int8"])


def test_the_caption_counts_what_is_not_drawn(small):
    caption = frontier_caption(small)
    assert (
        "2 trials failed or were killed, 1 without a checkpoint to draw; the spend includes the $7.25 that they cost"
        in caption
    )


def test_of_very_many_points_the_line_is_whole_and_the_others_are_thinned_out(build_large):
    large = build_large(runs=400, epochs=10)
    figure = traces(frontier_figure(large))
    whole = study_plane(large)
    assert whole.others + len(whole.frontier) == 4000
    assert len(figure["frontier"].x) == int(whole.found.points["on_frontier"].sum())
    shown = len(figure["dominated"].x)
    assert 600 < shown <= 800
    assert f"Of {whole.others:,} points off the line, {shown:,} are drawn" in frontier_caption(large)


def test_a_single_point_and_a_baseline_alone_are_charts_too(by_hand):
    single = frontier_figure(by_hand.build([by_hand.trial(0, [0.5], [2.0])]))
    low, high = single.layout.xaxis.range
    (price,) = traces(single)["frontier"].x
    assert low < math.log10(price) < high
    alone = frontier_figure(by_hand.build([by_hand.baseline(0.5, 2.0)]))
    assert list(traces(alone)) == ["baseline: tf-idf + logistic regression"]


def test_charts_of_an_empty_study_say_so(empty):
    for figure in (frontier_figure(empty), spend_figure(empty), hypervolume_figure(empty)):
        assert len(figure.data) == 0
        assert "yet" in figure.layout.annotations[0].text


def test_names_are_shown_literally(hostile):
    for figure in (frontier_figure(hostile), spend_figure(hostile), hypervolume_figure(hostile)):
        texts = json.dumps(json.loads(figure.to_json()), ensure_ascii=False)
        assert "<script" not in texts
        assert '<b>\\"tf-idf' not in texts
    assert "&lt;b&gt;" in traces(frontier_figure(hostile))["dominated"].hovertext[0]
    assert study_plane(hostile).metric.startswith('&lt;b&gt;"tf-idf" &amp;')
    assert hostile.study not in json.dumps(frontier_figure(hostile).layout.yaxis.title.text)


def test_spend_bars_are_longest_first_and_reported_in_dollars(small):
    (bars,) = spend_figure(small).data
    assert [name.strip() for name in bars.y] == ["failed", "stopped", "completed", "baseline", "preparation"]
    assert bars.text[0] == "$7.25 · 42 % · 2 runs"


def test_the_hypervolume_line_ends_at_the_spend(small):
    (line,) = hypervolume_figure(small).data
    assert line.x[-1] == 17.25
    assert line.line.shape == "hv"


@given(st.lists(st.tuples(st.floats(0, 560), st.floats(0, 330)), max_size=25))
def test_labels_never_overlap_each_other_or_leave_the_chart(centres):
    texts = [f"#{index} e{index}" for index in range(len(centres))]
    placed = place_labels(centres, texts, range(len(centres)), ["top left", "middle left"], (560, 330))
    boxes = [_label_box(*centres[index], len(texts[index]) * 6.8, side) for index, side in placed.items()]
    for at, box in enumerate(boxes):
        assert box[0] >= 0
        assert box[3] <= 330
        assert not any(_overlap(box, other) for other in boxes[at + 1 :])


def test_the_ends_of_the_frontier_are_labelled_first(realistic):
    shown = frontier_figure(realistic)
    labels = [text for trace in shown.data if trace.mode == "markers+text" for text in trace.text]
    frontier = study_plane(realistic).frontier
    assert frontier["short"].iloc[0] in labels
    assert np.sum([bool(text) for text in labels]) >= 8
