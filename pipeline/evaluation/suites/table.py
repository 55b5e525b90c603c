"""Every kind of suite there is, in one table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Final, get_args

from pydantic import Field

from pipeline.base.errors import EvaluationError
from pipeline.evaluation.results import SCORES_FILE, Details, Score, SuiteResult, rounded_hash
from pipeline.evaluation.suites.babylm import BabylmSuite
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite
from pipeline.evaluation.suites.core import CoreSuite
from pipeline.evaluation.suites.few_shot import FewShotSuite
from pipeline.evaluation.suites.fresh_text import FreshTextSuite
from pipeline.evaluation.suites.length import LengthExtrapolationSuite
from pipeline.evaluation.suites.lm_eval import LmEvalSuite
from pipeline.evaluation.suites.memorisation import MemorisationSuite
from pipeline.evaluation.suites.minimal_pairs import MinimalPairsSuite
from pipeline.evaluation.suites.probes import ProbesSuite
from pipeline.evaluation.suites.samples import SamplesSuite
from pipeline.evaluation.suites.suite import SuiteSettings
from trainer.records import check, read_json, reason

Suite = Annotated[
    BitsPerByteSuite
    | FreshTextSuite
    | MemorisationSuite
    | LmEvalSuite
    | FewShotSuite
    | CoreSuite
    | BabylmSuite
    | MinimalPairsSuite
    | ProbesSuite
    | LengthExtrapolationSuite
    | SamplesSuite,
    Field(discriminator="kind"),
]
"""A suite of any kind, as profiles give it. A new kind joins this union, and nothing else."""

KINDS: Final[dict[str, type[SuiteSettings]]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Suite)[0])
}
"""Each kind by its name."""


def read_result(folder: Path) -> SuiteResult:
    """A finished suite's folder again. Raises EvaluationError naming the file when it cannot be read."""
    path = folder / SCORES_FILE
    again = "materialize the suite again"
    body = read_json(path, EvaluationError, what="a suite's scores", cure=again)
    try:
        scores = check(tuple[Score, ...], body["scores"])
        why_not = str(body.get("not_possible", ""))
        kind = KINDS[body["kind"]].details
        details = Details() if why_not else check(kind, dataclasses.asdict(kind.read(body["details"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path}: not a suite's scores ({reason(error)}); {again}") from error
    return SuiteResult(rounded_hash(body), body["kind"], scores, details, not_possible=why_not)
