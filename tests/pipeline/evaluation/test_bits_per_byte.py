"""Bits per byte: exact laws, every byte counted whatever the tokenizer, and the yardsticks on the same text."""

import gzip
import lzma
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assets.metadata import table
from pipeline.base.errors import EvaluationError
from pipeline.curation.doc_ids import doc_id
from pipeline.evaluation.heldout import Heldout, encode_exactly, read_heldout, training_prefix
from pipeline.evaluation.loading import Scorer
from pipeline.evaluation.scores.scorecard import build_scorecard
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite, evaluate_bits_per_byte
from pipeline.evaluation.suites.scored_documents import DOCUMENTS_FILE

EMOJI = "A family 👨‍👩‍👧‍👦 waves 🏴󠁧󠁢󠁳󠁣󠁴󠁿 and says <|endoftext|> ¡olé! \u0000 नमस्ते\r\n\ttabs"


class Uniform(torch.nn.Module):
    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size

    def hidden(self, ids_BT: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*ids_BT.shape, 1)

    def logits(self, hidden_NC: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*hidden_NC.shape[:-1], self.vocab_size)


@pytest.fixture
def uniform(scorer) -> Scorer:
    return Scorer(Uniform(384), scorer.tokenizer, context=16)


CORPORA = {
    "books": [("The fox and the dog. " * 30, "en", "a"), (EMOJI, "en", "b"), ("Le renard et le chien.", "fr", "c")],
    "web": [("Water boils when it is heated. " * 10, "en", "d")],
}


def test_a_uniform_model_scores_log2_of_the_vocabulary_times_tokens_over_bytes(uniform, heldout, tmp_path):
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), {}, BitsPerByteSuite(), tmp_path)
    for row in result.details.rows:
        assert row.bits_per_byte == pytest.approx(math.log2(384) * row.tokens / row.bytes, rel=1e-6)
        assert row.end_of_text_bits == pytest.approx(math.log2(384), rel=1e-6)


def test_rows_are_corpora_their_languages_and_all_english_and_bytes_add_up(uniform, heldout, tmp_path):
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), {}, BitsPerByteSuite(), tmp_path)
    rows = {row.name: row for row in result.details.rows}
    assert set(rows) == {"books", "books/en", "books/fr", "web", "english"}
    size = {corpus: sum(len(text.encode()) for text, *_ in documents) for corpus, documents in CORPORA.items()}
    assert rows["books"].bytes == size["books"] == rows["books/en"].bytes + rows["books/fr"].bytes
    assert rows["english"].bytes == rows["books/en"].bytes + size["web"]
    assert sum(pq.read_table(tmp_path / DOCUMENTS_FILE)["bytes"].to_pylist()) == sum(size.values())
    assert [score.task for score in result.scores] == list(rows)


def test_compressors_see_the_very_same_bytes(uniform, heldout, tmp_path):
    training = {"web": lambda: iter([(b"id", "Water boils when it is heated, said the man. ", "en")] * 50)}
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), training, BitsPerByteSuite(), tmp_path)
    row = next(row for row in result.details.rows if row.name == "web")
    text = CORPORA["web"][0][0].encode()
    assert row.compressors["gzip"] == 8 * len(gzip.compress(text, 9)) / len(text)
    assert row.compressors["xz"] == 8 * len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)) / len(text)
    assert row.compressors["xz_primed"] < row.compressors["xz"]
    assert row.compressors["zstd_primed"] < row.compressors["zstd"]
    assert "xz -9e after training text" in result.details.table()[-1]


def test_a_language_that_the_priming_text_lacks_has_no_primed_figure_and_reads_as_empty(uniform, heldout, tmp_path):
    training = {"books": lambda: iter([(b"id", "The fox sleeps in the sun by the river. ", "en")] * 50)}
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), training, BitsPerByteSuite(), tmp_path)
    rows = {row.name: row.compressors for row in result.details.rows}
    assert "xz_primed" in rows["books/en"]
    assert set(rows["books/fr"]) == set(rows["web"]) == {"gzip", "xz", "zstd"}
    shown = {record.data["text"]: record.data for record in table(result.details.table()).records}  # a row a figure
    assert shown["xz -9e after training text"]["books/fr"] == ""
    assert shown["xz -9e after training text"]["books/en"] == f"{rows['books/en']['xz_primed']:.4f}"
    card = build_scorecard({"bits_per_byte": tmp_path}, {}, tmp_path)
    beside = {row.task: [item.name for item in row.comparisons] for row in card.rows}
    assert beside["books/fr"] == ["gzip -9", "xz -9e", "zstd -19"]
    assert "xz -9e after training text" in beside["books/en"]


def test_the_result_is_the_same_again_byte_for_byte(scorer, heldout, tmp_path):
    folders = heldout(CORPORA)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (
        evaluate_bits_per_byte(scorer, folders, {}, BitsPerByteSuite(batch_tokens=tokens), tmp_path / name)
        for name, tokens in (("a", 4096), ("b", 4096))
    )
    assert first.content_hash == second.content_hash
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@settings(deadline=None, max_examples=50)
@given(text=st.text(min_size=1, max_size=80))
def test_every_text_of_any_characters_comes_back_byte_for_byte(scorer, text):
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return
    (ids,) = encode_exactly(scorer.tokenizer, Heldout("any", [text], ["en"], [size]))
    assert scorer.tokenizer.decode_bytes(ids) == text.encode()
    assert scorer.eot_id not in ids


