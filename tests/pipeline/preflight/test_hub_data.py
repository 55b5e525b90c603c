"""What is said of the hub's data sets before a run, each asked about once, on a hub that has every kind of trouble."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pipeline.assets.every import full_train_assets
from pipeline.preflight.flight import flight_of
from pipeline.preflight.hub import Hub, card_of
from pipeline.preflight.hub_data import Benchmark, probes_of_benchmarks, probes_of_sources
from pipeline.preflight.reach import _quota
from pipeline.profile.profile import load_profile
from pipeline.store import Store
from tests.hub.limits import Limits
from tests.hub.server import TOKEN
from tests.hub.server import Hub as ImitatedHub
from tests.hub.task_data import add_benchmarks

README = """---
license: odc-by
configs:
- config_name: small
  data_files: [{split: train, path: small/*}]
- config_name: large
  data_files: [{split: train, path: large/*}]
---
"""
FILES = {"small/a.parquet": b"PAR1", "large/a.parquet": b"PAR1"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with ImitatedHub(tmp_path) as hub:
        for name, value in hub.environment(tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_TOKEN", "")
        hub.add("some/web", FILES, readme=README)
        hub.add("some/gated", FILES, readme=README, gated=True)
        hub.add("some/hidden", FILES, readme=README, private=True)
        hub.add("some/gone", FILES, readme=README, disabled=True)
        hub.add("some/script", {"script.py": "import datasets"}, readme="---\nlicense: mit\n---\n")
        hub.rename("some/old", "some/web")
        add_benchmarks(hub, tmp_path / "items", items=1)
        yield hub


@pytest.fixture
def said(hub, own, tmp_path):
    """What is said of a corpus's one source: verdict and text of its data set."""

    def look(license="ODC-By 1.0", **dataset):
        given = {"id": "some/web", "config": "small", "revision": "main"} | dataset
        words = ", ".join(f"{key}: {value}" for key, value in given.items() if value is not None)
        corpus = f"license: {license}, sources: [{{hub: {{{words}}}}}]"
        profile = load_profile(str(own(f"corpora: {{web: {{{corpus}}}}}\n")))
        flight = flight_of(profile, Store(tmp_path / "store", "mine"), full_train_assets(profile), {})
        return probes_of_sources(flight, Hub(5))[f"data set {given['id']}"]()

    return look


def test_a_data_set_that_is_as_the_profile_says_is_one_line_with_its_commit_and_licence(said):
    assert said() == ("ok", "some/web at 0123456789ab (odc-by), for corpora.web.sources.0")


@pytest.mark.parametrize(
    ("given", "verdict", "text"),
    [
        ({"config": "smal"}, "refused", "some/web has no configuration 'smal'; did you mean 'small'?"),
        ({"config": None}, "refused", "has several configurations: set `config` (large, small)"),
        ({"split": "test"}, "refused", "some/web (small) has no split 'test'; it has train"),
        ({"revision": "v2"}, "refused", "has no such revision: correct `revision`"),
        ({"id": "some/wbe"}, "refused", "does not exist, or you may not read it"),
        ({"id": "some/gated"}, "refused", "is gated: accept its terms on its page"),
        ({"id": "some/hidden"}, "refused", "does not exist, or you may not read it"),
        ({"id": "some/gone"}, "refused", "has been taken down by the hub"),
        (
            {"id": "some/script", "config": None},
            "refused",
            r"is made by a script \(script.py\), which datasets no longer",
        ),
        ({"id": "some/old"}, "note", "some/old is called some/web now: write that name"),
        ({"license": "MIT"}, "note", "corpora.web.license says 'MIT'; some/web is under odc-by by its card"),
    ],
)
def test_what_is_wrong_with_a_data_set_says_what_to_set(said, given, verdict, text):
    found = said(**given)
    assert found[0] == verdict
    assert re.search(text if "\\" in text else re.escape(text), found[1])
    assert "corpora.web" in found[1]


def test_who_has_accepted_the_terms_reads_a_gated_data_set(said, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert said(id="some/gated")[0] == "ok"


def test_a_hub_that_has_had_enough_is_a_note_with_the_seconds_it_asks_for(hub, said):
    hub.state.limits = Limits(api=0)
    verdict, text = said()
    assert verdict == "note"
    assert re.search(r"too many requests from here; it asks to come back in \d+ s\); the run tries again", text)


def test_a_hub_that_nobody_reaches_is_refused(said, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    verdict, text = said()
    assert verdict == "refused"
    assert "cannot be reached" in text
    assert "HF_ENDPOINT" in text


def benchmarks_said(own, tmp_path, *tasks, needed=False):
    profile = load_profile(str(own()))
    flight = flight_of(profile, Store(tmp_path / "store", "mine"), full_train_assets(profile), {})
    asked = [Benchmark("eval/suite", "evaluation.suites.suite", tasks, None, needed)]
    return {name: probe() for name, probe in probes_of_benchmarks(asked, flight, Hub(5)).items()}


def test_each_data_set_of_benchmarks_is_asked_about_once_however_many_tasks_read_it(hub, own, tmp_path):
    tasks = (
        "hellaswag",
        "lambada_openai",
        "arc_easy",
        "arc_challenge",
        "piqa",
        "xnli_fr",
        "xnli_sw",
        "belebele_hin_Deva",
    )
    said = benchmarks_said(own, tmp_path, *tasks)
    assert {answer[0] for answer in said.values()} == {"ok"}
    assert (
        "for evaluation.suites.suite (xnli_fr), evaluation.suites.suite (xnli_sw)" in said["items of facebook/xnli"][1]
    )
    assert len(said) == len(hub.requests) == 6


@pytest.mark.parametrize(("needed", "verdict"), [(False, "note"), (True, "refused")])
def test_a_benchmark_made_by_a_script_is_known_before_anything_is_trained(hub, own, tmp_path, needed, verdict):
    (answer,) = benchmarks_said(own, tmp_path, "xstorycloze_es", needed=needed).values()
    assert answer[0] == verdict
    assert "is made by a script (xstory_cloze.py)" in answer[1]
    assert "take the task out of the suite" in answer[1]
    assert ("marked as not possible here" in answer[1]) == (not needed)


def test_a_benchmark_whose_configuration_is_not_there_is_told_by_its_task(hub, own, tmp_path):
    (answer,) = benchmarks_said(own, tmp_path, "xnli_th").values()
    assert answer[0] == "note"
    assert "evaluation.suites.suite (xnli_th): facebook/xnli has no configuration 'th'" in answer[1]


def test_a_card_without_configurations_leaves_them_to_the_names_of_the_files():
    card = card_of({"id": "a/b", "sha": "1" * 40, "cardData": None, "siblings": [{"rfilename": "b.py"}]})
    assert (card.configs, card.default, card.licenses, card.script) == ({}, "default", (), "b.py")
    one = card_of({"id": "a/b", "sha": "1" * 40, "cardData": {"configs": [{"config_name": "x", "data_files": "x/*"}]}})
    assert (one.default, dict(one.configs)) == ("x", {"x": frozenset()})


def test_what_is_left_of_the_rate_limit_is_said_and_noted_where_it_is_little(hub):
    hub.state.limits = Limits(api=500)
    asked = Hub(5)
    asked.card("some/web", "main")
    assert asked.quota is not None
    assert (asked.quota.left, asked.quota.of) == (499, 500)
    assert _quota(asked.quota).verdict == "ok"
    few = _quota(dataclasses.replace(asked.quota, left=12))
    assert few.verdict == "note"
    assert few.text.startswith("12 of 500 calls of the hub's API are left for the next")
