"""`training.teacher`: models of the store as inputs of another model, in its fingerprint, its lineage and its run."""

import logging
from types import SimpleNamespace

import pytest

from pipeline.assets.stored_asset import Build
from pipeline.assets.teachers import taught_by, teachers_in
from pipeline.assets.training import Training, run_config
from pipeline.base.errors import SqueezeError, StoreError
from pipeline.profile.profile import load_profile
from pipeline.store import Built, Store
from pipeline.tokenization.choosing.choice import ChoiceSummary
from trainer.config import TrainingConfig


def opened(root, profile, run_id=None):
    store = Store(root, profile).open()
    return store.for_run(run_id) if run_id else store


def trained(store, weights, *, tokenizer="bpe", teachers=()):
    """A model of a profile, and the tokenizer that it is of; its teachers by name."""

    def made(key, content, inputs):
        def build(out):
            (out / "data.txt").write_text(content)
            return Built(content)

        return store.ensure(key, code_version="1", identity={"of": content}, inputs=inputs, build=build).artifact

    inputs = {"tokenizer": made("tokenizer", tokenizer, {})} | teachers_in(store, teachers)
    return made("model", weights, inputs)


@pytest.fixture
def root(tmp_path):
    trained(opened(tmp_path / "store", "large"), "weights of the large one")
    return tmp_path / "store"


def test_a_teacher_is_named_by_its_profile_or_its_fingerprint(root):
    student = opened(root, "student")
    large = opened(root, "large").current("model")
    other = trained(opened(root, "other"), "other weights")
    found = teachers_in(student, ["large", other.fingerprint[:8]])
    assert {label: item.fingerprint for label, item in found.items()} == {
        "teacher/1": large.fingerprint,
        "teacher/2": other.fingerprint,
    }


def test_a_name_of_no_other_model_is_refused_with_those_there_are(root):
    student = opened(root, "student")
    with pytest.raises(StoreError, match=r"has no model of lrge; it has those of large: train it first"):
        teachers_in(student, ["lrge"])
    with pytest.raises(StoreError, match="student is this profile itself"):
        teachers_in(student, ["student"])


def test_the_teacher_decides_what_the_student_is_and_is_its_ancestor(root):
    student = opened(root, "student")
    plain, taught = trained(student, "a"), trained(student, "a", teachers=["large"])
    assert plain.fingerprint != taught.fingerprint
    assert opened(root, "large").current("model").fingerprint in student.ancestry(taught)
    trained(opened(root, "large"), "weights of the next large one")
    assert trained(student, "a", teachers=["large"]).fingerprint not in (plain.fingerprint, taught.fingerprint)


def test_a_taught_model_becomes_current_beside_an_earlier_one_of_its_profile(root, caplog):
    """The teacher is a model as well, and another than the profile's: that is no other run at work."""
    trained(opened(root, "student"), "untaught")
    run = opened(root, "student", "a run")
    run.look_ahead(["tokenizer", "model"])
    with caplog.at_level(logging.WARNING):
        taught = trained(run, "taught", teachers=["large"])
    assert "another run" not in caplog.text
    assert opened(root, "student").current("model").fingerprint == taught.fingerprint


def test_a_teacher_of_another_tokenizer_is_refused(root):
    inputs = teachers_in(opened(root, "student"), ["large"])
    same, other = (SimpleNamespace(content_hash=content) for content in ("bpe", "unigram"))
    assert len(taught_by({**inputs, "tokenizer": same})) == 1
    with pytest.raises(SqueezeError, match=r"of the profile large was trained with the tokenizer bpe, this .* unigram"):
        taught_by({**inputs, "tokenizer": other})


def test_the_run_gets_the_teachers_folders(root, tmp_path):
    sample = load_profile("sample")
    settings = Training(sample.model, TrainingConfig.from_dict({"teacher": "large", "teacher_weight": 0.7}))
    choice = ChoiceSummary("bpe", "bpe", "the only one", vocab_size=512, eot_id=0, dtype="uint16")
    shards = SimpleNamespace(path=tmp_path / "shards", content_hash="s")
    inputs = teachers_in(opened(root, "student"), settings.training.teacher) | {
        "tokenizer": SimpleNamespace(content_hash="bpe", path=tmp_path, summary_as=lambda kind: choice),
        "shards/epoch_001": shards,
        "validation": SimpleNamespace(path=tmp_path, summary_as=lambda kind: SimpleNamespace(sources={})),
    }
    run = run_config(Build(tmp_path / "out", inputs, settings, None, None), 1, packed=False)
    (folder,) = run.data.teachers
    assert (tmp_path / "out" / folder).resolve() == inputs["teacher/1"].path.resolve()
    assert run.training.teacher == ("large",)
    assert run.training.identity()["teacher_weight"] == 0.7
    assert "teacher" not in run.training.identity()
