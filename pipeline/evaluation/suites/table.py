"""Every kind of suite there is, in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final, get_args

from pydantic import Field

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.results import SCORES_FILE, Details, Score, SuiteResult, rounded_hash
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite
from pipeline.evaluation.suites.length import LengthExtrapolationSuite
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.samples import SamplesSuite
from pipeline.evaluation.suites.suite import SuiteSettings

Suite = Annotated[BitsPerByteSuite | LmEvalSuite | LengthExtrapolationSuite | SamplesSuite, Field(discriminator="kind")]
"""A suite of any kind, as profiles give it. A new kind joins this union, and nothing else."""

KINDS: Final[dict[str, type[SuiteSettings]]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Suite)[0])
}
"""Each kind by its name."""


def read_result(folder: Path) -> SuiteResult:
    """A finished suite's folder again. Raises EvaluationError naming the file when it cannot be read."""
    path = folder / SCORES_FILE
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        scores = tuple(Score(**item) for item in body["scores"])
        why_not = str(body.get("not_possible", ""))
        details = Details() if why_not else KINDS[body["kind"]].details.read(body["details"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path}: not a suite's scores ({error}); materialize the suite again") from error
    return SuiteResult(rounded_hash(body), body["kind"], scores, details, not_possible=why_not)
