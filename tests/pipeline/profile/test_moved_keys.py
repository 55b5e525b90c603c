"""A key that has moved is answered with its new place."""

import pytest

from pipeline.base.errors import ProfileError
from pipeline.profile import profile
from pipeline.profile.moved_keys import MOVED
from trainer.mistakes import new_place

TABLE = {"training.lr": "training.optimizer.lr", "corpora.*.words": "corpora.*.filters.minimum_words"}


def test_a_place_is_found_by_its_whole_path_and_keeps_the_names_that_stars_stand_for():
    assert new_place(["training", "lr"], TABLE) == "training.optimizer.lr"
    assert new_place(["corpora", "books", "words"], TABLE) == "corpora.books.filters.minimum_words"
    assert new_place(["training"], TABLE) is None
    assert new_place(["training", "lr", 0], TABLE) is None


def test_a_profile_with_a_moved_key_is_told_where_to_write_it(tmp_path, monkeypatch):
    monkeypatch.setattr(profile, "MOVED", TABLE)
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: sample\ncorpora:\n  books:\n    words: 3\n")
    with pytest.raises(ProfileError, match=r"line 4: corpora.books.words: this key has moved: write corpora"):
        profile.load_profile(str(mine))


def test_every_key_of_the_flat_training_section_is_told_its_group(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: sample\ntraining:\n  optimizer: muon\n  learning_rate: 0.01\n  warmup_steps: 3\n")
    with pytest.raises(ProfileError) as caught:
        profile.load_profile(str(mine))
    for line, old, new in (
        (3, "optimizer", "optimizer.kind"),
        (4, "learning_rate", "optimizer.learning_rate"),
        (5, "warmup_steps", "schedule.warmup_steps"),
    ):
        assert f"line {line}: training.{old}: this key has moved: write training.{new}\n" in f"{caught.value}\n"


def test_an_arm_that_changes_a_flat_training_key_is_told_its_group(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "extends: study\nstudy: {arms: {old: {change: {training.schedule: wsd, training.betas: [0, 0]}}}}\n"
    )
    with pytest.raises(ProfileError) as caught:
        profile.load_profile(str(mine))
    for old, new in (("schedule", "schedule.kind"), ("betas", "optimizer.betas")):
        assert f"study.arms.old.change: training.{old}: this key has moved: write training.{new}" in str(caught.value)


def test_no_new_place_is_an_old_one():
    assert not MOVED.keys() & set(MOVED.values())