def test_a_tokenizer_that_loses_text_is_refused_naming_the_document_and_the_place(scorer):
    class Lossy:
        def encode_arrow(self, texts):
            return scorer.tokenizer.encode_arrow(texts)

        def decode_bytes(self, ids):
            return scorer.tokenizer.decode_bytes(ids).replace(b"  ", b" ")

    heldout = Heldout("books", ["fine", "two  spaces"], ["en", "en"], [4, 11])
    with pytest.raises(EvaluationError, match=r"document 1 of heldout/books .* first difference is at byte 4"):
        encode_exactly(Lossy(), heldout)


def test_a_file_whose_byte_counts_are_wrong_is_refused(uniform, heldout, tmp_path):
    folders = heldout(CORPORA)
    path = folders["web"] / "heldout.parquet"
    table = pq.read_table(path)
    column = table.schema.get_field_index("bytes")
    pq.write_table(table.set_column(column, "bytes", [[1]]), path)
    with pytest.raises(EvaluationError, match=r"document 0 says it has 1 bytes, its text has 310"):
        evaluate_bits_per_byte(uniform, folders, {}, BitsPerByteSuite(), tmp_path)


def test_a_corpus_without_held_out_documents_is_refused(uniform, heldout, tmp_path):
    with pytest.raises(EvaluationError, match="holds no documents"):
        evaluate_bits_per_byte(uniform, heldout({"books": []}), {}, BitsPerByteSuite(), tmp_path)


def test_a_corpus_without_held_out_documents_is_left_out_with_a_note_where_others_have_some(uniform, heldout, tmp_path):
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA | {"empty": []}), {}, BitsPerByteSuite(), tmp_path)
    assert {row.corpus for row in result.details.rows} == {"books", "web", "english"}
    ((_, note),) = result.details.remarks()
    assert note.startswith("heldout/empty holds no documents: raise the held-out share of empty")


DOCUMENTS = [(f"{lang} text {number}. " * 4, lang) for lang in ("en", "fr", "th") for number in range(30)]
"""As a source has them that is read language after language."""


def test_a_part_of_the_held_out_text_is_of_all_languages_and_the_same_in_whatever_order_they_lie(heldout):
    ids = {text: doc_id(text.encode()) for text, _ in DOCUMENTS}
    chosen = []
    for order in (DOCUMENTS, DOCUMENTS[::-1]):
        (folder,) = heldout({f"c{len(chosen)}": [(text, lang, "g") for text, lang in order]}).values()
        path = folder / "heldout.parquet"
        table = pq.read_table(path)
        column = pa.array([ids[text] for text in table["text"].to_pylist()], pa.binary(16))
        pq.write_table(table.set_column(0, "doc_id", column), path)
        chosen.append(read_heldout("c", folder, 1000))
    first, again = chosen
    assert set(first.languages) == {"en", "fr", "th"}
    assert sorted(first.texts) == sorted(again.texts)
    assert 1000 <= first.total_bytes < 1000 + max(first.bytes)
    assert [text for text, _ in DOCUMENTS if text in first.texts] == first.texts


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.text("ab€", min_size=1, max_size=9), st.sampled_from(["en", "fr"])), max_size=30),
    st.integers(0, 80),
)
def test_priming_text_is_what_has_the_smallest_ids_cut_and_in_the_corpuss_order(documents, most):
    with_ids = [(doc_id(f"{n}{text}".encode()), text, lang) for n, (text, lang) in enumerate(documents)]
    prefix = training_prefix({"books": lambda: iter(with_ids)}, "books", most)
    left, taken, wanted = most, {}, {}
    for doc, text, _ in sorted(with_ids):
        taken[doc] = text.encode()[:left]
        left -= len(taken[doc])
    for doc, _, lang in with_ids:
        if taken[doc]:
            wanted[lang] = wanted.get(lang, b"") + taken[doc]
    assert prefix.languages == wanted
    assert prefix.corpus_bytes == (sum(len(text.encode()) for text, _ in documents) if most else 0)


def test_compressors_that_saw_a_part_of_the_training_text_say_so(uniform, heldout, tmp_path):
    training = {"web": lambda: iter([(bytes([n]), "Water boils when it is heated. ", "en") for n in range(50)])}
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), training, BitsPerByteSuite(prime_bytes=310), tmp_path)
    primed = {row.name: row.primed_with_bytes for row in result.details.rows}
    assert primed == {"books": 0, "books/en": 0, "books/fr": 0, "web": 310, "english": 310}
    ((_, note),) = result.details.remarks()
    assert note == "compressors were given 310 B of web's 1.6 kB of training text"


def test_all_english_is_primed_with_an_equal_share_of_each_corpus(uniform, heldout, tmp_path):
    training = {
        name: lambda text=text: iter([(bytes([n]), text, "en") for n in range(50)])
        for name, text in (("books", "The fox and the dog. "), ("web", "Water boils when it is heated. "))
    }
    result = evaluate_bits_per_byte(uniform, heldout(CORPORA), training, BitsPerByteSuite(prime_bytes=1000), tmp_path)
    primed = {row.name: row.primed_with_bytes for row in result.details.rows}
    assert (primed["books"], primed["web"], primed["english"]) == (1000, 1000, 1000)
