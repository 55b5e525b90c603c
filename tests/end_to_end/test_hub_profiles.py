"""The profiles of the hub from the first byte to the report, made small, against the imitated hub: every suite scores.

What is made small is the model, the amounts and the vocabulary; sources, commits, columns, filters, mixture, stages and
suites are the profile's own, and the hub serves the files, columns and READMEs of the real data sets with made-up text.
"""

from __future__ import annotations

import json
import re

import pytest
from tiny_project import Project

from pipeline.profile.profile import load_profile
from pipeline.profile.yaml import BUILT_IN
from tests.hub.limits import Limits
from tests.hub.of_profile import add_profile
from tests.hub.server import Hub

SMALL = """\
extends: amounts.yaml
curation: {heldout: {share: 0.1}, decontaminate_against: []}
tokenizers: {candidates: [bpe_tiny], select: bpe_tiny, folder: tokenizers, sample: {bytes: 60_000}}
schedule: {epochs: 2, tokens_per_epoch: 20_000}
preset: s
model: {vocab_size: 512, context: 32, width: 32, layers: 1, heads: 2, ff_width: 64}
training:
  batch_tokens: 1024
  max_minutes: null
  schedule: {warmup_steps: 2}
  checkpoint_every: 20
  evaluate_every: 20
  evaluate_tokens: 1000
launch: {ranks: 1}
evaluation: {strict: true}
"""
SUITES = {
    "single_gpu": {
        "hellaswag": ["hellaswag"],
        "lambada": ["lambada_openai"],
        "arc": ["arc_easy", "arc_challenge"],
        "piqa": ["piqa"],
    },
    "multilingual": {
        "belebele": [
            f"belebele_{code}" for code in ("arb_Arab", "deu_Latn", "fra_Latn", "hin_Deva", "spa_Latn", "swh_Latn")
        ],
        "xnli": [f"xnli_{lang}" for lang in ("ar", "de", "es", "fr", "hi", "sw")],
    },
}
OTHERS = {"single_gpu": {"bits_per_byte", "length_extrapolation"}, "multilingual": {"bits_per_byte"}}


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("name", sorted(SUITES))
def test_a_profile_of_the_hub_runs_to_its_report_with_every_suite(name, tmp_path):
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    amounts = re.sub(r"maximum_bytes: [\d_]+", "maximum_bytes: 25_000", (BUILT_IN / f"{name}.yaml").read_text())
    amounts = re.sub(r"estimated_bytes: [\d_]+", "estimated_bytes: 100_000", amounts)
    (project.folder / "amounts.yaml").write_text(amounts)
    small = project.folder / f"{name}.yaml"
    small.write_text(SMALL)
    profile = load_profile(str(small))
    with Hub(tmp_path) as hub:
        hub.state.limits = Limits(api=500, resolvers=3000)  # a stranger's
        add_profile(hub, profile, tmp_path / "served", documents=120, words=90)
        environment = hub.environment(tmp_path / "home") | {"HF_TOKEN": ""}
        checked = project.run("squeeze", "check", "--json", "--seconds", "280", profile=small, **environment)
        findings = json.loads(checked.stdout)["findings"]
        assert {item["verdict"] for item in findings} == {"ok"}, findings
        project.run("dagster", "job", "execute", "-j", "full_train", profile=small, timeout=1500, **environment)
        assert sum(hub.limits.refused.values()) == 0
        asked = hub.limits.asked.copy()
        built, reused = project.full_train(small, **environment)
    assert (built, "report" in reused) == (set(), True)
    assert hub.limits.asked == asked  # what is made once asks for nothing
    card = json.loads(project.run("squeeze", "scorecard", "--json", profile=small).stdout)
    assert card["not_possible"] == {}
    tasks: dict[str, set[str]] = {}
    for score in card["scores"]:
        tasks.setdefault(score["suite"], set()).add(score["task"])
    assert set(tasks) == set(SUITES[name]) | OTHERS[name]
    assert {suite: tasks[suite] for suite in SUITES[name]} == {suite: set(of) for suite, of in SUITES[name].items()}
    assert (project.folder / ".squeeze" / "eval" / "samples").is_dir()
