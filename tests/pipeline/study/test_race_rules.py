"""An entry of the race is held against the rules, its record against its profile, and the board ranks what is left."""

import dataclasses
import functools

import pytest

from pipeline.base.errors import ProfileError, StudyError
from pipeline.profile.profile import load_profile
from pipeline.store.fingerprint import fingerprint_of
from pipeline.study.race.board import board_of, markdown, row_of
from pipeline.study.race.check import changed_rules, forbidden, mistakes_in_record
from pipeline.study.race.heat import HEAT_VERSION, Heat, Side, heat_identity, heat_inputs, heat_key, race_of
from pipeline.study.race.record import HeatRecord, Record, read_entry_record, write_record
from pipeline.study.results.run_result import RunResult
from pipeline.study.runs.in_bits import FileFigures

SIZES = {"fineweb_edu": 40_000, "wikipedia": 60_000, "books": 50_000, "childrens_books": 25_000, "multilingual": 25_000}
BYTES_PER_TOKEN = 2.5
PARAMETERS = 668_736  # of GPT-2's recipe, and of an entry that changes no size


def entry_of(track="time", **study):
    arm = {"title": "a higher rate", "change": {"training.optimizer.learning_rate": 5e-3}}
    heldout_hash = load_profile("race").study.race.heldout_hash
    race = {"track": track, "heldout_hash": heldout_hash and "h"}
    return load_profile("race", {"study": {"race": race, "arms": {"entry": arm}} | study}).study_plan


def scores(bits):
    """A corpus's bits per byte are `bits` plus its place; the pooled one is what bytes of each make of them."""
    found = {corpus: bits + place for place, corpus in enumerate(SIZES)}
    return found | {"all": sum(found[corpus] * size for corpus, size in SIZES.items()) / sum(SIZES.values())}


@functools.cache
def shape():
    from trainer.model import GPT

    return GPT(load_profile("race").model)


def side(bits, seconds, *, file=None):
    tokens = 400_000 // 1024 * 1024  # what 1,000,000 bytes pay for at 2.5 a token
    run = RunResult(
        parameters=shape().parameter_counts(),
        flops_per_token=shape().flops_per_token(),
        bytes_per_token=BYTES_PER_TOKEN,
        vocab_size=2048,
        steps=tokens // 1024,
        tokens=tokens,
        state="finished",
        bits_per_byte=scores(bits),
        cpu_seconds=seconds,
    )
    return Side(run.to_json(), round(tokens * BYTES_PER_TOKEN), file and FileFigures(4, file, scores(bits + 0.1)))


def record_of(plan, ends=(2.0, 2.2, 2.1), seconds=(50.0, 30.0, 40.0), standard=(60.0, 40.0, 50.0), file=None):
    heats = []
    for seed, bits, own, other in zip((1, 2, 3), ends, seconds, standard, strict=True):
        inputs = dict.fromkeys(heat_inputs(plan, seed), "h")
        heat = Heat("c", seed, side(3.0, other, file=file and 300_000), side(bits, own, file=file))
        named = fingerprint_of(heat_key(seed), HEAT_VERSION, heat_identity(plan, seed), inputs)
        heats.append(HeatRecord(named, inputs, "2026-11-29T00:00:00", heat))
    return Record(1, "mine", "a laptop", None, {}, SIZES, heats)


def changed(record, path, value):
    """The record with one value of its first heat changed, by its dotted place."""
    values = dataclasses.asdict(record)
    *steps, last = path.split(".")
    place = values["heats"][0]
    for step in steps:
        place = place[step]
    place[last] = value
    from trainer.records import check

    return check(Record, values)


# -- the rules ---------------------------------------------------------------------------------------------------------


def broken(**changes):
    rules = load_profile("race")
    profile = load_profile("race", {"study": {"race": {"track": "time"}, "arms": {"entry": {}}}})
    study = load_profile("race", _merged({"study": {"race": {"track": "time"}, "arms": {"entry": {}}}}, changes))
    assert not list(changed_rules(profile.study_plan, rules.study_plan))
    return [*changed_rules(study.study_plan, rules.study_plan), *forbidden(study.study_plan)]


