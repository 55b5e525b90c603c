"""A small profile from its sources to its scores: every artifact has one content hash, whatever works on it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.ray_nodes import RayNodes
from tests.cluster.small_work import give_small_work_away
from tests.cluster.whole_profile import build_all
from tests.end_to_end.tiny_project import text
from tests.pipeline.curation.stories import similar

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
PATIENCE = 1500  # seconds for one profile
OTHER_PYTHON = "SQUEEZE_OTHER_PYTHON"
"""Names an interpreter of another minor version that has the project's requirements."""
PROFILE = """\
name: small
description: every kind of artifact, over generated text
corpora:
  a: {{sources: [{{files: "{texts}/a*.jsonl", lang: en}}]}}
  b: {{sources: [{{files: "{texts}/b*.jsonl", lang: en}}]}}
curation: {{heldout: {{share: 0.1}}, workers: {workers}}}
tokenizers:
  candidates: [bpe_small]
  select: bpe_small
  folder: {texts}/tokenizers
  sample: {{bytes: 100_000}}
schedule:
  epochs: 2
  tokens_per_epoch: 12_000
  stages:
    - {{name: a_first, share: 0.1, epochs: [1], mixture: {{a: 1.0}}}}
    - {{name: mixture, mixture: {{a: 0.6, b: 0.4}}}}
shards: {{tokens_per_shard: 8000, tokens_per_batch: 1000, workers: {workers}}}
model: {{vocab_size: 512, context: 32, width: 32, layers: 1, heads: 2, ff_width: 64}}
training: {{batch_tokens: 512, schedule: {{warmup_steps: 2}}, checkpoint_every: 20, precision: float32}}
launch: {launch}
evaluation:
  suites:
    bits_per_byte: {{kind: bits_per_byte}}
    samples: {{kind: samples, new_tokens: 4}}
study:
  budget: {{tokens: 4_096}}
  seeds: [1, 2]
  points: 2
  heldout: {{bytes: {{a: 4_000, b: 4_000}}, curve_share: 0.5}}
  baseline: plain
  data: {{base: {{tokens: 5_000}}}}
  arms:
    plain:
    fast: {{change: {{training.optimizer.learning_rate: 1e-2}}}}
"""
TWO_RANKS = "{ranks: 2, threads_per_rank: 1}"
"""What a gradient is depends on how many ranks sum it, so there are two of them everywhere."""


@dataclass
class By:
    """What builds the profile."""

    workers: int = 2
    launch: str = TWO_RANKS
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of each of two corpora, with similar documents within and across them, and a tokenizer."""
    folder = tmp_path_factory.mktemp("texts")
    generator = random.Random(1)
    own = {name: [text(generator, generator.randint(6, 20)) for _ in range(120)] for name in ("a", "b")}
    own["b"] += [similar(one, 2, seed) for seed, one in enumerate(own["a"][:10] + own["b"][:10])]
    for name, every in own.items():
        for part in range(3):
            lines = [json.dumps({"text": one}) for one in every[part::3]]
            (folder / f"{name}{part}.jsonl").write_text("\n".join(lines))
    (folder / "tokenizers").mkdir()
    (folder / "tokenizers" / "bpe_small.yaml").write_text("kind: bpe\nvocab_size: 512\n")
    return folder


def built(folder: Path, texts: Path, by: By) -> dict[str, str]:
    """Content hash by artifact of the whole profile, in a store of its own."""
    folder.mkdir()
    profile, home = folder / "small.yaml", folder / "home"
    profile.write_text(PROFILE.format(texts=texts, workers=by.workers, launch=by.launch))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DAGSTER_", "SQUEEZE_"))]:
            patch.delenv(name)
        for name, value in by.environment.items():
            patch.setenv(name, value)
        if by.python == sys.executable:
            give_small_work_away(patch.setattr)
            return build_all(profile, home)
        words = [by.python, "-m", "tests.cluster.whole_profile", str(profile), str(home)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> dict[str, str]:
    """By one process, but for the two ranks that train."""
    made = built(tmp_path_factory.mktemp("one") / "process", texts, By(workers=1))
    kinds = {key.split("/")[0] for key in made}
    assert kinds >= {"documents", "near_duplicates", "tokenizer", "tokens", "shards", "model", "eval", "ablation"}
    return made


@pytest.fixture
def two_processes() -> By:
    return By()


@pytest.fixture
def ray_on_a_shared_folder(ray_nodes: RayNodes) -> By:
    return By(environment={"SQUEEZE_ENGINE": f"{{kind: ray, address: '{ray_nodes.address}'}}"})


@pytest.fixture
def ray_over_a_bucket(ray_nodes: RayNodes, s3_bucket: dict[str, str]) -> By:
    engine = {"SQUEEZE_ENGINE": f"{{kind: ray, address: '{ray_nodes.address}', files: store}}"}
    return By(environment=engine | s3_bucket)


@pytest.fixture
def slurm_of_two_nodes(slurm: object) -> By:
    launch = "{kind: slurm, nodes: 2, ranks: 1, threads_per_rank: 1, interface: lo}"
    return By(launch=launch, environment={"SQUEEZE_ENGINE": "{kind: slurm, slots: 2}"})


@pytest.fixture
def another_python() -> By:
    python = os.environ.get(OTHER_PYTHON)
    if not python:
        pytest.skip(f"{OTHER_PYTHON} names no interpreter of another minor version with the project's requirements")
    ask = [python, "-c", "import sys; print(*sys.version_info[:2])"]
    version = subprocess.run(ask, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert version != [str(part) for part in sys.version_info[:2]], f"{OTHER_PYTHON} is of this minor version"
    return By(python=python)


@pytest.mark.parametrize(
    "by", ["two_processes", "slurm_of_two_nodes", "another_python", "ray_on_a_shared_folder", "ray_over_a_bucket"]
)
def test_every_artifact_is_that_of_one_process(
    request: pytest.FixtureRequest, tmp_path: Path, texts: Path, one_process: dict[str, str], by: str
) -> None:
    made = built(tmp_path / "other", texts, request.getfixturevalue(by))
    assert made == one_process
