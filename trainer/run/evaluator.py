"""When a run is scored, and with which weights: every so many steps on a part, at the end on all.

A run is scored after its checkpoint was written, so that neither a crash nor a signal meanwhile loses a step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from trainer.config import RunConfig
from trainer.process.ranks import Ranks
from trainer.process.signals import StopRequest
from trainer.run.learner import Learner
from trainer.scoring.choices import ChoiceSet, score_choices
from trainer.scoring.evaluation import Evaluation
from trainer.scoring.interruption import Interruption
from trainer.scoring.validation import HeldoutSet, score

log = logging.getLogger(__name__)


class Evaluator:
    """Scores a learner's averaged weights, or the trained ones where no average is kept; equal on every rank.

    Its evaluations raise `EvaluationStoppedError` on every rank where `stop` asks one of them to end meanwhile.
    """

    def __init__(
        self,
        config: RunConfig,
        ranks: Ranks,
        learner: Learner,
        heldout: Sequence[HeldoutSet],
        choices: Sequence[ChoiceSet],
        stop: StopRequest,
    ) -> None:
        self._training, self._context, self._ranks = config.training, config.model.context, ranks
        self._learner, self._heldout, self._choices = learner, heldout, choices
        self._interruption = Interruption(ranks, lambda: stop.asked)

    def due(self, step: int, *, over: bool) -> bool:
        """Whether the run is scored after `step`; one that is over is scored at the end."""
        every = self._training.evaluate_every
        return bool(every and step and step % every == 0 and not over and (self._heldout or self._choices))

    def on_the_way(self) -> Evaluation:
        """The evaluation of a run that goes on."""
        return self._evaluate(self._training.evaluate_tokens, self._training.evaluate_items)

    def at_end(self) -> Evaluation | None:
        """The evaluation of a finished run; none where there is nothing to score."""
        if not (self._heldout or self._choices):
            return None
        return self._evaluate(self._training.final_evaluate_tokens, None)

    def _evaluate(self, most_tokens: int | None, most_items: int | None) -> Evaluation:
        model, ranks, context = self._learner.model, self._ranks, self._context
        heldout = [corpus.first_tokens(most_tokens) for corpus in self._heldout]
        choices = [task.first_items(most_items) for task in self._choices]
        each = self._interruption.each
        with self._learner.averaged_weights(), self._interruption.within(model):
            result = Evaluation(
                score(model, heldout, eot_id=self._learner.eot_id, context=context, ranks=ranks, each=each),
                score_choices(model, choices, context=context, ranks=ranks, each=each),
            )
        for line in result.lines():
            log.info("%s", line)
        return result
