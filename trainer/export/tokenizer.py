"""The tokenizer of an exported model: its files, told to read a text as the model was trained to.

In: a tokenizer's folder and the model's context. Out: its files in the export. `AutoTokenizer` alone then begins every
text with end-of-text, as every document began that the model has seen; pads with it, on the left, where a batch is
gone on with; truncates to the context; and returns nothing that a model's `forward` would take for something else.
The tokenizer's own folder stays as it is: it serves models of any context.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from trainer.errors import ExportError
from trainer.files import write_json
from trainer.records import read_json

CARD: Final = "squeeze_tokenizer.json"
PLAIN_FILES: Final = ("special_tokens_map.json", "tokenizer.model")
_OFFSETS: Final = "ByteLevel"
"""The one post-processor that adds no token; it trims offsets."""


@dataclass(frozen=True)
class EndOfText:
    """The token that opens every document."""

    id: int
    text: str


def end_of_text(folder: Path) -> EndOfText:
    """What the tokenizer's card says. Raises `ExportError` where it has none or it cannot be read."""
    card = _read(folder / CARD)
    try:
        return EndOfText(int(card["eot_id"]), str(card["end_of_text"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(
            f"{folder / CARD}: it does not say eot_id and end_of_text ({error!r}); give a tokenizer's folder"
        ) from None


def export_tokenizer(folder: Path, context: int, out: Path) -> None:
    """Write the tokenizer's files into `out`. Raises `ExportError` for one that cannot be read."""
    opening = end_of_text(folder)
    for name in PLAIN_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    if not (folder / "tokenizer.json").is_file():  # a sentencepiece model that `tokenizers` has no form for
        return
    tokenizer = dict(_read(folder / "tokenizer.json"))
    tokenizer["post_processor"] = _opened_by(opening, tokenizer.get("post_processor"))
    write_json(out / "tokenizer.json", tokenizer)
    written = folder / "tokenizer_config.json"
    config: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    config |= _read(written) if written.is_file() else {}
    config |= dict.fromkeys(("bos_token", "eos_token", "pad_token"), opening.text)
    config |= {"model_max_length": context, "padding_side": "left", "add_bos_token": True}
    config["model_input_names"] = ["input_ids", "attention_mask"]  # GPT-2's class would embed token_type_ids
    write_json(out / "tokenizer_config.json", config, indent=2)


def _opened_by(opening: EndOfText, given: Any) -> dict[str, Any]:
    """A post-processor that puts end-of-text before a text, in place of one that would add other tokens."""
    first = {"SpecialToken": {"id": opening.text, "type_id": 0}}
    texts = [{"Sequence": {"id": name, "type_id": 0}} for name in ("A", "B")]
    template = {
        "type": "TemplateProcessing",
        "single": [first, texts[0]],
        "pair": [first, *texts],
        "special_tokens": {opening.text: {"id": opening.text, "ids": [opening.id], "tokens": [opening.text]}},
    }
    if isinstance(given, Mapping) and given.get("type") == _OFFSETS:
        return {"type": "Sequence", "processors": [dict(given), template]}
    return template


def _read(path: Path) -> Mapping[str, Any]:
    values = read_json(path, ExportError, what="a tokenizer's file", cure="give a tokenizer's folder")
    if not isinstance(values, dict):
        raise ExportError(f"{path}: no JSON object; give a tokenizer's folder")
    return values
