"""The report survives its CSV files, shows its own study's ideas, and works with whatever has finished."""

import dataclasses

import numpy as np
import pytest
from small_study import BASE, ROPE, T2, page, results, run, runs, small_study

from pipeline.base.errors import StudyError
from pipeline.study.report.page import BEGIN, END, write_page
from pipeline.study.report.report import build_report, curve_arms
from pipeline.study.results.benchmark_spread import spreads
from pipeline.study.results.run_result import RunResult
from pipeline.study.results.runs_table import collect, read_csv, read_runs, write_runs


@pytest.fixture(scope="module")
def study():
    return small_study()


def scored(arm, seed, share):
    """A run with a share of right answers of 50 items."""
    return dataclasses.replace(run(arm, seed, 3.0), benchmarks={"hellaswag:acc_norm": share, "hellaswag:items": 50.0})


def test_a_benchmarks_spread_is_pooled_within_arms_and_says_what_it_tells_apart(study, tmp_path):
    study = study.model_copy(update={"recipe": "lr_x2"})  # whose runs begin as the baseline's do
    shares = {"baseline": {1: 0.24, 2: 0.28, 3: 0.26}, "lr_x2": {1: 0.36, 2: 0.38, 3: 0.4}, "rope": {1: 0.9}}
    items = [scored(arm, seed, share) for arm, seeds in shares.items() for seed, share in seeds.items()]
    (row,) = spreads(results(study, items))
    pooled = np.sqrt(np.mean([np.var(list(shares[arm].values()), ddof=1) for arm in ("baseline", "lr_x2")]))
    assert row.over_seeds == pytest.approx(pooled)  # one run of an arm says nothing of its spread
    assert row.mean == pytest.approx(np.mean([share for seeds in shares.values() for share in seeds.values()]))
    assert row.by_chance == pytest.approx(np.sqrt(row.mean * (1 - row.mean) / 50))
    assert (row.lowest[0], row.highest[0]) == ("baseline", "lr_x2")  # rope has one run
    differences = np.array([shares["lr_x2"][seed] - shares["baseline"][seed] for seed in (1, 2, 3)])
    half = T2 * differences.std(ddof=1) / np.sqrt(3)
    assert (row.difference.low, row.difference.high) == pytest.approx(
        (differences.mean() - half, differences.mean() + half)
    )
    text = build_report(results(study, items), study, tmp_path).markdown
    assert "1 of 1 benchmarks tell `lr_x2` from `baseline` on these items (hellaswag)" in text
    near = [scored("baseline", seed, share) for seed, share in {1: 0.24, 2: 0.28, 3: 0.26}.items()]
    near += [scored("lr_x2", seed, share + 0.01) for seed, share in {1: 0.24, 2: 0.28, 3: 0.26}.items()]
    (row,) = spreads(results(study, near))
    assert (row.difference.low > 0, row.tells_apart) == (True, False)  # every pair agrees, by less than runs spread
    assert read_runs(tmp_path) == items


def test_csv_files_give_the_runs_back_to_the_bit_and_the_report_with_them(study, tmp_path):
    items = runs(run("lr_x6", 1, 0, state="diverged"), run("squeezed", 1, 1 / 3))
    write_runs(items, tmp_path / "a")
    back = read_runs(tmp_path / "a")
    assert back == items
    assert page(study, back) == page(study, items)


