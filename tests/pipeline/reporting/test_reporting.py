"""Tables, the page, the card and the comparison: what they promise the UI and the reader."""

import dataclasses
import math
import re

from pipeline.curation.selection import WaterfallStep
from pipeline.evaluation.results import Score, SuiteResult
from pipeline.evaluation.scores.comparisons import Comparison
from pipeline.evaluation.scores.scorecard import Row, Scorecard
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteDetails, TextRow
from pipeline.evaluation.suites.length import Curve, LengthDetails
from pipeline.evaluation.suites.samples import Sample, SamplesDetails
from pipeline.reporting.card import model_card
from pipeline.reporting.compare import compared_costs, compared_scores, differing_inputs, differing_settings
from pipeline.reporting.facts import Facts, collect, facts_of, metrics_rows
from pipeline.reporting.lineage import Lineage, lineage_tree
from pipeline.reporting.page import report_html
from pipeline.reporting.scores import headline, numbers_of, rows_beside, score_name
from pipeline.reporting.tables import bar, bar_table, markdown_table
from pipeline.sharding.schedule.build import ScheduleRow, ScheduleSummary
from pipeline.store import Built, Store
from pipeline.store.manifest import Provenance
from pipeline.tokenization.choosing.candidates import Group
from trainer.run.figures.summary import ParameterCounts, RunSummary
from trainer.scoring.evaluation import ChoiceScore

