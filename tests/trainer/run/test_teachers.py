"""A run that learns from finished runs: nearer to them than by text, counted whole, resumable, refused in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from in_process import StopAfter, go  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from tiny_shards import VOCABULARY, documents, write_epoch  # noqa: E402

from trainer.data.shards import TokenizerRef  # noqa: E402
from trainer.errors import CheckpointError, ConfigError  # noqa: E402
from trainer.run.trained_model import load_model  # noqa: E402

TAUGHT = {"max_steps": 30, "optimizer": {"kind": "muon", "learning_rate": 0.02}}


def out_of(run: Path) -> Path:
    return run.with_suffix("")


def taught_by(run: Path, *teachers: Path) -> Path:
    """The run's file, with teachers."""
    values = json.loads(run.read_text())
    values["data"]["teachers"] = [str(out_of(teacher)) for teacher in teachers]
    run.write_text(json.dumps(values))
    return run


@pytest.fixture
def teacher(make_run: Any) -> Path:
    run: Path = make_run("teacher", {"width": 48, "heads": 3}, max_steps=40)
    go(run)
    return run


def divergence(student: Path, teacher: Path) -> float:
    """Mean KL from the teacher's distribution to the student's, over text that neither was trained on."""
    text = torch.tensor([document[:17] for document in documents(40, seed=9) if len(document) > 17])
    with torch.no_grad():
        p, q = (load_model(out_of(run))(text).log_softmax(-1) for run in (teacher, student))
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_a_student_of_nothing_but_its_teacher_comes_nearer_to_it_than_one_of_text(make_run: Any, teacher: Path) -> None:
    text, taught = make_run("text", **TAUGHT), taught_by(make_run("taught", teacher_weight=1.0, **TAUGHT), teacher)
    go(text)
    go(taught)
    assert divergence(taught, teacher) < 0.7 * divergence(text, teacher)


def test_teachers_are_counted_whole(make_run: Any, teacher: Path) -> None:
    one = json.loads((out_of(teacher) / "summary.json").read_text())
    student = go(taught_by(make_run("student", max_steps=3), teacher, teacher))
    pupil = go(taught_by(make_run("pupil", max_steps=2), make_run("student")))
    forward = load_model(out_of(teacher)).flops_per_token() / 3
    assert student.flops == pytest.approx(3 * 128 * (student.flops_per_token + 2 * forward))
    assert [record.content_hash for record in student.teachers] == [one["content_hash"]] * 2
    assert student.whole_flops == student.flops + 2 * one["flops"]
    assert student.whole_device_hours == pytest.approx(student.device_hours + 2 * one["device_hours"])
    assert pupil.whole_flops == pupil.flops + student.whole_flops  # a chain is as dear as all of its links


def test_a_taught_run_resumes_to_the_bit_and_with_no_other_teacher(make_run: Any, teacher: Path) -> None:
    settings = {"max_steps": 9, "teacher_temperature": 2.0, "schedule": {"context_divisors": [2]}}
    whole, parts = (taught_by(make_run(name, **settings), teacher) for name in ("whole", "parts"))
    go(whole)
    go(parts, StopAfter(4))
    other = make_run("other", max_steps=2)
    go(other)
    with pytest.raises(CheckpointError, match=r"learned from other teachers \(\w{12} there, \w{12} here\)"):
        go(taught_by(parts, other))
    assert go(taught_by(parts, teacher)).resumed_from == [4]
    one, two = (load_file(out_of(run) / "model.safetensors") for run in (whole, parts))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not (one.keys() - load_file(out_of(teacher) / "model.safetensors").keys())


def test_a_teacher_that_cannot_be_one_is_refused_in_words(make_run: Any, teacher: Path, tmp_path: Path) -> None:
    student = make_run("student", max_steps=2)
    with pytest.raises(ConfigError, match=r"data\.teachers: .*nobody is no finished run's folder"):
        go(taught_by(student, tmp_path / "nobody"))
    named = make_run("named", teacher="its_profile")
    with pytest.raises(ConfigError, match=r"training\.teacher names its_profile, but data\.teachers gives 0 folders"):
        go(named)
    learned = make_run("learned", {"position": "learned", "context": 8}, max_steps=2)
    go(learned)
    with pytest.raises(ConfigError, match=r"has 8 learned positions, fewer than model\.context 16"):
        go(taught_by(student, learned))


@pytest.mark.parametrize("known", [True, False], ids=["by its summary", "by its shards"])
def test_a_teacher_of_another_tokenizer_is_refused(make_run: Any, tmp_path: Path, known: bool) -> None:
    other = TokenizerRef("another tokenizer", VOCABULARY, VOCABULARY - 1, "uint16")
    epoch = write_epoch(tmp_path / "elsewhere", 1, documents(40, seed=3), other)
    stranger = make_run("stranger", max_steps=2)
    values = json.loads(stranger.read_text())
    values["data"]["epochs"] = [str(epoch)]
    stranger.write_text(json.dumps(values))
    go(stranger)
    if not known:
        summary = out_of(stranger) / "summary.json"
        said = json.loads(summary.read_text())
        del said["tokenizer"]
        summary.write_text(json.dumps(said))
    else:
        shutil.rmtree(epoch.parent)
    with pytest.raises(ConfigError, match=r"trained with tokenizer another toke, these shards are of tokenizer-of"):
        go(taught_by(make_run("student", max_steps=2), stranger))
