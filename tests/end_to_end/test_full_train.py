"""The main job from the command line: it builds everything once, and then only what changed."""

import hashlib
import json
import re

CORPORA = ("web", "tales")
ALL = {
    *(f"{kind}/{corpus}" for kind in ("documents", "heldout", "corpus", "tokens") for corpus in CORPORA),
    *("near_duplicates", "contamination", "mixture", "tokenizer/bpe_tiny", "tokenizer_comparison", "tokenizer"),
    *("schedule", "shards/epoch_001", "shards/epoch_002", "validation", "model", "model_hf"),
    *("eval/bits_per_byte", "scorecard"),
    "report",
}
FROM_THE_MODEL_ON = {"model", "model_hf", "eval/bits_per_byte", "scorecard", "report"}


def test_the_first_run_builds_every_asset(project):
    built, reused = project.first
    assert built == ALL
    assert reused == set()


def test_the_same_command_again_reuses_every_asset(project):
    built, reused = project.full_train()
    assert built == set()
    assert reused == ALL


def test_one_more_epoch_builds_that_epoch_the_model_and_what_follows(project):
    built, reused = project.full_train(project.variant("three_epochs", ("epochs: 2", "epochs: 3")))
    assert built == {"schedule", "shards/epoch_003", *FROM_THE_MODEL_ON}
    assert {"shards/epoch_001", "shards/epoch_002"} <= reused


def test_another_learning_rate_trains_again_and_rebuilds_nothing_before(project):
    built, _ = project.full_train(project.variant("faster", ("learning_rate: 3e-3", "learning_rate: 6e-3")))
    assert built == FROM_THE_MODEL_ON


def test_the_launchpad_overrides_training_settings_and_refuses_what_does_not_fit(project):
    def run_with(config, check=True, **more):
        return project.run("dagster", "job", "execute", "-j", "full_train", "-c", config, check=check, **more)

    config = project.folder / "launch.yaml"
    config.write_text("ops: {model: {config: {optimizer: {learning_rate: 0.001}}}}\n")
    built, _ = project.outcomes(run_with(config, SQUEEZE_LOG_LEVEL="DEBUG").stderr)
    assert built == FROM_THE_MODEL_ON
    config.write_text("ops: {model: {config: {optimizer: {learning_rate: -1.0}}}}\n")
    done = run_with(config, check=False)
    assert done.returncode != 0
    assert "launchpad: training.optimizer.learning_rate: must be above 0, found -1.0" in done.stderr
    project.full_train()  # back to the profile's own


def test_another_suite_builds_that_suite_and_the_scorecard(project):
    more = "    bits_per_byte: {kind: bits_per_byte}\n    samples: {kind: samples, new_tokens: 4}\n"
    variant = project.variant("suites", ("    bits_per_byte: {kind: bits_per_byte}\n", more))
    built, _ = project.full_train(variant)
    assert built == {"eval/samples", "scorecard", "report"}


def test_another_threshold_rewrites_no_text(project):
    variant = project.variant("stricter", ("{minimum_words: 10}", "{minimum_words: 60}"))
    done = project.run(
        "dagster", "asset", "materialize", "--select", "stricter/corpus/web", profile=variant, check=False
    )
    sentence = done.stderr.splitlines()[-1]  # a new profile has no current artifacts yet
    assert sentence.startswith("error: preflight: corpus/web needs contamination, documents/tales, documents/web, ")
    assert "the store has not for the profile stricter" in sentence
    built, reused = project.full_train(variant)
    assert {"documents/web", "heldout/web", "near_duplicates"} <= reused
    assert {"corpus/web", "tokens/web", "model"} <= built


def test_an_asset_alone_from_the_command_line(project):
    done = project.run("dagster", "asset", "materialize", "--select", "tiny/corpus/web")
    assert "corpus/web: reused" in done.stderr
    assert "tokens/web" not in done.stderr


def test_the_official_successor_of_the_command_works_too(project):
    done = project.run("dagster", "job", "execute", "-m", "pipeline.definitions", "-j", "full_train")
    assert "none built" in done.stderr
    assert project.run("dagster", "definitions", "validate").returncode == 0


def test_the_model_learned_and_its_lineage_reaches_the_documents(project):
    listed = project.run("squeeze", "ls").stdout
    assert "scorecard" in listed
    assert "first build" in listed
    store = project.folder / ".squeeze"
    model = next(store.glob("model/*/manifest.json"))
    run = json.loads(model.read_text())["summary"]["run"]
    assert run["world_size"] == 2
    assert run["final_train_loss"] < 5.0  # a uniform guess over 512 tokens has 6.24
    lineage = json.loads((model.parent / "lineage.json").read_text())
    keys = {item["key"] for item in lineage["artifacts"].values()}
    assert {"documents/web", "corpus/tales", "shards/epoch_001", "schedule", "tokenizer"} <= keys


