"""The `tokenizers:` section of a profile: which tokenizers are candidates, what trains them, what decides.

A candidate's name is the name of its file, `<name>.yaml`, among the specifications that come with Squeeze or in a
folder of one's own; what a specification may say is in `pipeline.tokenization.specs`.
"""

from __future__ import annotations

from typing import Final, Self

from pydantic import Field, model_validator

from pipeline.base.settings import Settings, runtime

CRITERIA: Final = ("fewest_tokens", "cheapest_training", "proxy_bits_per_byte")
"""What `select` may say in place of a candidate's name; see `pipeline.tokenization.choosing.choice`."""


class SampleSettings(Settings):
    """The balanced sample of the training text on which tokenizers are trained."""

    bytes: int = Field(64_000_000, ge=1_000)
    """Size to aim for, in bytes of UTF-8. Less text than that is taken whole."""
    temperature: float = Field(2.0, ge=1.0)
    """A language's share is its bytes to the power of 1 / temperature: 1 leaves the mixture as it is, a large
    number gives every language the same share (Arivazhagan et al. 2019, section 3)."""


class ComparisonSettings(Settings):
    """On what text, and by what measure, candidates are compared."""

    bytes_per_group: int = Field(1_000_000, ge=1_000)
    """Held-out text compared per corpus and language, in bytes of UTF-8."""
    rare_below: int = Field(10, ge=1)
    """A row of the vocabulary seen less often than this in the compared text counts as rarely used."""


class ProxySettings(Settings):
    """A small training run per candidate at equal bytes of text: slow, and what decides in the end."""

    bytes: int = Field(4_000_000, ge=100_000)
    """Training text each candidate's proxy run sees, in bytes of UTF-8."""
    heldout_bytes: int = Field(500_000, ge=10_000)
    """Held-out text on which the runs' bits per byte are scored."""
    batch_tokens: int = Field(8_192, ge=256)
    """Tokens a step."""
    context: int = Field(256, ge=16)
    """Tokens of a sequence, at most; the model's own where that is shorter."""


class TokenizationSettings(Settings):
    """Candidates, their training sample, their comparison, and the choice between them."""

    candidates: tuple[str, ...] = Field(("bpe_2k", "gpt2"), min_length=1)
    """Names of specifications to train or load, and to compare."""
    select: str = "bpe_2k"
    """The chosen candidate's name, or a criterion: fewest_tokens, cheapest_training, proxy_bits_per_byte."""
    sample: SampleSettings = SampleSettings()
    comparison: ComparisonSettings = ComparisonSettings()
    proxy: ProxySettings | None = None
    """Train a small model per candidate and compare bits per byte; off where it is null."""
    folder: str | None = runtime(None)
    """A folder of specifications of your own, absolute or relative to the folder of the profile's file. A name is
    looked for there first, then among those that come with Squeeze."""

    @property
    def named(self) -> str | None:
        """The candidate that `select` names; none where a criterion decides once they are compared."""
        return None if self.select in CRITERIA else self.select

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        twice = sorted({name for name in self.candidates if self.candidates.count(name) > 1})
        if twice:
            raise ValueError(f"candidates lists {', '.join(twice)} more than once")
        if self.select not in self.candidates and self.select not in CRITERIA:
            raise ValueError(
                f"select is {self.select!r}; use one of the candidates ({', '.join(self.candidates)}) "
                f"or a criterion ({', '.join(CRITERIA)})"
            )
        if self.select == "proxy_bits_per_byte" and self.proxy is None:
            raise ValueError("select: proxy_bits_per_byte needs the proxy runs; add `proxy: {}` to the section")
        return self