METRICS = [
    {"step": i, "tokens": i * 8192, "loss": 3 + 4 * math.exp(-i / 40), "lr": 3e-3, "epoch": 1 + i // 60, "stage": "mix"}
    for i in range(1, 121)
]
STAGES = [("epoch 1 · children", {"tales": 1e5}), ("epoch 1 · mixture", {"web": 9e5, "books": 4e5})]
CURVES = (Curve("rope", 2, [64, 128], [3.0, 2.9]),)


def facts(name="one", loss=0.30, rate=3e-3, fingerprint="ab" * 16):
    score = Score("hellaswag", "acc_norm", loss, 0.0046, 10042, version="1.0", shots=0)
    bits = TextRow("books", "books", "en", 3, 900, 300, 2.4, 0.01, 8.0, "t", 0, {"gzip": 3.0})
    suites = {
        "hellaswag": SuiteResult("h", "lm_eval", (score,)),
        "bits": SuiteResult("b", "bits_per_byte", (), BitsPerByteDetails((bits,), 64, 384)),
        "length": SuiteResult("l", "length_extrapolation", (), LengthDetails(64, CURVES)),
        "samples": SuiteResult(
            "s", "samples", (), SamplesDetails((Sample("en", "Once", " <b>upon</b>", 1),), 0.8, 0.95)
        ),
    }
    chance = Comparison("guessing", "chance", 0.25, True, False)
    row = Row("hellaswag", "hellaswag", "acc_norm", loss, 0.0046, 10042, True, 0, "1.0", (chance,))
    return Facts(
        name=name,
        fingerprint=fingerprint,
        settings={"training": {"learning_rate": rate, "seed": 1}, "model": {"width": 96}},
        run=RunSummary(
            "finished", parameters=ParameterCounts(676_960, 196_608, 676_960), tokens=4_000_000, steps=488, seconds=99.0
        ),
        metrics=METRICS,
        corpora={"books": [WaterfallStep("documents", 0, 0, 9, 99), WaterfallStep("x", 2, 90, 7, 9)]},
        stages=STAGES,
        tokenizers=[{"name": "bpe", "bytes_per_token": {"books": 2.8}}],
        tokenizer="bpe",
        suites=suites,
        scorecard=Scorecard("c", (row,), {}, notes=("a note",)),
        lineage=[
            Lineage("model", fingerprint, "c" * 64, "now", (("shards", "s" * 32), ("tokens", "t" * 32))),
            Lineage("shards", "s" * 32, "d" * 64, "now", (("tokens", "t" * 32),)),
            Lineage("tokens", "t" * 32, "e" * 64, "now", ()),
        ],
    )


def test_each_epoch_is_described_by_the_schedule_it_was_built_from(tmp_path):
    """A second epoch is added to a first that is reused, whose own schedule had but one."""
    store = Store(tmp_path, "p").open()

    def made(key, content, summary, **inputs):
        outcome = store.ensure(
            key, code_version="1", identity={"of": content}, inputs=inputs, build=lambda _: Built(content, summary)
        )
        return outcome.artifact

    def row(epoch, tokens):
        return ScheduleRow(epoch, "all", "books", 1, tokens, share=1.0, repeats=1.0, from_pass=0.0, to_pass=1.0)

    def schedule(content, *rows):
        summary = dataclasses.asdict(ScheduleSummary("", len(rows), len(rows), sum(row.tokens for row in rows), rows))
        return made("schedule", content, {key: value for key, value in summary.items() if key != "content_hash"})

    before = schedule("one", row(1, 7))
    first = made("shards/epoch_001", "e1", {}, schedule=before)
    after = schedule("two", row(1, 99), row(2, 5))
    second = made("shards/epoch_002", "e2", {}, schedule=after)
    model = made("model", "m", {}, **{"shards/epoch_001": first, "shards/epoch_002": second})
    facts = collect(model, store.ancestry(model))
    assert facts.stages == [("epoch 1 · all", {"books": 7}), ("epoch 2 · all", {"books": 5})]
    tree = lineage_tree(facts.lineage)
    assert [line.split()[-3][:12] for line in tree if "schedule" in line] == [
        before.fingerprint[:12],
        after.fingerprint[:12],
    ]
    assert differing_inputs(facts, facts) == []


def test_the_last_comparison_of_the_models_own_tokenizer_is_shown(tmp_path):
    """A model whose tokenizer is named does not come from a comparison of it."""
    store = Store(tmp_path, "p").open()

    def made(key, content, summary=None, **inputs):
        return store.ensure(
            key,
            code_version="1",
            identity={"of": content},
            inputs=inputs,
            build=lambda _: Built(content, summary or {}),
        ).artifact

    def compared(name, *candidates):
        group = {field.name: 1 for field in dataclasses.fields(Group)}
        group |= {"tokenizer": name, "corpus": "books", "lang": "en", "bytes_per_token": 3.5}
        summary = {"tokenizers": {}, "groups": [group], "encode_mb_per_second": {}}
        return made("tokenizer_comparison", name, summary, **{item.key: item for item in candidates})

    small, large = made("tokenizer/small", "s"), made("tokenizer/large", "l")
    model = made("model", "m", tokenizer=made("tokenizer", "s", **{"tokenizer/small": small}))
    assert facts_of(store, model).tokenizers == ()
    compared("of another", large)
    assert facts_of(store, model).tokenizers == ()
    compared("of both", small, large)
    (row,) = facts_of(store, model).tokenizers
    assert "of both" in row.values()


def test_tables_align_numbers_and_let_nothing_break_out():
    text = markdown_table([{"name": "a|b\n<x>", "count": 1234567, "share": None}])
    assert text.splitlines() == [
        "| name          |     count |   share |",
        "|:--------------|----------:|--------:|",
        "| a\\|b · &lt;x> | 1,234,567 |       — |",
    ]
    assert markdown_table([]) == ""


def test_a_table_has_the_columns_of_every_row_and_a_dash_where_a_row_lacks_one():
    assert markdown_table([{"text": "tales", "gzip": 3.5}, {"text": "books", "primed": 2.5}]).splitlines() == [
        "| text   |   gzip |   primed |",
        "|:-------|-------:|---------:|",
        "| tales  |    3.5 |        — |",
        "| books  |      — |      2.5 |",
    ]


def test_the_page_and_the_card_show_a_compressor_that_was_primed_for_some_texts_alone():
    given = facts()
    (row,) = given.suites["bits"].details.rows
    primed = dataclasses.replace(row, name="tales", compressors={"gzip": 3.0, "xz_primed": 2.125})
    bits = SuiteResult("b", "bits_per_byte", (), BitsPerByteDetails((row, primed), 64, 384))
    given = dataclasses.replace(given, suites={**given.suites, "bits": bits})
    line = next(line for line in model_card(given).splitlines() if re.match(r"\| books +\| +3 ", line))
    assert re.search(r"\| 3.0000 +\| — +\|$", line)
    for text in (report_html(given), model_card(given)):
        assert "xz -9e after training text" in text
        assert "2.1250" in text


def test_scores_on_an_assets_page_have_no_column_for_what_they_all_lack():
    gzip = Comparison("gzip -9", "compressor", 3.0, True, False)
    text = Row("bits", "books", "bits_per_byte", 2.4, 0.01, 3, False, comparisons=(gzip,))
    assert rows_beside([text]) == [{"score of": "books", "this model": "2.4000 ± 0.0100", "items": 3, "gzip -9": 3.0}]


def test_a_metrics_file_is_read_up_to_the_line_being_written(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert metrics_rows(tmp_path / "metrics.jsonl") == [{"step": 1}, {"step": 2}]
    assert metrics_rows(tmp_path / "none.jsonl") == []


def test_bars_are_an_eighth_of_a_character_fine():
    assert (bar(1, 4), bar(0.5, 4), bar(0, 4), bar(1 / 32, 4), bar(7, 4)) == ("████", "██", "", "▏", "████")
    assert "75.0%   | ████████████████ |" in bar_table({"web": 3, "books": 1})


def test_the_page_stands_alone_and_escapes_what_it_is_given():
    page = report_html(facts(name="<one> & only"))
    assert page == report_html(facts(name="<one> & only"))
    assert "<h1>&lt;one&gt; &amp; only</h1>" in page
    assert "&lt;b&gt;upon&lt;/b&gt;" in page
    assert not re.search(r"<script|<link|https?://", page)
    assert set(re.findall(r'src="([^"]{0,22})', page)) == {"data:image/png;base64,"}
    for heading in ("Scores", "Training", "Data", "Tokenizer", "Samples", "Lineage"):
        assert f"<h2>{heading}</h2>" in page
    assert "guessing 0.2500 (this is better)" in page
    assert "a note" in page
    assert "Not possible here" not in page


def test_the_page_says_how_often_what_points_at_a_person_is_masked_where_anything_is():
    assert "masked" not in report_html(facts())
    masks = {"books": {"e-mail addresses": 1200, "phone numbers": 3}}
    assert "e-mail addresses 1,200, phone numbers 3" in report_html(dataclasses.replace(facts(), masks=masks))


def test_the_page_shows_right_answers_and_margins_beside_every_accuracy():
    score = ChoiceScore(0.25, 0.02, 0.3, 0.03, 40, 3.125, 0.0625, -0.5, 0.25)
    before = ChoiceScore(0.25, 0.02, 0.3, 0.03, 40)
    given = facts()
    run = dataclasses.replace(given.run, choices={"arc_easy": score, "piqa": before})
    rows = tuple(row("arc_easy", metric, 0.5) for metric in ("acc", "answer_bits_per_byte", "answer_margin"))
    page = report_html(dataclasses.replace(given, run=run, scorecard=Scorecard("c", rows, {})))
    assert "3.1250 ± 0.0625" in page
    assert "-0.5000 ± 0.2500" in page
    for heading in ("Benchmarks", "right answers, lower is better", "behind the right one, higher is better"):
        assert f"{heading}</h3>" in page


def row(task, metric, value, count=10, comparisons=()):
    higher = metric != "bits_per_byte"
    return Row(task, task, metric, value, 0.01, count, higher, comparisons=comparisons)


def test_the_score_that_stands_for_a_model_is_of_english_or_of_the_largest_text_or_the_first():
    french = [row("contes", "bits_per_byte", 2.1, 5), row("presse", "bits_per_byte", 2.0, 9)]
    parts = [row("presse/fr", "bits_per_byte", 1.9, 99)]
    english = [row("english", "bits_per_byte", 1.98, 3)]
    tasks = [row("hellaswag", "acc_norm", 0.3), row("piqa", "acc", 0.5)]
    assert score_name(headline([*tasks, *french, *english])) == "bits per byte of all English held-out text"
    assert score_name(headline([*tasks, *french, *parts])) == "bits per byte of presse held-out text"
    assert score_name(headline(tasks)) == "hellaswag acc norm"
    assert headline([]) is None


def test_the_tiles_hold_the_score_beside_the_best_compressor_the_date_and_the_commit():
    best, worse = (Comparison(name, "compressor", value, True, False) for name, value in (("xz", 2.2), ("gzip", 3.0)))
    card = Scorecard("c", (row("english", "bits_per_byte", 1.9835, comparisons=(worse, best)),), {})
    built = Provenance("2030-01-02T03:04:05+00:00", 1, "mine", None, "", "0123456789abcdef+changes", {"torch": "2"}, {})
    page = report_html(dataclasses.replace(facts(), scorecard=card, built=built))
    tiles = re.findall(r'<div class="tile"><b>(.*?)</b><span>(.*?)</span>', page)
    assert tiles[0] == ("1.984 ± 0.010", "bits per byte of all English held-out text; xz 2.200")
    assert tiles[-2] == ("2030-01-02", "finished at 03:04 UTC, profile mine")
    assert tiles[-1] == ("012345678", "commit of the code, with changes since; torch 2")


def test_numbers_to_plot_have_names_that_no_other_score_changes():
    text = dataclasses.replace(row("books/fr", "bits_per_byte", 2), suite="bits_per_byte")
    numbers = numbers_of(Scorecard("c", (text, row("piqa", "acc", 0.5)), {}))
    assert numbers == {"bits_per_byte books fr": 2.0, "piqa acc": 0.5}
    assert all(type(value) is float for value in numbers.values())


def test_the_page_says_of_a_suite_that_was_not_possible_why():
    known = facts()
    card = dataclasses.replace(known.scorecard, rows=(), not_possible={"long": "no text is as long as the context"})
    page = report_html(dataclasses.replace(known, scorecard=card))
    assert "Not possible here" in page
    assert "no text is as long as the context" in page
    assert "no text is as long" not in model_card(dataclasses.replace(known, scorecard=card))


def test_a_page_about_a_model_that_was_never_scored_says_what_there_is():
    bare = Facts("bare", "ab" * 16, {}, None)
    assert "<h2>Scores</h2>" not in report_html(bare)
    assert "# bare" in model_card(bare)


def test_the_lineage_is_a_tree_that_unfolds_each_artifact_once():
    assert lineage_tree(facts().lineage) == [
        f"model  {'ab' * 6}  content {'c' * 12}",
        f"├─ shards  {'s' * 12}  content {'d' * 12}",
        f"│  └─ tokens  {'t' * 12}  content {'e' * 12}",
        "└─ tokens  …",
    ]


def test_the_card_has_front_matter_scores_and_lineage():
    card = model_card(facts())
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-generation\nlanguage:\n- en\n---\n")
    for text in ("676,960 parameters", "0.3000 ± 0.0046", "gzip -9", "└─ tokens"):
        assert text in card


def test_a_comparison_names_what_differs_and_judges_by_the_noise():
    a, b = facts("a", 0.30), facts("b", 0.31, rate=1e-3, fingerprint="cd" * 16)
    assert differing_settings(a, b) == [{"setting": "training.learning_rate", "a": 3e-3, "b": 1e-3}]
    assert differing_inputs(a, b) == []
    (row,) = compared_scores(a, b)
    assert (row["verdict"], row["difference"]) == ("within noise", "0.0100")
    (row,) = compared_scores(a, facts("c", 0.35))
    assert row["verdict"] == "c is better"
    assert compared_costs(a, b)[0] == {"what": "parameters", "a": 676960, "b": 676960}
