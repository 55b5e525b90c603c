"""The kinds of question that a study may ask of its runs: a class in a file of its own each, found by its `kind`."""

from typing import Annotated, TypeAlias

from pydantic import Field

from pipeline.study.questions.as_good import AsGood
from pipeline.study.questions.best_of_tuned import BestOfTuned
from pipeline.study.questions.by_size import BySize
from pipeline.study.questions.ladder import Ladder
from pipeline.study.questions.reaches import Reaches

__all__ = ["Question"]

Question: TypeAlias = Annotated[AsGood | BestOfTuned | BySize | Ladder | Reaches, Field(discriminator="kind")]
