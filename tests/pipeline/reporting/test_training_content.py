"""What a model was trained on, from its lineage alone: shares, licences, removals; Croissant and the EU's draft."""

from __future__ import annotations

import dataclasses
import json

import pytest
from typer.testing import CliRunner

from pipeline.base.errors import SqueezeError
from pipeline.base.executor import InProcess
from pipeline.cli.app import app
from pipeline.curation.contamination import find_contamination
from pipeline.curation.documents import build_documents
from pipeline.curation.duplicates.near_duplicates import find_near_duplicates
from pipeline.curation.heldout import split_heldout
from pipeline.curation.selection import select_corpus
from pipeline.curation.settings import ContaminationSettings, HeldoutSettings, NearDuplicateSettings
from pipeline.reporting.provenance import provenance_of
from pipeline.reporting.training_content import croissant_of, training_content_summary
from pipeline.sharding.schedule.build import ScheduleRow, ScheduleSummary
from pipeline.store import Built, Store
from tests.pipeline.curation.stories import corpus, story


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with a model of two corpora: one under a licence, with three quarters of the tokens, one without."""
    root = tmp_path_factory.mktemp("home")
    texts = {
        "books": [story(n) for n in range(30)],
        "web": [f"{story(n)} mail{n}@example.org" for n in range(100, 140)] + ["too short"],
    }
    settings = {}
    for name, some in texts.items():
        path = root / f"{name}.jsonl"
        path.write_text("\n".join(json.dumps({"text": text}) for text in some))
        settings[name] = corpus(
            path, filters={"minimum_words": 5}, **({"license": "CC-BY-4.0"} if name == "books" else {})
        )
    store = Store(root / "store", "mine").open()

    def made(key, build, inputs=(), identity=None):
        def built(out):
            summary = build(out) if callable(build) else build
            facts = json.loads(
                json.dumps(dataclasses.asdict(summary) if dataclasses.is_dataclass(summary) else summary)
            )
            return Built(facts.pop("content_hash", key), facts)

        parents = {item.key: item for item in inputs}
        return store.ensure(
            key, code_version="1", identity=identity or {"of": key}, inputs=parents, build=built
        ).artifact

    documents, heldout = {}, {}
    for name, of in settings.items():
        identity = {"sources": [{"files": ["x"]}], "normalizing": {"mask_personal": name == "web"}}
        read = lambda out, name=name, of=of: build_documents(name, of.documents, out, cache=root, executor=InProcess())  # noqa: E731
        documents[name] = made(f"documents/{name}", read, identity=identity)
        split = lambda out, name=name: split_heldout(name, HeldoutSettings(), documents[name].path, out)  # noqa: E731
        heldout[name] = made(f"heldout/{name}", split, [documents[name]])
    folders = {name: item.path for name, item in documents.items()}, {name: item.path for name, item in heldout.items()}
    near = made(
        "near_duplicates",
        lambda out: find_near_duplicates(NearDuplicateSettings(), *folders, out, executor=InProcess()),
    )
    clean = made(
        "contamination",
        lambda out: find_contamination(ContaminationSettings(), folders[0], [], out, executor=InProcess()),
        identity={"tasks": ["hellaswag"]},
    )
    selected = [
        made(
            f"corpus/{name}",
            lambda out, name=name: select_corpus(
                name, settings, folders[0], heldout[name].path, near.path, clean.path, out
            ),
            [documents[name], heldout[name], near, clean],
        )
        for name in settings
    ]
    rows = [("books", 300), ("web/en", 60), ("web/unknown", 40)]
    parts = [
        ScheduleRow(1, "all", label, 1, tokens, share=0.1, repeats=1.0, from_pass=0.0, to_pass=1.0)
        for label, tokens in rows
    ]
    schedule = made("schedule", ScheduleSummary("s", 1, 3, 400, tuple(parts)), selected)
    shards = made("shards/epoch_001", {}, [schedule])
    made("model", {}, [shards])
    return store


def test_every_corpus_has_its_share_of_the_training_tokens_its_licence_and_what_was_removed_of_it(trained) -> None:
    model = trained.current("model")
    made = provenance_of(model, trained.ancestry(model))
    assert [(corpus.name, corpus.tokens, corpus.share) for corpus in made.corpora] == [
        ("books", 300, 0.75),
        ("web", 100, 0.25),
    ]
    assert made.licenses == {"CC-BY-4.0": 0.75, "not stated": 0.25}
    assert made.decontaminated == ("hellaswag",)
    web = made.corpora[1]
    assert web.sources[0].endswith("web.jsonl")
    assert web.masked
    assert web.masks == {"e-mail addresses": 40}
    assert made.corpora[0].masks == {}
    steps = {step.step: step.documents for step in web.removed}
    assert steps["too few words"] == 1
    assert steps["held out"] >= 1
    assert web.removed[0].step == "around the text", "reading comes before selecting"


def test_the_croissant_is_valid_to_mlcroissant(trained, tmp_path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    model = trained.current("model")
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(croissant_of(provenance_of(model, trained.ancestry(model)), "mine")))
    for described in (path, trained.current("corpus/books").path / "croissant.json"):
        dataset = mlcroissant.Dataset(jsonld=str(described))
        assert not dataset.metadata.ctx.issues.errors
        assert dataset.metadata.ctx.conforms_to.value.endswith("/1.1")


def test_the_croissant_names_files_hashes_and_licences(trained) -> None:
    model = trained.current("model")
    described = croissant_of(provenance_of(model, trained.ancestry(model)), "mine")
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert described["license"] == ["CC-BY-4.0"]
    books = trained.current("corpus/books")
    assert described["distribution"][0]["sha256"] == books.manifest.files["selection.parquet"].sha256
    assert described["distribution"][0]["contentUrl"] == f"corpus/books/{books.fingerprint}/selection.parquet"
    assert any("too few words" in line for line in described["rai:dataPreprocessingProtocol"])


def test_the_draft_fills_in_what_is_known_and_brackets_what_is_not(trained) -> None:
    model = trained.current("model")
    text = training_content_summary(provenance_of(model, trained.ancestry(model)), "mine")
    assert "less than 1 billion tokens (400, repeats included" in text
    assert "CC-BY-4.0 75.00%, not stated 25.00%" in text
    assert "Of 25.00% of the training tokens no licence is stated: [to be filled in]" in text
    assert "- Provider, contact, authorised representative: [to be filled in]" in text
    assert "There are 40 e-mail addresses." in text
    assert "E-mail and public IP addresses are replaced by constants in: web." in text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert [line.split()[1] for line in headings[1:]] == [
        "1.",
        "2.",
        *(f"2.{n}" for n in range(1, 7)),
        "3.",
        "3.1",
        "3.2",
        "3.3",
    ]


def test_the_command_shows_it_and_writes_three_files(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SQUEEZE_HOME", str(trained.root))
    profile = tmp_path / "mine.yaml"
    profile.write_text("extends: sample\n")
    ran = CliRunner().invoke(app, ["provenance", "--profile", str(profile), "--out", str(tmp_path / "out"), "--json"])
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["licenses"] == {"CC-BY-4.0": 0.75, "not stated": 0.25}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "croissant.json",
        "provenance.json",
        "training_content.md",
    ]
    shown = CliRunner().invoke(app, ["provenance", "--profile", str(profile)], env={"COLUMNS": "200"})
    assert "75.00%" in shown.output
    assert "too few words" in shown.output


def test_a_model_of_no_shards_says_what_to_do(tmp_path) -> None:
    store = Store(tmp_path, "mine").open()
    model = store.ensure("model", code_version="1", identity={}, inputs={}, build=lambda _: Built("m", {})).artifact
    with pytest.raises(SqueezeError, match="came from no shards of the store"):
        provenance_of(model, store.ancestry(model))
