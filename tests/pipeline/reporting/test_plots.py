"""Pictures: small, the same again, and a sparkline that fits into a sentence of the UI."""

import io
import math
import xml.etree.ElementTree as ET

import pytest

from pipeline.evaluation.suites.length import Curve
from pipeline.reporting.plots.length import length_png
from pipeline.reporting.plots.loss import loss_curve_png
from pipeline.reporting.plots.mixture import mixture_png
from pipeline.reporting.plots.scores import scores_png
from pipeline.reporting.plots.sparkline import sparkline_markdown, sparkline_svg
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


@pytest.mark.parametrize("count", [0, 1, 2, 50, 5000])
def test_a_sparkline_is_valid_and_short_enough_to_render_inline(count):
    values = [math.sin(i / 9) for i in range(count)]
    svg = sparkline_svg(values)
    assert len(svg) < 1000
    assert len(sparkline_markdown(values, "loss")) < 1000
    if count > 1:
        assert ET.fromstring(svg).tag.endswith("svg")
        assert sparkline_markdown(values, "loss").startswith("![loss](data:image/svg+xml;base64,")
