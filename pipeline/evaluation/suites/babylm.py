"""BabyLM's suites from the challenge's evaluation data: BLiMP, its supplement and EWoK, as far as they are there.

In: a model and the folder that the challenge hands out. Out: what a suite of lm-eval keeps, since they are tasks of it:
a share of right choices by phenomenon and over each folder's (the mean of its phenomena, as the challenge takes it),
with ties as wrong, and margins in bits per byte.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from pydantic import Field

from pipeline.base.settings import runtime
from pipeline.evaluation.lm_eval.babylm import bundle_content, write_tasks
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.lm_eval.evaluator import quiet
from pipeline.evaluation.lm_eval.item_table import ITEMS_FILE
from pipeline.evaluation.lm_eval.tasks import load_tasks
from pipeline.evaluation.lm_eval.templates import templates_once
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, SuiteResult, finish
from pipeline.evaluation.suites.lm_eval import score_tasks
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

BABYLM_VERSION: Final = "1"


class BabylmSuite(SuiteSettings):
    """BLiMP, its supplement and EWoK from BabyLM's evaluation data."""

    version: ClassVar[str] = BABYLM_VERSION
    description: ClassVar[str] = "BLiMP, its supplement and EWoK, filtered by BabyLM's vocabulary."
    details: ClassVar[type[Details]] = LmEvalDetails

    kind: Literal["babylm"] = "babylm"
    bundle: str = runtime("evaluation_data")
    """The folder of the challenge's evaluation data, which holds `supplement_filtered` and the like; a relative one
    lies in the folder of the profile that names it, the default where the command runs. Where it lies changes nothing;
    other content is another suite."""
    limit: int | None = Field(None, gt=0)
    """Only the first so many items of each phenomenon; none: all."""
    batch_tokens: int = runtime(8192, gt=0)

    def local_files(self) -> Mapping[str, Any]:
        return {"bundle": bundle_content(Path(self.bundle).expanduser())}

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        from pipeline.evaluation.lm_eval.model import SqueezeLM

        start = time.monotonic()
        model = SqueezeLM(scorer, batch_tokens=self.batch_tokens)
        with tempfile.TemporaryDirectory(prefix="squeeze-babylm-") as folder, quiet(), templates_once():
            groups = write_tasks(Path(folder), Path(self.bundle).expanduser(), self.limit)
            scores, details = score_tasks(model, load_tasks(groups, include=Path(folder)), out)
        return finish(*(out, self.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])
