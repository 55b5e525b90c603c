"""The README's own data in five minutes: its profile on a folder of text files, from sources to a sentence."""

import random
import re

import pytest
from tiny_project import ROOT, text

FILES = 8


@pytest.fixture
def mine(fresh_project):
    """The README's mine.yaml in a project with a folder of text files, with the tiny profile in the sample's place."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    profile = re.search(r"```yaml\n(# mine\.yaml\n.*?)```", readme, re.DOTALL)[1]
    profile = profile.replace("extends: sample", "extends: tiny.yaml").replace("  language_temperature: null\n", "")
    profile = re.sub(r"(  \w+: null.*\n)+", "  web: null\n  tales: null\n", profile, count=1)
    (fresh_project.folder / "mine.yaml").write_text(profile)
    (fresh_project.folder / "texts").mkdir()
    generator = random.Random(2)
    for number in range(FILES):
        paragraphs = "\n\n".join(text(generator, 40) for _ in range(6))
        (fresh_project.folder / "texts" / f"letter_{number}.txt").write_text(paragraphs)
    return fresh_project


@pytest.mark.slow
def test_a_folder_of_text_files_becomes_a_model_that_goes_on_with_a_sentence(mine):
    built, _ = mine.full_train("mine.yaml")
    assert {"documents/mine", "tokens/mine", "shards/epoch_004", "model", "eval/bits_per_byte", "report"} <= built
    assert not any(key.endswith(("/web", "/tales")) for key in built)
    done = mine.run("squeeze", "generate", "--profile", "mine.yaml", "Once upon a time")
    assert done.stdout.startswith("Once upon a time")


def test_a_folder_without_such_files_is_named(mine):
    profile = (mine.folder / "mine.yaml").read_text().replace("texts/*.txt", "text/*.txt")
    (mine.folder / "mine.yaml").write_text(profile)
    done = mine.run(
        "dagster", "asset", "materialize", "--select", "mine/documents/mine", profile="mine.yaml", check=False
    )
    assert done.returncode != 0
    assert "nothing matches text/*.txt: correct the pattern" in done.stderr
