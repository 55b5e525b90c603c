"""Any tokenizer.json: the library's own ids, special tokens' text as ordinary text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from pipeline.base.errors import TokenizerError
from pipeline.tokenization import Tokenizer as SqueezeTokenizer
from pipeline.tokenization import load_tokenizer
from pipeline.tokenization.encoders.hugging_face import HuggingFaceTokenizer
from pipeline.tokenization.formats.byte_level_vocabulary import from_characters
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer

TEXTS = ["", "tin soldier <eot> sings", "<eot><pad>", "élan 世界 \U0001f600 12", "<tool>x"]
CORPUS = ["the tin soldier sings to the old wolf", "the hens sing too <eot>", "élan vital"] * 3


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eot>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("<tool>")])
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=80, special_tokens=["[UNK]", "[SEP]"], show_progress=False)
    )
    return tokenizer


def load(tmp_path: Path, tokenizer: Tokenizer, end_of_text: str) -> SqueezeTokenizer:
    data = tokenizer.to_str().encode()
    (tmp_path / "any.json").write_bytes(data)
    source = {"path": "any.json", "sha256": hashlib.sha256(data).hexdigest()}
    spec = parse_spec({"kind": "tokenizer_json", "file": source, "end_of_text": end_of_text}, where="x")
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    build_tokenizer("x", spec, out, cache=tmp_path, folder=tmp_path)
    return load_tokenizer(out)


def test_a_byte_level_file_keeps_its_ids_and_its_special_tokens_to_itself(tmp_path: Path) -> None:
    original = byte_level()
    tokenizer = load(tmp_path, original, "<eot>")
    assert (tokenizer.eot_id, tokenizer.vocab_size) == (0, original.get_vocab_size())
    original.encode_special_tokens = True
    expected = [original.encode(text).ids for text in TEXTS]
    assert [tokenizer.encode(text) for text in TEXTS] == expected
    assert tokenizer.encode_arrow(pa.array(TEXTS)).to_pylist() == expected
    assert not any({0, 1} & set(ids) for ids in expected)
    assert (
        original.token_to_id("<tool>") in expected[-1]
    )  # an added token that is not special is part of the vocabulary
    assert [tokenizer.decode(ids) for ids in expected] == TEXTS
    assert tokenizer.decode_arrow(tokenizer.encode_arrow(pa.array(TEXTS))).to_pylist() == [t.encode() for t in TEXTS]
    table = tokenizer.token_bytes()
    assert table is not None
    assert b"".join(table[i] for i in expected[1]) == TEXTS[1].encode()


def test_templates_truncation_and_padding_are_left_out(tmp_path: Path) -> None:
    original = byte_level()
    original.post_processor = processors.TemplateProcessing(single="<eot> $A", special_tokens=[("<eot>", 0)])
    original.enable_truncation(3)
    original.enable_padding()
    tokenizer = load(tmp_path, original, "<eot>")
    plain = load(tmp_path, byte_level(), "<eot>")
    assert tokenizer.encode(TEXTS[1]) == plain.encode(TEXTS[1])
    assert tokenizer.encode_arrow(pa.array(TEXTS)).to_pylist() == plain.encode_arrow(pa.array(TEXTS)).to_pylist()


def test_a_kind_the_fast_path_does_not_take_uses_the_reference(tmp_path: Path) -> None:
    tokenizer = load(tmp_path, word_piece(), "[SEP]")
    assert tokenizer.encode_arrow(pa.array(["The tin soldier"])).to_pylist() == [tokenizer.encode("The tin soldier")]
    assert tokenizer.bulk_path.startswith("reference (tokenizers ")
    assert tokenizer.token_bytes() is None
    assert tokenizer.decode(tokenizer.encode("The tin soldier")) == "the tin soldier"


def test_a_file_without_the_end_of_text_token_is_refused_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"no end-of-text token '</s>'.*special tokens \(<eot>, <pad>\)"):
        load(tmp_path, byte_level(), "</s>")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    class Wrong:
        def to_str(self) -> str:
            return json.dumps({"model": {}})

    with pytest.raises(TokenizerError, match=r"any\.json is not a tokenizer\.json"):
        load(tmp_path, Wrong(), "</s>")  # type: ignore[arg-type]


def test_decoding_works_the_bytes_of_the_vocabulary_out_once_and_not_at_every_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.tokenization.encoders import hugging_face

    worked_out: list[str] = []

    def counted(token: str) -> bytes:
        worked_out.append(token)
        return from_characters(token)

    monkeypatch.setattr(hugging_face, "from_characters", counted)
    tokenizer = load(tmp_path, byte_level(), "<eot>")
    ids = [tokenizer.encode(text) for text in TEXTS]
    assert [tokenizer.decode(row) for row in ids] == TEXTS
    assert len(worked_out) > 256
    once = len(worked_out)
    lists = pa.array(ids, pa.large_list(pa.uint16()))
    for _ in range(2):
        assert tokenizer.decode_arrow(lists).to_pylist() == [text.encode() for text in TEXTS]
        tokenizer.decode(ids[1])
    assert len(worked_out) == once
    table = tokenizer.token_bytes()
    assert table is not None
    table[0] = b"changed"  # a copy: what it hands out is nobody's to break
    assert tokenizer.token_bytes()[0] != b"changed"  # type: ignore[index]


def test_a_file_on_which_the_library_panics_is_refused_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        """As pyo3 has it."""

    def panics(data: str) -> Tokenizer:
        raise PanicException("range end index 9 out of range")

    monkeypatch.setattr(Tokenizer, "from_str", staticmethod(panics))
    with pytest.raises(TokenizerError, match="range end index 9"):
        HuggingFaceTokenizer("{}", "<eot>")

    def interrupted(data: str) -> Tokenizer:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tokenizer, "from_str", staticmethod(interrupted))
    with pytest.raises(KeyboardInterrupt):
        HuggingFaceTokenizer("{}", "<eot>")