def test_lineage_verify_and_generate_print_what_they_promise(project):
    tree = project.run("squeeze", "lineage", "scorecard").stdout
    assert "documents/web" in tree
    assert "shards/epoch_002" in tree
    assert "artifacts are whole" in project.run("squeeze", "verify").stdout
    continued = project.run("squeeze", "generate", "The old king", "--tokens", "20").stdout
    assert continued.startswith("The old king")
    assert len(continued.strip()) > len("The old king")


def test_verify_finds_a_flipped_byte_and_the_job_builds_just_that_artifact_anew(fresh_project):
    project = fresh_project
    project.run("dagster", "asset", "materialize", "--select", "tiny/documents/web,tiny/heldout/web")
    (part,) = (project.folder / ".squeeze").glob("documents/web/*/part-00000.parquet")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(bytes(content))
    done = project.run("squeeze", "verify", check=False)
    assert done.returncode == 1
    assert "part-00000.parquet" in done.stdout
    part.write_bytes(bytes(content[:-1]))  # truncated: even a look at sizes notices
    done = project.run("dagster", "asset", "materialize", "--select", "tiny/documents/web,tiny/heldout/web")
    assert re.search(r"documents/web: .*rebuilt because: the file", done.stderr)
    assert "heldout/web: reused" in done.stderr
    assert project.run("squeeze", "verify").returncode == 0


def test_gc_asks_and_removes_only_what_no_profile_needs(fresh_project):
    project = fresh_project
    both = "tiny/documents/web,tiny/heldout/web"
    project.run("dagster", "asset", "materialize", "--select", both)
    assert "nothing to remove" in project.run("squeeze", "gc").stdout
    changed = project.variant("tiny2", ("lang: en}]\n    filters: {minimum_words: 10}\n  tales", "lang: fr}]\n  tales"))
    project.profile.write_text(changed.read_text())
    project.run("dagster", "asset", "materialize", "--select", both)
    refused = project.run("squeeze", "gc", check=False)  # no terminal to answer on
    assert refused.returncode == 1
    assert "Remove these" in refused.stdout
    assert "removed" in project.run("squeeze", "gc", "--yes").stdout
    assert len(list((project.folder / ".squeeze").glob("documents/web/*/manifest.json"))) == 1
    assert project.run("squeeze", "verify").returncode == 0


def test_loading_the_code_location_imports_nothing_heavy(project):
    code = (
        "import sys, pipeline.definitions; heavy = {'torch', 'datasets', 'lm_eval', 'matplotlib', 'transformers'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert project.run("python", "-c", code).stdout.strip() == "[]"


def test_a_broken_profile_ends_the_command_with_the_file_the_line_and_the_nearest_key(project):
    wrong = project.variant("wrong", ("  heldout: {share: 0.1}", "  helduot: {share: 0.1}"))
    done = project.run("dagster", "job", "execute", "-j", "full_train", profile=wrong, check=False)
    assert done.returncode != 0
    line = 1 + wrong.read_text()[: wrong.read_text().index("helduot")].count("\n")
    assert f"wrong.yaml, line {line}: curation.helduot: unknown key; did you mean 'heldout'?" in done.stderr


def test_squeeze_says_so_when_there_is_no_store(fresh_project):
    done = fresh_project.run("squeeze", "ls", check=False)
    assert done.returncode == 1
    assert "there is no store" in done.stderr
    assert "Traceback" not in done.stderr


def test_dropped_epochs_are_built_again_byte_for_byte_and_nothing_else_is(project):
    def hashes():
        files = (project.folder / ".squeeze").glob("shards/epoch_00[12]/*/stage_*/*.arrow")
        return {file.name + str(file.parent): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    before = hashes()  # of every profile that ran here
    assert "rebuilt when needed" in project.run("squeeze", "gc", "--epochs", "--yes").stdout
    assert hashes() == {}
    built, _ = project.full_train()
    assert built == {"shards/epoch_001", "shards/epoch_002"}
    after = hashes()
    assert len(after) == 3  # two stages in epoch 1, one in epoch 2
    assert after.items() <= before.items()


def test_the_plan_is_a_table_before_and_after_anything_is_built(project, fresh_project):
    planned = project.run("squeeze", "plan").stdout
    assert "tales_first" in planned
    assert "total" in planned
    by_size = fresh_project.run("squeeze", "plan").stdout  # of local files, which are there
    assert "estimated at 4 bytes a token" in by_size
    estimated = fresh_project.run("squeeze", "plan", "--size", "tales=1MB", "--size", "web=2MB").stdout
    assert "estimated at 4 bytes a token" in estimated
