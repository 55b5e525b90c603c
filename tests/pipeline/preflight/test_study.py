"""Arms of a study are looked at as the model is: their device, and memory for the runs that go side by side."""

import pytest

from pipeline.assets.every import every_asset
from pipeline.preflight.flight import flight_of
from pipeline.preflight.study import study
from pipeline.profile.profile import load_profile
from pipeline.store import Store

STUDY = """\
study:
  baseline: as_is
  heldout: {bytes: {mine: 10_000}}
  data: {plain: {tokens: 100_000}}
  budget: {tokens: 40_960}
  seeds: [1, 2, 3]
  arms:
    as_is:
    wide: {idea: 1, change: {model.width: 192, model.heads: 6}}
"""


@pytest.fixture
def of_arms(own, tmp_path):
    def look(more="", study_text=STUDY):
        profile = load_profile(str(own(study_text + more)))
        store = Store(tmp_path / "store", profile.name)
        return list(study(flight_of(profile, store, every_asset(profile), {})))

    return look


def test_arms_that_can_run_are_said_in_a_line(of_arms, machine):
    machine()
    (finding,) = of_arms()
    assert finding.verdict == "ok"
    assert finding.text.startswith("2 arms can run; ")


def test_the_heats_of_a_race_are_looked_at_too(of_arms, machine):
    machine()
    race = "  race: {track: time, entry: wide}\n"
    (finding,) = of_arms(study_text=STUDY + race)
    assert finding.text.startswith("2 arms and 3 heats can run; ")
    wrong = (STUDY + race).replace("model.heads: 6", "model.heads: 6, training.device: cuda")
    assert [item.text.partition(":")[0] for item in of_arms(study_text=wrong)] == ["arm wide"] * 4


def test_an_arm_whose_device_is_not_there_is_refused_by_name(of_arms, machine):
    machine()
    found = of_arms(study_text=STUDY.replace("model.heads: 6", "model.heads: 6, training.device: cuda"))
    assert [item.verdict for item in found] == ["refused"]
    assert found[0].text.startswith("arm wide: training.device is 'cuda', but torch sees none here")


def test_arms_that_do_not_fit_side_by_side_are_refused_with_what_to_lower(of_arms, machine, monkeypatch):
    machine()
    monkeypatch.setattr("pipeline.preflight.study.available_memory", lambda: 10**9)
    monkeypatch.setattr("pipeline.preflight.study.core_count", lambda: 8)
    found = of_arms()
    assert [item.verdict for item in found] == ["refused", "refused"]
    assert "3 runs of as_is at once on cpu need 1.6 GB at least" in found[0].text
    assert "lower study.seeds_at_once" in found[0].text


def test_a_flight_without_arms_has_no_word_on_them(own, tmp_path):
    profile = load_profile(str(own()))
    assert list(study(flight_of(profile, Store(tmp_path / "store", "own"), every_asset(profile), {}))) == []


def test_the_small_runs_of_a_search_for_a_mixture_are_looked_at_too(of_arms, machine):
    machine()
    shares = "{mine: 0.5, other: 0.5}"
    search = (
        f"{{corpora: {shares}, weights: {{mine: 1}}, arm: as_is, mixtures: 6, tokens: 40_960, for_tokens: 100_000}}"
    )
    other = "corpora: {other: {sources: [{files: texts/b.txt, lang: en}]}}\n"
    (finding,) = of_arms(f"  mixture_search: {search}\n{other}")
    assert finding.text.startswith("8 arms can run; ")


@pytest.mark.parametrize("kind", ["ray", "slurm"])
def test_arms_that_an_engine_runs_on_other_machines_need_nothing_of_this_one(of_arms, machine, monkeypatch, kind):
    machine()
    monkeypatch.setattr("pipeline.preflight.study.available_memory", lambda: 0)
    assert {item.verdict for item in of_arms()} == {"refused"}
    (finding,) = of_arms(f"engine: {kind}\n")
    assert (finding.verdict, finding.text) == (
        "ok",
        f"2 arms go to the machines of engine {kind}, which were not looked at",
    )


def test_the_heats_of_a_race_stay_here_whatever_the_engine(of_arms, machine, monkeypatch):
    machine()
    monkeypatch.setattr("pipeline.preflight.study.available_memory", lambda: 0)
    found = of_arms("engine: slurm\n", study_text=STUDY + "  race: {track: time, entry: wide}\n")
    assert [item.verdict for item in found].count("refused") == 6
