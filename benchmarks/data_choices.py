"""What choosing text is worth at equal tokens: a searched mixture, and a threshold of a quality model; in one process.

    python benchmarks/data_choices.py mixture PROFILE STORE OUT
    python benchmarks/data_choices.py quality PROFILE STORE OUT --corpus fineweb_edu --like textbooks --least 0.5

PROFILE has a study with a `mixture_search` (docs/data.md has one). STORE is an artifact store (SQUEEZE_HOME) with the
curated corpora and the tokenizer of it. OUT keeps every run's result, so that the same command goes on after a kill.
`mixture` does what the assets `mixture_search` and `mixture_test` do, without an orchestrator's start for each run.
`quality` trains on a corpus as it is and on what lies above a quantile, and scores both on the same held-out text.
Differences are paired by seed, with 95% intervals.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.base.executor import InProcess
from pipeline.base.files import write_json
from pipeline.base.parquet import read_table
from pipeline.curation.corpus import CuratedCorpus
from pipeline.curation.quality.scoring import QualityScores, score_corpus
from pipeline.curation.quality.training import train_quality_model
from pipeline.curation.selected import SELECTION_FILE
from pipeline.curation.settings import QualityModelSettings
from pipeline.curation.tables import write_table
from pipeline.profile.profile import load_profile
from pipeline.sharding.settings import StageSettings
from pipeline.study.data import build_data, encode_corpora, sample_heldout
from pipeline.study.mixture_settings import MixtureSearch
from pipeline.study.mixtures.search import MixtureSummary, judge_mixtures, proxy_plan, search_mixture, with_found
from pipeline.study.plan import ArmPlan, StudyPlan
from pipeline.study.results.intervals import paired, shown
from pipeline.study.results.run_result import FINISHED, POOLED, RunResult
from pipeline.study.runs.seed_process import SeedTask, run
from trainer.process.signals import StopRequest


def main() -> None:
    """Run the part that was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["mixture", "quality"])
    for name in ("profile", "store", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--corpus", default="fineweb_edu")
    parser.add_argument("--like", default="textbooks")
    parser.add_argument("--least", type=float, default=0.5, help="quantile below which text is left out")
    options = parser.parse_args()
    plan = load_profile(str(options.profile)).study_plan
    if plan is None:
        parser.error(f"{options.profile} has no study")
    lab = Lab(plan, options.store, options.out)
    if options.part == "mixture":
        compare_mixtures(lab)
    else:
        compare_quality(lab, options.corpus, options.like, options.least)


class Lab:
    """Runs of a study's arms in this process, each kept in a folder."""

    def __init__(self, plan: StudyPlan, store: Path, out: Path) -> None:
        self.plan, self.store, self.out = plan, store, out
        self.tokenizer = newest(store / "tokenizer" / plan.tokenizer_of(next(iter(plan.settings.data))))
        out.mkdir(parents=True, exist_ok=True)
        self.heldout = out / "heldout"
        if not self.heldout.is_dir():
            corpora = plan.settings.heldout.bytes
            sample_heldout(
                plan.settings.heldout, {name: newest(store / "heldout" / name) for name in corpora}, self.heldout
            )

    def corpus(self, name: str) -> CuratedCorpus:
        """A curated corpus of the store."""
        return CuratedCorpus(*(newest(self.store / asset / name) for asset in ("documents", "corpus", "heldout")))

    def tokens(self, name: str, corpora: Mapping[str, CuratedCorpus]) -> dict[str, Path]:
        """Token stores of corpora, encoded once."""
        folder = self.out / "tokens" / name
        if not (folder / "done.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            summary = encode_corpora(corpora, self.tokenizer, folder, InProcess())
            write_json(folder / "done.json", summary.tokens)
        return {corpus: folder / corpus for corpus in corpora}

    def counts(self, name: str) -> dict[str, int]:
        """Tokens of each corpus of a set of token stores."""
        return dict(json.loads((self.out / "tokens" / name / "done.json").read_text()))

    def run(
        self, plan: StudyPlan, arm: ArmPlan, label: str, stages: Sequence[StageSettings], tokens: Mapping[str, Path]
    ) -> dict[int, RunResult]:
        """The runs of an arm on stages of its own, by seed."""
        data = plan.settings.data[arm.data[0]]
        shards = self.out / "data" / label
        if not (shards / "done.json").is_file():
            shards.mkdir(parents=True, exist_ok=True)
            made = build_data(data, stages, tokens, shards, InProcess())
            write_json(shards / "done.json", made.epochs)
        epochs = [shards / epoch for epoch in json.loads((shards / "done.json").read_text())]
        return {seed: self._seed(plan, arm, f"{label}-{seed}", seed, epochs) for seed in arm.seeds}

    def _seed(self, plan: StudyPlan, arm: ArmPlan, name: str, seed: int, epochs: list[Path]) -> RunResult:
        folder = self.out / "runs" / name
        if not (folder / "result.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            task = SeedTask(
                model=arm.model.to_dict(),
                training=dataclasses.asdict(arm.training) | {"seed": seed, "max_steps": None},
                budget=arm.budget.model_dump(),
                points=1,
                epochs=epochs,
                tokenizer=self.tokenizer,
                heldout=self.heldout,
                apart=list(plan.settings.heldout.apart),
            )
            found = run(folder, task, StopRequest())
            if found is None:
                raise SystemExit("stopped")
            write_json(folder / "result.json", found.to_json())
        result = RunResult.of(folder / "result.json")
        print(f"{name}: {result.bits_per_byte.get(POOLED, result.state)}", flush=True)
        return result


def compare_mixtures(lab: Lab) -> None:
    """Search, and test what was found."""
    search = lab.plan.settings.mixture_search
    if search is None:
        raise SystemExit("the profile's study has no mixture_search")
    tokens = lab.tokens("all", {name: lab.corpus(name) for name in search.corpora})
    proxies = proxy_plan(lab.plan, search)
    runs = {}
    for name in proxies.settings.arms:
        result = lab.run(proxies, proxies.arm(name), name, proxies.stages_of(name), tokens)[search.seed]
        if result.state == FINISHED:
            runs[name] = result.bits_per_byte
    found = search_mixture(search, runs, lab.counts("all"))
    for corpus, share in found.shares.items():
        print(f"{corpus:20} {share:.3f}  {found.low[corpus]:.3f} to {found.high[corpus]:.3f}")
    print(f"predicted {found.predicted:.4f} ({found.predicted_low:.4f} to {found.predicted_high:.4f})")
    print(f"by hand {found.by_hand:.4f}, form {found.form}, left-out errors {found.errors}")
    _test_mixtures(lab, search, found, tokens)


def _test_mixtures(lab: Lab, search: MixtureSearch, found: MixtureSummary, tokens: Mapping[str, Path]) -> None:
    arms = {}
    for name in search.tests:
        arm = lab.plan.arm(name)
        arms[name] = lab.run(lab.plan, arm, name, with_found(lab.plan.stages_of(arm.data[0]), found), tokens)
    judged = judge_mixtures(search, found, arms)
    for row in judged.arms:
        print(row)
    print(f"relative gain over {search.tests[1]}: predicted {judged.predicted_gain}, measured {judged.measured_gain}")


def compare_quality(lab: Lab, corpus: str, like: str, least: float) -> None:
    """A corpus as it is beside what lies above a quantile of a quality model's scores."""
    settings = QualityModelSettings(like=(like,), unlike=(corpus,))
    model, scores = lab.out / "quality_model", lab.out / "quality"
    whole = lab.corpus(corpus)
    if not (scores / "scores.parquet").is_file():
        model.mkdir(exist_ok=True)
        scores.mkdir(exist_ok=True)
        folders = [
            {name: newest(lab.store / asset / name) for name in settings.corpora} for asset in ("documents", "heldout")
        ]
        print(train_quality_model(settings, *folders, model))
        print(score_corpus(whole.documents, model, scores, executor=InProcess()))
    better = dataclasses.replace(whole, selection=lab.out / "selection")
    better.selection.mkdir(exist_ok=True)
    selection = read_table(whole.selection / SELECTION_FILE)
    rows = selection.column("row").to_numpy()
    batch = QualityScores({"edu": scores}).beside(pa.record_batch({"row": rows}), rows)
    kept = pc.greater_equal(batch.column("quality.edu.quantile"), least)
    write_table(better.selection / SELECTION_FILE, selection.filter(kept).to_pydict(), selection.schema)
    arm = lab.plan.arm(lab.plan.settings.baseline)
    stages = [StageSettings.model_validate({"name": "mixture", "mixture": {corpus: 1}})]
    results = {}
    for label, chosen in (("as_it_is", whole), ("above", better)):
        results[label] = lab.run(lab.plan, arm, f"quality_{label}", stages, lab.tokens(label, {corpus: chosen}))
    share = np.mean(kept.to_numpy(zero_copy_only=False))
    print(f"above the quantile {least:g}: {share:.0%} of the documents; bits per byte, above minus as it is:")
    for name in (*lab.plan.settings.heldout.bytes, POOLED):
        above, whole_text = (
            {seed: run.bits_per_byte[name] for seed, run in results[label].items()} for label in ("above", "as_it_is")
        )
        means = [float(np.mean(list(values.values()))) for values in (above, whole_text)]
        print(f"{name:20} {means[0]:.4f} {means[1]:.4f} {shown(paired(above, whole_text))}")


def newest(folder: Path) -> Path:
    """The artifact of an asset that was built last."""
    return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


if __name__ == "__main__":
    main()