def test_the_report_of_some_arms_names_the_others_and_answers_only_what_they_answer(study, tmp_path):
    found = build_report(results(study, runs()), study, tmp_path)
    assert (found.finished, found.runs, found.arms) == (2, 6, len(study.arms))
    row = next(row for row in read_csv(tmp_path / "effects.csv") if row["arm"] == "rope")
    assert float(row["equal_tokens"]) == pytest.approx(np.mean([ROPE[s] - BASE[s] for s in BASE]))
    pooled = np.sqrt(np.mean([np.var(list(ends.values()), ddof=1) for ends in (BASE, ROPE)]))
    middle = np.median([np.std(list(ends.values()), ddof=1) for ends in (BASE, ROPE)])
    assert f"spread over seeds: bits per byte {pooled:.4f} pooled, {middle:.4f} in the middle arm" in found.markdown
    assert "Benchmarks over seeds" not in found.markdown
    assert "`squeezed`" in found.markdown.split("### Not run")[1]
    assert "not yet answered" in found.markdown
    for name in ("forest", "curves", "frontier"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_whose_pictures_cannot_be_drawn_is_still_written_and_says_so(study, tmp_path, monkeypatch, caplog):
    def no_font(*_):
        raise OSError("no such font")

    monkeypatch.setattr("pipeline.study.report.pictures.pictures", no_font)
    found = build_report(results(study, runs()), study, tmp_path)
    assert found.finished == 2
    assert read_csv(tmp_path / "effects.csv")
    assert not list(tmp_path.glob("*.png"))
    assert "OSError: no such font" in caplog.text


def test_each_curve_is_drawn_once_also_where_the_baseline_is_the_tuned_one(study):
    assert results(study, runs()).tuned_baseline == "baseline"
    assert curve_arms(results(study, runs(run("squeezed", 1, 2.0)))) == ["baseline", "squeezed"]


def test_a_page_has_the_ideas_and_questions_of_its_study_and_no_others(study):
    other = study.model_copy(update={"ideas": (), "questions": (), "recipe": None})
    headings = [line for line in page(other, runs()).splitlines() if line.startswith("#")]
    assert headings == ["### Every arm", "### By corpus, at the end", "### Costs", "### Not run"]
    own = study.model_copy(update={"ideas_heading": "My ideas"})
    assert "### The questions" in page(own, runs())
    assert "| 4 | experts | - | no arm |" in page(own, runs())
    assert "| 5 | RoPE | - | not run |" in page(own, [])
    of_idea_5 = [dataclasses.replace(item, idea=5) if item.arm == "rope" else item for item in runs()]
    assert "| 5 | RoPE | rope: -0.1233 ±" in page(own, of_idea_5).split("### My ideas")[1]


def test_every_row_of_a_table_has_the_cells_of_its_head(study):
    items = runs(run("squeezed", 1, 2.0), run("lr_x6", 1, 0, state="diverged"))
    text = page(study, items)
    for table in [part for part in text.split("\n\n") if part.startswith("|")]:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_arms_of_equal_cost_share_a_row_with_their_speed_beside_the_baselines(study):
    items = runs(*(run("gate", seed, end, flops=20e6) for seed, end in BASE.items()))
    speed = {"baseline": 1000.0, "rope": 1000.0, "gate": 250.0}
    costs = page(study, items, speed).split("### Costs")[1].split("###")[0]
    assert "| `baseline`, `rope` | 600,000 | 200,000 | 600,000 | 0.00M | 1,000 | 1.00 |" in costs
    assert "| `gate` | 600,000 | 200,000 | 600,000 | 20.00M | 250 | 0.25 |" in costs


def test_the_page_keeps_what_people_wrote_around_the_tables(tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"# Mine\n\n{BEGIN}\nold\n{END}\n\nmy own words\n")
    write_page(page, "new")
    write_page(page, "newer")
    assert page.read_text() == f"# Mine\n\n{BEGIN}\n\nnewer\n\n{END}\n\nmy own words\n"
    page.write_text("nothing")
    with pytest.raises(StudyError, match="marks"):
        write_page(page, "new")


def test_summaries_of_arms_become_rows_in_the_studys_order(study):
    seed = {
        "state": "finished",
        "parameters": {"total": 3, "embedding": 1, "active": 2},
        "steps": 1,
        "tokens": 10,
        "vocab_size": 7,
        "bytes_per_token": 2.0,
        "flops_per_token": 5,
        "tokens_per_second": None,
        "bits_per_byte": {"all": 1.0},
        "curve": [{"tokens": 10, "all": 1.1, "books": 2.0}],
    }
    result = RunResult.read(seed)
    found = collect(study.design(), {"rope": {2: result}, "baseline": {1: result}})
    assert [(item.arm, item.seed, item.idea) for item in found] == [("baseline", 1, 0), ("rope", 2, 5)]
    assert found[1].curve == [(10, 1.1)]
