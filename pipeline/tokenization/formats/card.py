"""`squeeze_tokenizer.json`, the card of a tokenizer's folder: what it is, and the specification it came from.

In: the facts. Out: the file, and the facts read back. It is written last, so a folder with a card is a whole tokenizer.
The trainer's export, which runs without the pipeline, reads `eot_id` of it by itself; all others go through here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Self

from pipeline.base.errors import TokenizerError
from pipeline.base.files import write_text
from trainer.records import check, read_json, reason

CARD_NAME: Final = "squeeze_tokenizer.json"
FORMAT: Final = "squeeze-tokenizer"
VERSION: Final = 1
AGAIN: Final = "build the tokenizer again"


@dataclass(frozen=True)
class TokenizerCard:
    """Everything the card says."""

    kind: str
    """Which encoder reads the folder: a key of `pipeline.tokenization.folder.ENCODERS`."""
    vocab_size: int
    eot_id: int
    end_of_text: str
    dtype: str
    content_hash: str
    spec: dict[str, Any]
    """The specification's identity."""
    details: dict[str, str] = field(default_factory=dict)
    """What this kind alone needs to read its files; in the file they stand beside the rest."""

    def write(self, folder: Path) -> None:
        """Write the card into the tokenizer's folder."""
        facts = asdict(self)
        record = {"format": FORMAT, "version": VERSION, **facts.pop("details"), **facts}
        write_text(folder / CARD_NAME, json.dumps(record, indent=2, ensure_ascii=False, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The card of a folder. Raises TokenizerError where there is none, or of another format or newer version."""
        path = folder / CARD_NAME
        if not path.is_file():
            raise TokenizerError(f"{folder} holds no tokenizer: there is no {CARD_NAME}")
        try:
            record = read_json(path, TokenizerError, what="a tokenizer's card", cure=AGAIN)
            kind, version = record.pop("format"), record.pop("version")
            if kind != FORMAT or version > VERSION:
                raise TokenizerError(
                    f"{path} is {kind!r} version {version}; this release reads {FORMAT} up to version {VERSION}. Build "
                    "the tokenizer again, or use the release that wrote it."
                )
            facts = {field.name: record.pop(field.name) for field in fields(cls) if field.name != "details"}
            return check(cls, {**facts, "details": record})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenizerError(f"{path}: not a tokenizer's card ({reason(error)}); {AGAIN}") from None
