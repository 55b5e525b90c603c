"""Tokenizers of every kind beside an exported model: `AutoTokenizer` gives end-of-text and then our own ids."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.tokenization import load_tokenizer
from trainer.errors import ExportError
from trainer.export.tokenizer import export_tokenizer

pytest.importorskip("transformers")
TEXTS = ["two  spaces\tand\nlines", " leading and trailing ", "Привет 世界 \U0001f600", "", "1234 don't"]


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece_bpe", "sentencepiece_unigram"])
def test_every_text_begins_with_end_of_text(build: Callable[..., Path], kind: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = build("any", kind=kind, vocab_size=316)
    (tmp_path / "out").mkdir()
    export_tokenizer(folder, 77, tmp_path / "out")
    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(tmp_path / "out")
    for text in TEXTS:
        assert theirs(text).input_ids == [ours.eot_id, *ours.encode(text)]
    assert set(theirs("two")) == {"input_ids", "attention_mask"}
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (ours.eot_id,) * 3
    assert theirs.model_max_length == 77


@pytest.mark.parametrize("adds", ["offsets", "its own tokens"])
def test_what_a_published_tokenizer_would_add_is_replaced(
    build: Callable[..., Path], adds: str, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer, processors

    folder = build("any")
    published = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if adds == "offsets":
        published.post_processor = processors.ByteLevel(trim_offsets=True)
    else:
        published.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|> <|endoftext|>", special_tokens=[("<|endoftext|>", 319)]
        )
    (folder / "tokenizer.json").write_text(published.to_str())
    (tmp_path / "out").mkdir()
    export_tokenizer(folder, 77, tmp_path / "out")
    written = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    ours = load_tokenizer(folder)
    assert written.encode("the fox").ids == [ours.eot_id, *ours.encode("the fox")]


@pytest.mark.parametrize(("file", "content"), [("squeeze_tokenizer.json", "[]"), ("tokenizer.json", "{")])
def test_a_damaged_folder_is_named(build: Callable[..., Path], file: str, content: str, tmp_path: Path) -> None:
    folder = build("any")
    (folder / file).write_text(content)
    with pytest.raises(ExportError, match=file):
        export_tokenizer(folder, 77, tmp_path)
    (folder / "squeeze_tokenizer.json").write_text(json.dumps({"eot_id": 1}))
    with pytest.raises(ExportError, match="end_of_text"):
        export_tokenizer(folder, 77, tmp_path)
