"""Minimal pairs from grammar rules: which of two sentences does the model find likelier, the well-formed one?

In: a model, languages, how many pairs of each phenomenon. Out: what a suite of lm-eval keeps, since the pairs are tasks
of it: a share of right choices, with ties as wrong, and margins in bits per byte, by phenomenon, language and over all.
Nothing is fetched, so it can be had everywhere.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import ClassVar, Final, Literal

from pydantic import Field

from pipeline.base.settings import runtime
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.lm_eval.evaluator import quiet
from pipeline.evaluation.lm_eval.item_table import ITEMS_FILE
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.lm_eval.templates import templates_once
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.minimal_pairs.tasks import (
    GROUP,
    LANGUAGES,
    MOST_PAIRS,
    PAIRS,
    SEED,
    SUPPLEMENT_GROUP,
    Language,
    write_tasks,
)
from pipeline.evaluation.results import Details, SuiteResult, finish
from pipeline.evaluation.suites.lm_eval import score_tasks
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings
from trainer.settings import later

MINIMAL_PAIRS_VERSION: Final = "1"


class MinimalPairsSuite(SuiteSettings):
    """Pairs of sentences from grammar rules, of which the well-formed one should be likelier."""

    version: ClassVar[str] = MINIMAL_PAIRS_VERSION
    description: ClassVar[str] = "Minimal pairs of sentences from grammar rules: agreement, binding, word order."
    details: ClassVar[type[Details]] = LmEvalDetails

    kind: Literal["minimal_pairs"] = "minimal_pairs"
    languages: tuple[Language, ...] = Field(tuple(LANGUAGES), min_length=1)
    """Which languages' pairs are scored."""
    pairs: int = Field(PAIRS, gt=0, le=MOST_PAIRS)
    """Pairs of each phenomenon of each language."""
    seed: int = Field(SEED, ge=0)
    """Another seed draws other pairs from the same rules."""
    supplement: bool = later(False)
    """Also what BabyLM's supplement to BLiMP is about, in English: kinds of things, answers that fit their question,
    questions about clauses, who speaks. They are a group of their own, which the others' figure does not hold."""
    batch_tokens: int = runtime(8192, gt=0)

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        from pipeline.evaluation.lm_eval.model import SqueezeLM

        start = time.monotonic()
        model = SqueezeLM(scorer, batch_tokens=self.batch_tokens)
        groups = [GROUP, SUPPLEMENT_GROUP] if self.supplement else [GROUP]
        with tempfile.TemporaryDirectory(prefix="squeeze-pairs-") as folder, quiet(), templates_once():
            write_tasks(Path(folder), self.languages, pairs=self.pairs, seed=self.seed)
            scores, details = score_tasks(model, load_tasks(groups, include=Path(folder)), out)
        return finish(*(out, self.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])
