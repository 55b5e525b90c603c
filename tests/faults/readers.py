"""Every reader of the project's own files and of what people give it, by name.

A new reader is a line of `READERS` in the module of its kind. Sound files are those of a finished tiny project; what no
project of that size has (a checkpoint, a sentencepiece tokenizer, items) is made on the spot.
"""

from __future__ import annotations

from typing import Final

from tests.faults import model_readers, source_readers, store_readers, text_readers
from tests.faults.reader import Reader

READERS: Final[dict[str, Reader]] = (
    store_readers.READERS | text_readers.READERS | model_readers.READERS | source_readers.READERS
)
