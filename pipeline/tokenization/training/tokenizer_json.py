"""The kind `tokenizer_json`: a published `tokenizer.json` of Hugging Face's `tokenizers`, taken as it is."""

from __future__ import annotations

from typing import Literal

from pipeline.tokenization.encoders.hugging_face import HuggingFaceTokenizer
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.training.specification import Inputs, PinnedFile, Specification


class TokenizerJsonSpec(Specification):
    """Any `tokenizer.json` of Hugging Face's `tokenizers`."""

    kind: Literal["tokenizer_json"]
    file: PinnedFile

    def build(self, inputs: Inputs) -> tuple[Tokenizer, list[str]]:
        data = inputs.read(self.file).decode("utf-8")
        return HuggingFaceTokenizer(data, self.end_of_text, where=inputs.where(self.file)), []
