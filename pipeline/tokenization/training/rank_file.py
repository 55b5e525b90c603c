"""The kind `tiktoken`: a published rank file, made into the byte-level BPE that its ranks describe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.formats.byte_level_vocabulary import BytePairs, merges_of, parse_gpt2, parse_rank_file
from pipeline.tokenization.formats.patterns import PATTERNS
from pipeline.tokenization.training.specification import BYTES, Inputs, PinnedFile, Specification


class TiktokenSpec(Specification):
    """A published rank file with its pattern, encoded by `tiktoken`."""

    kind: Literal["tiktoken"]
    ranks: PinnedFile
    """The rank file: base64 token and rank a line, or GPT-2's `vocab.bpe` where `encoder` is given."""
    encoder: PinnedFile | None = None
    """GPT-2's `encoder.json`, checked against the ranks."""
    pattern: Literal["gpt2", "cl100k", "o200k"]
    """The pre-tokenisation pattern; a rank file does not carry one."""
    end_of_text_id: int = Field(ge=0)
    """Id of the end-of-text token."""
    vocab_size: int = Field(ge=BYTES + 1)
    """Highest id plus one, special tokens included."""

    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        data, where = inputs.read(self.ranks), inputs.where(self.ranks)
        if self.encoder is not None:
            ranks = parse_gpt2(data, inputs.read(self.encoder), where=where)
        else:
            ranks = parse_rank_file(data, where=where)
        tokens = {rank: token for token, rank in ranks.items()}
        self._check_ids(tokens, where)
        pairs = BytePairs(
            tokens=tokens,
            merges=merges_of(ranks, where=where),
            pattern=PATTERNS[self.pattern],
            end_of_text=self.end_of_text,
            eot_id=self.end_of_text_id,
            vocab_size=self.vocab_size,
        )
        return ByteLevelTokenizer(pairs, reference="tiktoken"), []

    def _check_ids(self, tokens: dict[int, bytes], where: str) -> None:
        highest = max(tokens)
        if self.end_of_text_id in tokens:
            raise TokenizerError(
                f"{where}: end_of_text_id {self.end_of_text_id} is the ordinary token {tokens[self.end_of_text_id]!r}; "
                f"a tokenizer needs an end-of-text token of its own (the highest rank is {highest})"
            )
        if max(highest, self.end_of_text_id) >= self.vocab_size:
            raise TokenizerError(
                f"{where}: vocab_size is {self.vocab_size:,}, but the highest id is "
                f"{max(highest, self.end_of_text_id):,}; set it to that plus one or more"
            )
