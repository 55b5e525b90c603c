"""A key that has moved is answered with its new place."""

import pytest

from pipeline.base.errors import ProfileError
from pipeline.profile import profile
from pipeline.profile.moved_keys import MOVED, new_place

TABLE = {"training.lr": "training.optimizer.lr", "corpora.*.words": "corpora.*.filters.minimum_words"}


def test_a_place_is_found_by_its_whole_path_and_keeps_the_names_that_stars_stand_for():
    assert new_place(["training", "lr"], TABLE) == "training.optimizer.lr"
    assert new_place(["corpora", "books", "words"], TABLE) == "corpora.books.filters.minimum_words"
    assert new_place(["training"], TABLE) is None
    assert new_place(["training", "lr", 0], TABLE) is None


def test_a_profile_with_a_moved_key_is_told_where_to_write_it(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "new_place", lambda path: new_place(path, TABLE))
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: sample\ncorpora:\n  books:\n    words: 3\n")
    with pytest.raises(ProfileError, match=r"line 4: corpora.books.words: this key has moved: write corpora"):
        profile.load_profile(str(mine))


def test_no_new_place_is_an_old_one():
    assert not MOVED.keys() & set(MOVED.values())
