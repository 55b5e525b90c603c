"""The latest model of a profile as something that writes: a text goes in, its continuation comes out piece by piece.

In: a store. Out: a `Writer` with the facts that people want beside its text. What always holds: the pieces joined are
the decoded continuation, and no piece ends within a character.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.base.numbers import with_error
from trainer.run.kept_weights import AVERAGED
from trainer.sampling import Sampling

if TYPE_CHECKING:
    from pipeline.store import Artifact, Store
    from pipeline.tokenization.encoders.tokenizer import Tokenizer
    from trainer.model import GPT

BITS_PER_BYTE: Final = "bits_per_byte"
BASE_MODEL: Final = "a base model: it goes on with your text, it does not answer"
_CUT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Writer:
    """A model with the tokenizer it was trained with."""

    model: GPT
    tokenizer: Tokenizer

    def continued(self, text: str, sampling: Sampling) -> Iterator[str]:
        """Pieces of text that follow `text`, as they come. Raises ConfigError or TokenizerError before the first."""
        from trainer.generate import generate

        ids = [self.tokenizer.eot_id, *self.tokenizer.encode(text)]  # every document the model has seen began so
        return self._pieces(
            generate(
                self.model,
                ids,
                max_new_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                seed=sampling.seed,
                eot_id=self.tokenizer.eot_id,
            )
        )

    def _pieces(self, ids: Iterator[int]) -> Iterator[str]:
        added: list[int] = []
        said = ""
        for token in ids:
            added.append(token)
            whole = self.tokenizer.decode(added).rstrip(_CUT)  # the rest of a character may still come
            if whole.startswith(said) and len(whole) > len(said):
                yield whole[len(said) :]
                said = whole
        whole = self.tokenizer.decode(added)
        if len(whole) > len(said):
            yield whole[len(said) :]


def load_writer(store: Store, artifact: Artifact, weights: str = AVERAGED) -> Writer:
    """The model of an artifact. Raises StoreError or CheckpointError for one that is not whole, or kept no such
    weights."""
    from pipeline.tokenization import load_tokenizer
    from trainer.run.trained_model import load_model

    trained_with = artifact.manifest.inputs["tokenizer"]  # another one may have been chosen since
    chosen = store.get(trained_with.key, trained_with.fingerprint) or store.current("tokenizer")
    return Writer(load_model(artifact.path, weights=weights), load_tokenizer(chosen.path))


def facts_beside(store: Store, artifact: Artifact) -> dict[str, str]:
    """What is shown beside a model's text, in words and figures; what is not known is left out."""
    from pipeline.reporting.facts import facts_of

    facts = facts_of(store, artifact)
    told = {"profile": facts.name, "fingerprint": facts.fingerprint[:8]}
    if facts.run is not None:
        told["parameters"] = f"{facts.run.parameters.total:,}"
        told["training tokens"] = f"{facts.run.tokens:,}"
    scores: Sequence[Any] = facts.suites[BITS_PER_BYTE].scores if BITS_PER_BYTE in facts.suites else ()
    for score in scores:
        if "/" not in score.task:
            told[f"bits per byte, {score.task}"] = with_error(score.value, score.stderr)
    if facts.tokenizer is not None:
        told["tokenizer"] = facts.tokenizer
    return told
