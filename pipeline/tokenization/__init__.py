"""Tokenizers: specifications, training and loading, comparison, choice, and encoding at memory speed.

`load_tokenizer(folder)` gives the one interface over every kind. What the assets call is `build_mixture` and
`build_tokenizer` in `training/`, `compare_tokenizers` and `select_tokenizer` in `choosing/`, and `encode_corpus` in
`corpus_tokens/`; docs/tokenizers.md names file and type at every step.
"""

from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import is_tokenizer, load_tokenizer

__all__ = ["Tokenizer", "is_tokenizer", "load_tokenizer"]
