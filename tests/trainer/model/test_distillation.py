"""The loss of learning from teachers, against the same thing written out over all logits at once."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from trainer.model import GPT, ModelConfig
from trainer.model.distillation import SoftTargets

V = 40
STUDENT = ModelConfig(vocab_size=48, context=12, width=16, layers=1, heads=2, ff_width=24, bias=True)
TEACHERS = [
    dataclasses.replace(STUDENT, vocab_size=V, width=32),
    dataclasses.replace(STUDENT, vocab_size=56, tied=False),
]


def made(config, seed):
    torch.manual_seed(seed)
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def batch():
    ids = torch.randint(0, V, (3, 13), generator=torch.Generator().manual_seed(2))
    targets = ids[:, 1:].clone()
    targets[1, 7:] = -100
    return ids[:, :-1], targets


def soft_targets(teachers, ids, weight, temperature):
    with torch.no_grad():
        hidden = tuple(model.hidden(ids).flatten(0, 1) for model in teachers)
    return SoftTargets(tuple(model.logits for model in teachers), hidden, V, weight, temperature)


def written_out(student, teachers, ids, targets, weight, temperature):
    """(1 - w) * cross-entropy + w * T^2 * KL, summed over what is scored, by torch's own functions."""
    logits = student(ids).flatten(0, 1)
    scored = targets.flatten() != -100
    with torch.no_grad():
        means = [F.softmax(model(ids).flatten(0, 1)[:, :V] / temperature, -1) for model in teachers]
        wanted = F.pad(sum(means) / len(means), (0, logits.shape[1] - V))
    text = F.cross_entropy(logits, targets.flatten(), ignore_index=-100, reduction="sum")
    log_q = F.log_softmax(logits / temperature, -1)
    divergence = F.kl_div(log_q[scored], wanted[scored], reduction="sum")
    return (1 - weight) * text + weight * temperature**2 * divergence, text


@pytest.mark.parametrize(("weight", "temperature", "rows"), [(0.5, 1.0, None), (1.0, 2.0, 5), (0.3, 0.7, 36)])
@pytest.mark.parametrize("changes", [{}, {"embedding_width": 8}, {"tied": False}], ids=["tied", "factorised", "untied"])
def test_loss_and_gradients_are_the_written_out_ones(weight, temperature, rows, changes):
    """Also where student and teachers pad their tables differently, and targets are left out."""
    student, teachers = (
        made(dataclasses.replace(STUDENT, **changes), 1),
        [made(t, 5 + i) for i, t in enumerate(TEACHERS)],
    )
    ids, targets = batch()
    expected, text = written_out(student, teachers, ids, targets, weight, temperature)
    (2.0 * expected).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in student.named_parameters()}
    student.zero_grad()
    soft = soft_targets(teachers, ids, weight, temperature)
    found = student.loss(ids, targets, reduction="sum", logit_rows=rows, soft=soft)
    (2.0 * found.total).backward()
    torch.testing.assert_close(found.total, expected, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found.cross_entropy, text.detach(), rtol=1e-5, atol=1e-4)
    for name, parameter in student.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-4, atol=1e-4, msg=name)


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    teacher = made(TEACHERS[0], 3)
    ids, targets = batch()
    found = teacher.loss(ids, targets, reduction="sum", soft=soft_targets([teacher], ids, 1.0, 1.5))
    found.total.backward()
    assert float(found.total.detach()) == pytest.approx(0.0, abs=1e-3)
    assert max(float(p.grad.abs().max()) for p in teacher.parameters()) < 1e-3
    assert float(found.cross_entropy) > 10


def test_without_a_weight_it_is_the_loss_of_the_text():
    student, teacher = made(STUDENT, 1), made(TEACHERS[0], 3)
    ids, targets = batch()
    plain = student.loss(ids, targets)
    soft = student.loss(ids, targets, soft=soft_targets([teacher], ids, 0.0, 1.0))
    torch.testing.assert_close(soft.total, plain.total)


def test_no_more_than_a_block_of_logits_is_held(monkeypatch):
    student, teacher = made(STUDENT, 1), made(TEACHERS[0], 3)
    ids, targets = batch()
    soft = soft_targets([teacher], ids, 0.5, 1.0)
    seen = []
    for model in (student, teacher):
        whole = model.logits
        counted = lambda hidden, whole=whole: seen.append(len(hidden)) or whole(hidden)  # noqa: E731
        monkeypatch.setattr(model, "logits", counted)
    soft = soft._replace(logits=(teacher.logits,))
    student.loss(ids, targets, logit_rows=8, soft=soft).total.backward()
    assert len(seen) == 2 * 5
    assert max(seen) == 8
