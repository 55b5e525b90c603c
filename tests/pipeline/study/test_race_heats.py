"""A tiny race by the real commands: two runs a heat, their file and score, the board, and what a check finds."""

import json
import random

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import StudyError
from pipeline.cli.app import app
from pipeline.evaluation.one_file import read_one_file
from pipeline.store import Store
from pipeline.study.data import FINAL
from pipeline.study.race.board import BEGIN, END
from pipeline.study.race.heat import Heat
from pipeline.study.results.runs_table import read_csv
from pipeline.study.runs.seed_process import score_sample

pytestmark = pytest.mark.slow

RULES = """\
corpora:
  web:
    sources: [{files: web.jsonl, group_field: page, lang: en}]
  tales:
    sources: [{files: tales.jsonl, group_field: page, lang: en}]
curation: {heldout: {share: 0.2}}
tokenizers: {candidates: [bpe_tiny], select: bpe_tiny, folder: ., sample: {bytes: 100_000}}
schedule: {stages: [{name: all, mixture: {web: 1, tales: 1}}]}
shards: {workers: 1}
model: {vocab_size: 300, context: 32, width: 32, layers: 1, heads: 2, ff_width: 64}
training:
  {batch_tokens: 256, optimizer: {learning_rate: 3e-3}, schedule: {warmup_steps: 2}, device: cpu, jump_factor: null}
evaluation: {suites: {bits_per_byte: {kind: bits_per_byte}}}
study:
  budget: {bytes: 20_000}
  seeds: [1, 2]
  points: 1
  heldout: {bytes: {web: 2_000, tales: 2_000}, seed: 2, without: {bytes: {web: 1_000, tales: 1_000}}}
  baseline: standard
  race: {least_seeds: 2, most_bytes: 30_000, most_text: 25_000}
  data:
    standard: {tokens: 12_000}
  arms:
    standard: {title: as it is}
"""
ENTRY = """\
extends: rules.yaml
study:
  race: {track: bytes, bits: 6}
  data: {twice: {tokens: 3_000, epochs: 2}}
  arms:
    entry: {title: RoPE, data: twice, budget: {tokens: 5_120}, change: {model.position: rope}}
"""
WORDS = "the a one old king fox river tree moon garden baker walked sang found bright quiet and so then while".split()


def race(*words):
    result = CliRunner().invoke(app, ["race", *map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("race")
    generator = random.Random(1)
    for name in ("web", "tales"):
        rows = [
            {"text": " ".join(generator.choices(WORDS, k=60)).capitalize() + ".", "page": f"{name} {n}"}
            for n in range(150)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "bpe_tiny.yaml").write_text("kind: bpe\nvocab_size: 300\n")
    (folder / "rules.yaml").write_text(RULES)
    (folder / "small.yaml").write_text(ENTRY)
    (folder / "page.md").write_text(f"# The board\n\n{BEGIN}\n{END}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SQUEEZE_HOME", str(folder / "store"))
        yield folder


@pytest.fixture(scope="module")
def raced(project):
    rules = ("--rules", project / "rules.yaml")
    said = race("run", "small.yaml", *rules)
    return said, rules


@pytest.fixture(scope="module")
def board(project, raced):
    _, rules = raced
    words = ("--board", project / "board", "--page", project / "page.md", *rules)
    race("enter", "small.yaml", "--machine", "a test", *words)
    return words


def test_both_runs_are_scored_and_the_file_is_what_the_entry_is_ranked_by(project, raced):
    said, _ = raced
    assert said.rstrip().endswith("ranked")
    store = Store(project / "store", "small").open()
    artifact = store.current("race_heat/1")
    heat = artifact.summary_as(Heat)
    file = artifact.path / "entry.xz"
    assert file.stat().st_size == heat.entry.file.bytes
    scores = score_sample(read_one_file(file), store.current("ablation_heldout").path / FINAL, ())
    assert scores == heat.entry.file.bits_per_byte
    assert heat.entry.result.cpu_seconds > 0 < heat.standard.result.cpu_seconds
    assert heat.entry.text_bytes < heat.standard.text_bytes <= 20_000  # 3,000 tokens twice, 20,000 bytes once
    assert not any(name.name.endswith(".safetensors") for name in artifact.path.rglob("*"))
    assert {"ablation_heldout", "ablation_data/twice", "ablation_data/standard"} <= artifact.manifest.inputs.keys()


def test_every_seed_has_a_heat_of_its_own_weights(project, raced):
    store = Store(project / "store", "small").open()
    heats = [store.current(f"race_heat/{seed}").summary_as(Heat) for seed in (1, 2)]
    assert [heat.seed for heat in heats] == [1, 2]
    assert len({heat.standard.result.bits_per_byte["all"] for heat in heats}) == 2


def test_the_board_has_both_lines_and_the_check_agrees(project, board):
    rows = read_csv(project / "board" / "board.csv")
    assert {(row["entry"], row["track"], row["seeds"]) for row in rows} == {
        ("small", "bytes", "2"),
        ("standard", "bytes", "2"),
    }
    assert f"`{rows[0]['entry']}`" in (project / "page.md").read_text()
    assert "2 heats follow from their profiles, 2 of them compared with this store" in race("check", *board)


def test_a_figure_that_was_altered_is_found(project, board):
    record = project / "board/entries/small.json"
    kept = record.read_text()
    values = json.loads(kept)
    values["heats"][0]["heat"]["entry"]["run"]["cpu_seconds"] /= 2
    record.write_text(json.dumps(values))
    try:
        with pytest.raises(StudyError, match=r"small: seed 1: the store's heat \w+ found something else"):
            race("check", *board)
    finally:
        record.write_text(kept)


def test_an_entry_that_breaks_a_rule_runs_nothing(project, raced):
    (project / "easier.yaml").write_text(ENTRY.replace("  data:", "  heldout: {seed: 9}\n  data:"))
    with pytest.raises(StudyError, match=r"easier is no entry of the race:\n  study\.heldout: is the race's"):
        race("run", "easier.yaml", *raced[1])
    assert Store(project / "store", "easier").open().find_current("race_heat/1") is None
