"""Tokenizers: specifications, training and loading, comparison, choice, and encoding at memory speed.

`load_tokenizer(folder)` gives the one interface over every kind; the stages are `build_mixture`, `build_tokenizer`,
`compare_tokenizers`, `select_tokenizer` and `encode_corpus`, each in the module of its name.
"""

from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import is_tokenizer, load_tokenizer

__all__ = ["Tokenizer", "is_tokenizer", "load_tokenizer"]
