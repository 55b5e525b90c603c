"""When a run is scored, and with which weights: every so many steps on a part, at the end on all."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trainer.config import RunConfig
from trainer.process.ranks import Ranks
from trainer.run.learner import Learner
from trainer.scoring.choices import ChoiceSet, score_choices
from trainer.scoring.evaluation import Evaluation
from trainer.scoring.validation import HeldoutSet, score

log = logging.getLogger(__name__)


class Evaluator:
    """Scores a learner's averaged weights, or the trained ones where no average is kept; equal on every rank."""

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        learner: Learner,
        heldout: Sequence[HeldoutSet],
        choices: Sequence[ChoiceSet],
    ) -> None:
        self._training, self._context, self._ranks = config.training, config.model.context, ranks
        self._learner, self._heldout, self._choices = learner, heldout, choices

    def after(self, step: int, steps: int) -> Evaluation | None:
        """The evaluation due after `step` of `steps`; none where none is. The last step's is that of the end."""
        every = self._training.evaluate_every
        if every is None or step % every or step == steps:
            return None
        return self._evaluate(self._training.evaluate_tokens, self._training.evaluate_items)

    def at_end(self) -> Evaluation | None:
        """The evaluation of a finished run; none where there is nothing to score."""
        return self._evaluate(self._training.final_evaluate_tokens, None)

    def _evaluate(self, most_tokens: int | None, most_items: int | None) -> Evaluation | None:
        if not (self._heldout or self._choices):
            return None
        model, ranks, context = self._learner.model, self._ranks, self._context
        heldout = [corpus.first_tokens(most_tokens) for corpus in self._heldout]
        choices = [task.first_items(most_items) for task in self._choices]
        with self._learner.averaged_weights():
            result = Evaluation(
                score(model, heldout, eot_id=self._learner.eot_id, context=context, ranks=ranks),
                score_choices(model, choices, context=context, ranks=ranks),
            )
        for line in result.lines():
            log.info("%s", line)
        return result