def _merged(base, over):
    from pipeline.profile.yaml import merge

    return merge(base, over)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"study": {"heldout": {"seed": 1}}}, "study.heldout: is the race's"),
        ({"study": {"heldout": {"without": None}}}, "study.heldout: is the race's"),
        ({"study": {"race": {"most_text": 2_000_000}}}, "study.race.most_text: is the race's, and 1000000"),
        ({"study": {"race": {"least_seeds": 1}}}, "study.race.least_seeds: is the race's, and 3"),
        ({"tokenizers": {"sample": {"bytes": 9_000_000}}}, "tokenizers.sample: is the race's"),
        ({"model": {"width": 48}}, "the standard recipe's model is changed: change the arm entry alone"),
        ({"training": {"batch_tokens": 512}}, "the standard recipe's training is changed"),
        ({"study": {"budget": {"bytes": 2_000_000}}}, "the standard recipe's budget is changed"),
        ({"study": {"data": {"standard": {"tokens": 300_000}}}}, "the standard recipe's data is changed"),
        ({"study": {"arms": {"entry": {"seeds": [1, 2]}}}}, "study.arms.entry.seeds: 2; a race has at least 3"),
        ({"study": {"arms": {"entry": {"seeds": [1, 2, 2, 3]}}}}, "study.arms.entry.seeds: a seed is given twice"),
        ({"study": {"arms": {"entry": {"change": {"training.device": "cuda"}}}}}, "a race is of a CPU"),
        ({"study": {"arms": {"entry": {"change": {"training.compile": "on"}}}}}, "training.compile: a compiler's"),
        ({"study": {"arms": {"entry": {"change": {"training.max_minutes": 1.0}}}}}, "training.max_minutes: what comes"),
        ({"study": {"arms": {"entry": {"change": {"training.teacher": ["s"]}}}}}, "training.teacher: a teacher's time"),
    ],
)
def test_an_entry_that_changes_what_is_the_races_is_refused(changes, said):
    assert any(mistake.startswith(said) or said in mistake for mistake in broken(**changes))


def test_what_is_free_is_no_mistake():
    assert not broken(
        tokenizers={"candidates": ["bpe_2k", "spm_unigram_8k"]},
        study={
            "data": {"mine": {"tokens": 100_000, "epochs": 3, "tokenizer": "spm_unigram_8k"}},
            "arms": {"entry": {"data": "mine", "seeds": [5, 6, 7], "change": {"model.width": 48}}},
        },
    )


def test_a_profile_without_a_track_is_no_entry():
    plan = load_profile("race").study_plan
    with pytest.raises(StudyError, match=r"the profile is no entry of the race: write one that says `extends: race`"):
        race_of(plan)
    assert list(changed_rules(plan, plan)) == ["study.race: names no track, so it is no entry"]


@pytest.mark.parametrize(
    ("race", "said"),
    [
        ({"track": "time", "entry": "mine"}, "race.entry: there is no arm 'mine'"),
        ({"track": "time", "entry": "standard", "bits": 6}, "bits, group and method are of the file on the track"),
        ({"track": "speed", "entry": "standard"}, "'time', 'bytes' or 'text'"),
    ],
)
def test_a_track_that_cannot_be_raced_is_refused_when_the_profile_is_read(race, said):
    with pytest.raises(ProfileError, match=said):
        load_profile("race", {"study": {"race": race}})


def test_an_entry_with_a_teacher_is_refused():
    with pytest.raises(ProfileError, match=r"arms\.entry\.teachers: nobody teaches in a race"):
        entry_of(arms={"entry": {"teachers": ["standard"]}})


# -- the record --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plan():
    return entry_of()


@pytest.fixture(scope="module")
def record(plan):
    return record_of(plan)


