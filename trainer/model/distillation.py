"""Learning from other models' distributions beside the text (Hinton et al. 2015), a block of logits at a time.

In: a student's hidden states and, for the same tokens, its teachers'. Out: (1 - w) * cross-entropy + w * T^2 * KL(p, q)
summed over the scored tokens, where p is the mean of the teachers' softmax(logits / T) and q the student's; T^2 keeps
the two gradients in one proportion whatever the temperature. The whole vocabulary counts on both sides: rows that pad a
model's table beyond the tokenizer's are no tokens, so a teacher gives them no probability, and a student learns to.

As in `loss`, gradients are worked out in the forward pass while a block's logits, the student's and the teachers', are
at hand, so that never more than `rows` of them are held.

Shape letters: N tokens, C width, V the student's rows, U the tokenizer's vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trainer.model.loss import IGNORE, chunk_rows

Logits = Callable[[Tensor], Tensor]
"""From hidden states (n, C) to logits (n, V)."""


class SoftTargets(NamedTuple):
    """What the teachers of a run say about the tokens of a pass."""

    logits: tuple[Logits, ...]
    hidden: tuple[Tensor, ...]
    """Of each teacher (N, C), in its own width; without gradients."""
    vocabulary: int
    weight: float
    temperature: float

    def probabilities(self, part: slice) -> Tensor:
        """The mean of the teachers' distributions over the tokenizer's vocabulary (n, U), float32."""
        pairs = zip(self.logits, self.hidden, strict=True)
        with torch.no_grad():
            found = [logits(hidden_NC[part])[:, : self.vocabulary].float() for logits, hidden_NC in pairs]
            return torch.stack([(one / self.temperature).softmax(-1) for one in found]).mean(0)


def distilled_sum(
    hidden_NC: Tensor,
    logits: Logits,
    parameters: Sequence[Tensor],
    targets_N: Tensor,
    soft: SoftTargets,
    rows: int | None = None,
) -> tuple[Tensor, Tensor]:
    """(the loss of the module's docstring, the cross-entropy alone and without gradients), float32 scalars.

    `logits` is the student's projection, and `parameters` are those of it that learn. Targets of -100 are left out.
    `rows` is how many tokens' logits are held at once; none: by the device.
    """
    vocabulary = max(len(parameters[0]), soft.vocabulary)
    rows = rows or chunk_rows(vocabulary * (2 + len(soft.logits)), hidden_NC.device)
    total, cross_entropy = _Chunked.apply(hidden_NC, logits, targets_N, soft, rows, *parameters)
    return total, cross_entropy


class _Chunked(torch.autograd.Function):
    """The gradient with respect to the loss is a scalar, so it can be multiplied in last."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NC: Tensor,
        logits: Logits,
        targets_N: Tensor,
        soft: SoftTargets,
        rows: int,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        learns = any(ctx.needs_input_grad)
        total, cross_entropy = hidden_NC.new_zeros(2, dtype=torch.float32).unbind()
        grad_hidden_NC = torch.zeros_like(hidden_NC)
        grads = [torch.zeros_like(parameter) for parameter in parameters]
        for start in range(0, len(hidden_NC), rows):
            part = slice(start, start + rows)
            with torch.set_grad_enabled(learns):
                hidden_nC = hidden_NC[part].detach().requires_grad_(learns)
                loss, text = block_loss(logits(hidden_nC), soft.probabilities(part), targets_N[part], soft)
            total, cross_entropy = total + loss.detach(), cross_entropy + text.detach()
            if learns:
                found = torch.autograd.grad(loss, [hidden_nC, *parameters])
                grad_hidden_NC[part] = found[0]
                torch._foreach_add_(grads, list(found[1:]))
        ctx.save_for_backward(grad_hidden_NC, *grads)
        ctx.mark_non_differentiable(cross_entropy)
        return total, cross_entropy

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        hidden, *parameters = (saved * grads[0] for saved in ctx.saved_tensors)
        return hidden, None, None, None, None, *parameters


def block_loss(
    logits_nV: Tensor, probabilities_nU: Tensor, targets_n: Tensor, soft: SoftTargets
) -> tuple[Tensor, Tensor]:
    """A block's summed loss and its cross-entropy."""
    scored_n = targets_n != IGNORE
    log_q_nV = logits_nV.float().log_softmax(-1)
    text = -(log_q_nV.gather(1, targets_n.clamp_min(0)[:, None])[:, 0] * scored_n).sum()
    if soft.temperature != 1:
        log_q_nV = (logits_nV.float() / soft.temperature).log_softmax(-1)
    log_q_nU = log_q_nV[:, : soft.vocabulary]
    divergence_n = (torch.xlogy(probabilities_nU, probabilities_nU) - probabilities_nU * log_q_nU).sum(-1)
    taught = (divergence_n * scored_n).sum() * soft.temperature**2
    return (1 - soft.weight) * text + soft.weight * taught, text
