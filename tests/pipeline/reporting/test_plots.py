"""Pictures: small, the same again, and a sparkline that fits into a sentence of the UI."""

import io
import math
import xml.etree.ElementTree as ET

import pytest

from pipeline.evaluation.suites.length import Curve
from pipeline.reporting.plots.labels import name_points
from pipeline.reporting.plots.length import length_png
from pipeline.reporting.plots.loss import loss_curve_png
from pipeline.reporting.plots.mixture import mixture_png
from pipeline.reporting.plots.scores import marks_of, scores_png
from pipeline.reporting.plots.sparkline import sparkline_markdown, sparkline_svg
from pipeline.reporting.plots.stages import labels_of
from pipeline.reporting.plots.style import corpus_colors, new_figure
from pipeline.reporting.plots.tokenizers import tokenizer_png
from pipeline.reporting.plots.waterfall import waterfall_png

METRICS = [
    {"step": i, "tokens": i * 8192, "loss": 3 + 4 * math.exp(-i / 40), "lr": 3e-3, "epoch": 1 + i // 60, "stage": "mix"}
    for i in range(1, 121)
]
STAGES = [("epoch 1 · children", {"tales": 1e5}), ("epoch 1 · mixture", {"web": 9e5, "books": 4e5})]
CURVES = (Curve("rope", 2, [64, 128], [3.0, 2.9]),)


@pytest.mark.parametrize(
    "picture",
    [
        lambda: loss_curve_png(METRICS, {"books": 3.2}),
        lambda: loss_curve_png([]),
        lambda: waterfall_png([("fetched", 4044), ("kept", 2900)]),
        lambda: mixture_png(STAGES),
        lambda: tokenizer_png([{"name": "bpe", "bytes_per_token": {"en": 3.1}}], chosen="bpe"),
        lambda: scores_png([{"name": "x", "value": 0.3, "stderr": None, "comparisons": []}]),
        lambda: length_png(CURVES, 64),
    ],
)
def test_a_picture_is_a_small_png_and_the_same_again(picture):
    from PIL import Image

    png = picture()
    assert png == picture()
    assert len(png) < 90_000
    assert Image.open(io.BytesIO(png)).width >= 700


def test_a_comparison_of_any_kind_is_drawn_and_each_name_has_a_mark_of_its_own():
    names = ["gzip -9", "xz -9e", "xz -9e after training text", "zstd -19", "a rival", "another"]
    kinds = ["compressor"] * 4 + ["benchmark of a new kind"] * 2
    pairs = zip(names, kinds, strict=True)
    rows = [{"name": "books", "value": 2.0, "comparisons": [{"name": n, "kind": k, "value": 2.5} for n, k in pairs]}]
    marks = marks_of(rows)
    assert list(marks) == names
    assert len(set(marks.values())) == len(names)
    assert marks["xz -9e"][0] == marks["xz -9e after training text"][0]
    assert scores_png(rows).startswith(b"\x89PNG")


def test_a_corpus_has_one_colour_in_every_picture_and_its_languages_shades_of_it():
    corpora = ["books", "web", "wikipedia"]
    everything = corpus_colors(corpora)
    assert corpus_colors(["web"], corpora) == {"web": everything["web"]}
    of_languages = corpus_colors(["web/en", "web/fr"], corpora)
    assert of_languages["web/en"] == everything["web"]
    assert of_languages["web/fr"] not in (*everything.values(), everything["web"])


SHORT_STAGES = [
    (["first", "warm up", "the third of them", "mixture", "cool down"], [20, 60, 100, 1100, 2000]),
    (["a", "children first", "cool down", "b", "cool down", "end"], [900, 910, 1000, 1900, 1950, 2000]),
    (["children first"] * 9, list(range(1, 10))),
]


@pytest.mark.parametrize(("names", "ends"), SHORT_STAGES)
def test_each_stages_name_stands_over_its_own_stage_and_on_nothing_else(names, ends):
    labels = labels_of(names, ends)
    assert sorted(label.name for label in labels) == sorted(names)
    for label in labels:
        assert label.start <= label.middle <= label.end
        for other in labels:
            if other is not label and other.row == label.row:
                assert label.end < other.start or other.end < label.start
            if other.row > label.row and len(set(names)) > 1:
                assert not label.start < other.middle < label.end
    starts = dict(zip(ends, [0, *ends[:-1]], strict=True))
    middles = sorted(label.middle * ends[-1] for label in labels)
    assert all(start <= middle <= end for (end, start), middle in zip(starts.items(), middles, strict=True))


def test_names_of_points_lie_neither_on_each_other_nor_on_points():
    points = [(1 + number / 500, 2.0, f"arm {number}") for number in range(40)] + [(2.0, 3.0, "alone")]
    figure, axes = new_figure(6, 4)
    axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o")
    name_points(axes, points, [point[:2] for point in points])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert "alone" in [text.get_text() for text in axes.texts]
    assert 2 <= len(boxes) < len(points)
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


@pytest.mark.parametrize("count", [0, 1, 2, 50, 5000])
def test_a_sparkline_is_valid_and_short_enough_to_render_inline(count):
    values = [math.sin(i / 9) for i in range(count)]
    svg = sparkline_svg(values)
    assert len(svg) < 1000
    assert len(sparkline_markdown(values, "loss")) < 1000
    if count > 1:
        assert ET.fromstring(svg).tag.endswith("svg")
        assert sparkline_markdown(values, "loss").startswith("![loss](data:image/svg+xml;base64,")