def test_a_record_that_follows_from_its_profile_has_no_mistakes_also_read_back(plan, record, tmp_path):
    write_record(record, tmp_path / "mine.json")
    assert read_entry_record(tmp_path / "mine.json") == record
    assert list(mistakes_in_record(plan, record)) == []
    assert record.heats[0].heat.standard.result.parameters["total"] == PARAMETERS


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            "heat.entry.run.parameters.total",
            75_648,
            "seed 1, entry: parameters.total is 75,648; the profile makes 668,736",
        ),
        ("heat.entry.run.tokens", 300_032, "seed 1, entry: tokens is 300,032; the profile makes 399,360"),
        ("heat.standard.run.vocab_size", 4096, "seed 1, standard: vocab_size is 4,096; the profile makes 2,048"),
        ("heat.entry.run.bits_per_byte.all", 1.9, "seed 1, entry: bits_per_byte.all is 1.900000; its corpora make"),
        ("heat.entry.run.bits_per_byte.books", -1.0, "seed 1, entry: bits_per_byte: must be above 0 for"),
        ("heat.entry.run.cpu_seconds", None, "seed 1, entry: was not run to its end in one piece"),
        ("heat.entry.text_bytes", 400_000, "seed 1, entry: text_bytes is 400,000; its tokens, read once, hold others"),
        ("heat.seed", 4, r"the record has the seeds [4, 2, 3], the profile [1, 2, 3]"),
        ("fingerprint", "0" * 32, "seed 1: its fingerprint is not that of the profile's settings: race again"),
        ("inputs.ablation_heldout", "x", "seeds were raced on different contents of ablation_heldout"),
    ],
)
def test_a_figure_that_does_not_follow_is_named(plan, record, path, value, said):
    assert any(mistake.startswith(said) for mistake in mistakes_in_record(plan, changed(record, path, value)))


def test_a_record_of_other_settings_is_not_the_profiles(record):
    other = entry_of(arms={"entry": {"change": {"training.optimizer.learning_rate": 6e-3}}})
    said = list(mistakes_in_record(other, record))
    assert said == [
        f"seed {seed}: its fingerprint is not that of the profile's settings: race again" for seed in (1, 2, 3)
    ]


# -- the board ---------------------------------------------------------------------------------------------------------


def test_a_line_is_means_over_seeds_and_a_share_of_all_cpu_seconds(plan, record):
    row = row_of(plan, record)
    assert row.bits_per_byte == pytest.approx(scores(2.1)["all"], abs=1e-4)
    assert row.spread == pytest.approx(0.1)
    assert (row.cpu_seconds, row.cpu_share, row.standing) == (40.0, 0.8, "ranked")
    assert (row.text_bytes, row.file_bytes) == (998_400, None)


def test_the_lower_score_leads_and_what_passed_its_limit_has_no_rank(plan, record):
    slow = dataclasses.replace(record_of(plan, (1.0, 1.0, 1.0), (70.0, 60.0, 35.0)), entry="slow")
    better = dataclasses.replace(record_of(plan, (1.9, 1.9, 1.9)), entry="better")
    rows = board_of([(plan, slow), (plan, record), (plan, better)])
    assert [(row.rank, row.entry) for row in rows] == [(1, "better"), (2, "mine"), (3, "standard"), (None, "slow")]
    assert rows[-1].standing == "over the time: 1.100 of the standard recipe's CPU seconds"
    page = markdown(rows, plan.settings.race)
    assert page.count("\n| ") == 5  # the heads and four lines
    assert "### Fixed time" in page
    assert "### Fixed text" not in page


def test_on_the_track_of_bytes_the_file_is_scored_and_the_largest_counts():
    plan = entry_of("bytes")
    rows = board_of([(plan, record_of(plan, file=64_000))])
    assert [(row.rank, row.entry, row.file_bytes) for row in rows] == [(1, "mine", 64_000), (None, "standard", 300_000)]
    assert rows[0].bits_per_byte == pytest.approx(scores(2.2)["all"], abs=1e-4)
    assert row_of(plan, record_of(plan, file=64_001)).standing == "over the bytes: 64,001 of at most 64,000"


def test_on_the_track_of_text_a_byte_more_is_over_the_text():
    plan = entry_of("text")
    over = changed(record_of(plan), "heat.entry.text_bytes", 1_000_001)
    assert row_of(plan, over).standing == "over the text: 1,000,001 bytes of at most 1,000,000"
    assert row_of(plan, record_of(plan)).standing == "ranked"
