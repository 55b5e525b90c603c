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
    """How a task's multiple-choice items were answered, each figure with one standard error."""

    acc: float
    """Share of right answers."""
    acc_stderr: float
    acc_norm: float
    acc_norm_stderr: float
    items: int
    answer_bits_per_byte: float | None = None
    """Bits per byte of the right answer, the mean over items; none in runs of before there was this figure."""
    answer_bits_per_byte_stderr: float | None = None
    answer_margin: float | None = None
    """Bits per byte by which the likeliest wrong answer is behind the right one, the mean over items."""
    answer_margin_stderr: float | None = None


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
            answers = ""
            if choice.answer_bits_per_byte is not None:
                answers += (
                    f", right answers {choice.answer_bits_per_byte:.4f} ± {choice.answer_bits_per_byte_stderr:.4f}"
                )
                answers += f" bits/byte, margin {choice.answer_margin:.4f} ± {choice.answer_margin_stderr:.4f}"
            yield (
                f"{name}: acc {choice.acc:.3f} ± {choice.acc_stderr:.3f}, "
                f"acc_norm {choice.acc_norm:.3f} ± {choice.acc_norm_stderr:.3f} of {choice.items:,} items"
                f"{answers}"
            )

    def figures(self) -> dict[str, float]:
        """What is drawn over the steps, by `<name>/<figure>`."""
        figures: dict[str, float] = {}
        for name, heldout in self.validation.items():
            figures |= {f"{name}/loss": heldout.loss, f"{name}/bits_per_byte": heldout.bits_per_byte}
        for name, choice in self.choices.items():
            for figure in ("acc", "acc_norm", "answer_bits_per_byte", "answer_margin"):
                if (value := getattr(choice, figure)) is not None:
                    figures[f"{name}/{figure}"] = value
        return figures

    def mean_loss(self) -> float | None:
        """The corpora's losses, each weighted equally: what the best checkpoint is chosen by; none without corpora."""
        losses = [heldout.loss for heldout in self.validation.values()]
        return sum(losses) / len(losses) if losses else None
