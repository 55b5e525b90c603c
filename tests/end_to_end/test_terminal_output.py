"""What a run says on the terminal: a few short lines, wherever Dagster's own settings lie, and how it ended last."""

import re

JOB = ("dagster", "job", "execute", "-m", "pipeline.definitions", "-j")
MOST_LINES = 40
EVENTS = re.compile(r"STEP_START|RESOURCE_INIT|LOGS_CAPTURED|HANDLED_OUTPUT|ENGINE_EVENT")


def lines_of(done):
    return done.stderr.strip().splitlines()


def test_a_whole_run_is_a_few_short_lines_and_ends_with_what_came_of_it(fresh_project, tmp_path):
    home = tmp_path / "home of dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    done = fresh_project.run(*JOB, "full_train", DAGSTER_HOME=str(home))
    lines = lines_of(done)
    assert len(lines) <= MOST_LINES
    assert not EVENTS.search(done.stderr)
    assert "PreviewWarning" not in done.stderr
    assert sum(bool(re.match(r"\d\d:\d\d:\d\d [a-z]", line)) for line in lines) >= 4
    headings = [line.split()[0] for line in lines if re.match(r"  [a-z/]+  ", line)]
    assert headings == ["bits/byte", "model", "training", "assets", "report", "next"]
    assert re.search(r"bits/byte +tales +\d\.\d+ ± [\d.]+ +xz -9e \d", done.stderr)
    page = re.search(r"report +file://(\S+)", done.stderr)[1]
    assert "bits per byte" in (fresh_project.folder / page.replace("%20", " ")).read_text().lower()
    for command in ("squeeze generate --profile", "squeeze report --profile", "dagster dev"):
        assert command in lines[-1]


def test_assets_by_themselves_end_in_a_fitting_way(fresh_project):
    done = fresh_project.run("dagster", "asset", "materialize", "--select", "tiny/documents/web,tiny/heldout/web")
    assert "documents/web, heldout/web: first build" in done.stderr or "heldout/web: 30 of 300" in done.stderr
    assert re.search(r"assets +built documents/web, heldout/web", done.stderr)
    assert "dagster job execute -j full_train" in lines_of(done)[-1]
    assert "bits/byte" not in done.stderr


def test_a_failure_ends_with_its_sentence_and_without_a_traceback(fresh_project):
    missing = fresh_project.variant("missing", ("tales.jsonl", "tails.jsonl"))
    for command in ((*JOB, "full_train"), ("dagster", "asset", "materialize", "--select", "missing/documents/tales")):
        done = fresh_project.run(*command, profile=missing, check=False)
        assert done.returncode != 0
        assert re.fullmatch(r"error: .*tails\.jsonl does not exist: correct .*", lines_of(done)[-1])
        assert "Traceback" not in done.stderr
        assert "Stack Trace" not in done.stderr
        assert "Not executing" not in done.stderr


def test_a_profile_that_cannot_be_read_ends_with_its_sentence_alone(fresh_project):
    wrong = fresh_project.variant("wrong", ("heldout: {share: 0.1}", "helduot: {share: 0.1}"))
    done = fresh_project.run(*JOB, "full_train", profile=wrong, check=False)
    assert done.returncode != 0
    assert "did you mean 'heldout'?" in lines_of(done)[-1]
    assert "Traceback" not in done.stderr


def test_everything_is_shown_where_the_runs_configuration_asks_for_it(fresh_project):
    config = fresh_project.folder / "everything.yaml"
    config.write_text("loggers: {console: {config: {log_level: DEBUG}}}\n")
    done = fresh_project.run("dagster", "asset", "materialize", "--select", "tiny/documents/web", "-c", config)
    assert "STEP_START documents/web" in done.stderr
    assert "documents/web: building" in done.stderr


def test_an_asset_that_is_not_there_is_named_without_a_traceback(fresh_project):
    done = fresh_project.run("dagster", "asset", "materialize", "--select", "tiny/documents/wob", check=False)
    assert done.returncode != 0
    assert "documents/wob" in done.stderr
    assert "Traceback" not in done.stderr
