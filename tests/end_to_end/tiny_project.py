"""A project folder of its own with a tiny profile on generated text, for running the real commands; tests/browser uses
it too."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PROFILE = """\
description: a tiny run on generated text
corpora:
  web:
    sources: [{files: FOLDER/web.jsonl, group_field: page, lang: en}]
    filters: {minimum_words: 10}
  tales:
    sources: [{files: FOLDER/tales.jsonl, group_field: page, lang: en}]
    filters: {minimum_words: 10}
curation:
  heldout: {share: 0.1}
tokenizers:
  candidates: [bpe_tiny]
  select: bpe_tiny
  folder: FOLDER/tokenizers
  sample: {bytes: 100_000}
schedule:
  epochs: 2
  tokens_per_epoch: 24_000
  stages:
    - {name: tales_first, share: 0.1, epochs: [1], mixture: {tales: 1.0}}
    - {name: mixture, mixture: {web: 0.7, tales: 0.3}}
model: {vocab_size: 512, context: 32, width: 32, layers: 1, heads: 2, ff_width: 64}
training:
  {batch_tokens: 512, optimizer: {learning_rate: 3e-3}, schedule: {warmup_steps: 2}, checkpoint_every: 10, log_every: 5,
   precision: bf16}
launch: {ranks: 2, threads_per_rank: 1}
evaluation:
  suites:
    bits_per_byte: {kind: bits_per_byte}
"""
TOKENIZER = "kind: bpe\nvocab_size: 512\n"
WORDS = """
the a one little old king fox river house tree bird moon stone garden baker child walked sang found lost gave
took saw heard built kept under over near through green bright quiet small warm cold early late bread gold song
door road winter summer and but so then while because
""".split()


def text(generator, sentences):
    """Sentences of random words: enough structure for a tokenizer and a model to learn something."""
    lines = []
    for _ in range(sentences):
        words = generator.choices(WORDS, k=generator.randint(6, 14))
        lines.append(" ".join(words).capitalize() + generator.choice([".", ".", "!", "?"]))
    return " ".join(lines)


class Project:
    """A folder in which the project's commands run as a user would run them."""

    linked = ("pipeline", "trainer", "dagster.yaml", "workspace.yaml", "pyproject.toml")
    programs = BIN

    def __init__(self, folder):
        self.folder = folder
        self.profile = folder / "tiny.yaml"
        for name in self.linked:
            (folder / name).symlink_to(ROOT / name)
        (folder / "tokenizers").mkdir()
        (folder / "tokenizers" / "bpe_tiny.yaml").write_text(TOKENIZER)
        generator = random.Random(1)
        for name, documents in (("web", 300), ("tales", 150)):
            rows = [
                {"text": text(generator, generator.randint(4, 20)), "page": f"{name} {number}"}
                for number in range(documents)
            ]
            (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        self.profile.write_text(PROFILE.replace("FOLDER", str(folder)))

    def variant(self, name, *changes):
        """A copy of the profile with (old, new) text replaced; what is replaced must be there."""
        content = self.profile.read_text()
        for old, new in changes:
            assert old in content
            content = content.replace(old, new)
        path = self.folder / f"{name}.yaml"
        path.write_text(content)
        return path

    def environment(self, profile=None, **more):
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_", "SQUEEZE_"))}
        return clean | {"SQUEEZE_PROFILE": str(profile or self.profile)} | more

    def run(self, *words, profile=None, check=True, timeout=300, **more):
        """Run a console command; returns the finished process."""
        done = subprocess.run(
            [str(self.programs / words[0]), *map(str, words[1:])],
            cwd=self.folder,
            env=self.environment(profile, **more),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check and done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def full_train(self, profile=None, **more):
        """The literal command; returns which assets were built and which reused."""
        every_line = {"SQUEEZE_LOG_LEVEL": "DEBUG"}
        done = self.run("dagster", "job", "execute", "-j", "full_train", profile=profile, **every_line, **more)
        return self.outcomes(done.stderr)

    @staticmethod
    def outcomes(log):
        """({built keys}, {reused keys}) from a run's log."""
        built, reused = set(), set()
        for key, mark in re.findall(r"^[\d:]+ ([a-z_0-9/]+): (reused, |first build|rebuilt because)", log, re.M):
            (reused if mark.startswith("reused") else built).add(key)
        return built, reused
