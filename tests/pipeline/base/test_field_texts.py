"""The texts under settings' fields are found, on one line, those of a base class included."""

from pipeline.base.field_texts import field_texts
from pipeline.base.settings import Settings


class Reader(Settings):
    path: str
    """Where it
    reads."""
    quiet: bool = False
    workers: int = 1
    """How many."""


class Writer(Reader):
    workers: int = 2
    """How many write."""


def test_a_field_has_the_text_under_it_on_one_line_and_none_where_there_is_none():
    assert field_texts(Reader) == {"path": "Where it reads.", "workers": "How many."}


def test_a_class_has_the_texts_of_its_base_under_its_own():
    assert field_texts(Writer) == {"path": "Where it reads.", "workers": "How many write."}
