"""What one evaluation during a run, or at its end, came to: types that its files and the pipeline share, free of torch.

Each score's fields are the keys of its JSON object in `evaluations.jsonl` and `summary.json`, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HeldoutScore:
    """How a corpus's held-out documents were predicted."""

    loss: float
    """Nats a token, closing end-of-text tokens included."""
    bits_per_byte: float
    """Of the text alone, as the bytes are."""
    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True)
class ChoiceScore:
    """How a task's multiple-choice items were answered: shares of right answers with one standard error."""

    acc: float
    acc_stderr: float
    acc_norm: float
    acc_norm_stderr: float
    items: int


@dataclass(frozen=True)
class Evaluation:
    """Scores by the names of the corpora and of the tasks."""

    validation: Mapping[str, HeldoutScore] = field(default_factory=dict)
    choices: Mapping[str, ChoiceScore] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """A line for people for each name."""
        for name, heldout in self.validation.items():
            yield f"held-out {name}: loss {heldout.loss:.4f}, {heldout.bits_per_byte:.4f} bits/byte"
        for name, choice in self.choices.items():
            yield (
                f"{name}: acc {choice.acc:.3f} ± {choice.acc_stderr:.3f}, "
                f"acc_norm {choice.acc_norm:.3f} ± {choice.acc_norm_stderr:.3f} of {choice.items:,} items"
            )

    def figures(self) -> dict[str, float]:
        """What is drawn over the steps, by `<name>/<figure>`."""
        figures: dict[str, float] = {}
        for name, heldout in self.validation.items():
            figures |= {f"{name}/loss": heldout.loss, f"{name}/bits_per_byte": heldout.bits_per_byte}
        for name, choice in self.choices.items():
            figures |= {f"{name}/acc": choice.acc, f"{name}/acc_norm": choice.acc_norm}
        return figures

    def mean_loss(self) -> float | None:
        """The corpora's losses, each weighted equally: what the best checkpoint is chosen by; none without corpora."""
        losses = [heldout.loss for heldout in self.validation.values()]
        return sum(losses) / len(losses) if losses else None
