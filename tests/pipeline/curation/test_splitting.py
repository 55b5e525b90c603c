"""Long documents cut into pieces: bounded, at the best boundary, and nothing but blanks is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.documents import DOCUMENTS_VERSION
from pipeline.curation.text.splitting import split_document


@given(st.text(alphabet="ab é漢\n.", max_size=3000), st.integers(256, 600))
def test_pieces_are_bounded_and_lose_only_blanks(text: str, limit: int) -> None:
    pieces = split_document(text, limit)
    assert all(len(piece.encode()) <= limit for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_long_book_is_cut_at_paragraphs() -> None:
    paragraphs = [f"Paragraph {number}. " + "word " * 30 for number in range(50)]
    pieces = split_document("\n\n".join(paragraphs), 1000)
    assert all(piece.startswith("Paragraph") for piece in pieces)


def test_a_document_without_any_boundary_is_cut_between_characters() -> None:
    pieces = split_document("漢" * 1000, 256)
    assert "".join(pieces) == "漢" * 1000


def test_words_that_a_zero_width_space_parts_stay_whole() -> None:
    words = ["คำ", "ว่า", "ของ"] * 60
    pieces = split_document("\u200b".join(words), 300)
    assert [word for piece in pieces for word in piece.split("\u200b")] == words


def test_where_documents_are_cut_moves_only_with_the_version_of_documents() -> None:
    sentences = [f"Sentence {number} is one of {number % 7} words{'!?.…'[number % 4]}" for number in range(60)]
    text = "\n\n".join(" ".join(sentences[start : start + 20]) for start in range(0, 60, 20)) + "\nend" * 80 + "x" * 600
    lengths = [len(piece) for piece in split_document(text, 400)]
    assert (DOCUMENTS_VERSION, lengths) == ("3", [392, 216, 371, 247, 371, 395, 400, 371])
