"""A profile is YAML 1.2, may extend another, and every key knows its file and line."""

import json
from pathlib import Path

import pytest

from pipeline.base.errors import ProfileError
from pipeline.base.settings import identity_of
from pipeline.curation.sources.unit_listing import list_units
from pipeline.profile.profile import load_profile
from pipeline.profile.yaml import beside_its_file, find_profile, merge, profile_name, read_profile_file


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_yaml_1_2_reads_no_as_a_word_and_1e3_as_a_number(tmp_path):
    data, _ = read_profile_file(write(tmp_path, "a.yaml", "lang: no\nrate: 1e-3\n"))
    assert data == {"lang": "no", "rate": 0.001}
    assert [type(value) for value in data.values()] == [str, float]


def test_extending_merges_mappings_and_replaces_the_rest(tmp_path):
    write(tmp_path, "base.yaml", "a: {x: 1, y: [1, 2]}\nb: 2\n")
    child = write(tmp_path, "child.yaml", "extends: base.yaml\na: {y: [3]}\n")
    assert read_profile_file(child)[0] == {"a": {"x": 1, "y": [3]}, "b": 2}


def test_what_extends_a_profile_does_not_take_its_name(tmp_path):
    write(tmp_path, "base.yaml", "name: base\na: 1\n")
    child = write(tmp_path, "child.yaml", "extends: base.yaml\n")
    assert read_profile_file(child)[0] == {"a": 1}
    assert read_profile_file(write(tmp_path, "named.yaml", "extends: base.yaml\nname: mine\n"))[0]["name"] == "mine"


def test_locations_name_the_file_that_a_value_came_from(tmp_path):
    write(tmp_path, "base.yaml", "a:\n  x: 1\n  y:\n    - 1\n")
    child = write(tmp_path, "child.yaml", "extends: base.yaml\n\na:\n  x: 2\n")
    _, locations = read_profile_file(child)
    assert locations.of(["a", "x"]) == "child.yaml, line 4"
    assert locations.of(["a", "y", 0]) == "base.yaml, line 4"
    assert locations.of(["a", "unknown", "deeper"]) == "child.yaml, line 3"
    assert locations.of(["nowhere"]) == ""


def test_merge_keys_are_read_and_located_at_the_mapping_that_merges(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("base: &base {context: 8, width: 4}\nmodel:\n  <<: *base\n  width: 6\n")
    data, locations = read_profile_file(path)
    assert data["model"] == {"context": 8, "width": 6}
    assert locations.lines[("model", "context")] == (path, 3)
    assert locations.lines[("model", "width")] == (path, 4)


def test_a_relative_folder_is_taken_from_the_file_that_says_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deeper").mkdir()
    write(tmp_path / "deeper", "base.yaml", "tokenizers: {folder: specs}\nother: {folder: 3}\n")
    write(tmp_path, "child.yaml", "extends: deeper/base.yaml\ntokenizers: {select: a}\n")
    data, locations = read_profile_file(Path("child.yaml"))
    found = beside_its_file(data, locations, "tokenizers", "folder")
    assert found["tokenizers"] == {"folder": str(tmp_path / "deeper" / "specs"), "select": "a"}
    for section, key in (("other", "folder"), ("nowhere", "folder"), ("tokenizers", "nothing")):
        assert beside_its_file(data, locations, section, key) == data


def test_profiles_that_extend_each_other_are_refused(tmp_path):
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "extends: a.yaml\n")
    with pytest.raises(ProfileError, match="in a circle"):
        read_profile_file(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [1\n", "not valid YAML"), ("- 1\n", "a profile is a mapping"), ("a: 1\na: 2\n", "not valid YAML")],
)
def test_a_file_that_is_no_profile_is_named(tmp_path, text, message):
    path = write(tmp_path, "bad.yaml", text)
    with pytest.raises(ProfileError, match=message) as caught:
        read_profile_file(path)
    assert str(path) in str(caught.value)


def test_an_unknown_profile_names_those_there_are():
    with pytest.raises(ProfileError, match=r"no profile named 'sampel'; did you mean 'sample'\?.*built in: .*sample"):
        find_profile("sampel")


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"mine\.yaml does not exist"):
        find_profile(str(tmp_path / "mine.yaml"))


def test_merging_leaves_both_as_they_were():
    base, over = {"a": {"x": 1}}, {"a": {"y": 2}}
    assert merge(base, over) == {"a": {"x": 1, "y": 2}}
    assert (base, over) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_relative_files_lie_beside_the_profile_and_only_what_is_not_there_where_the_command_runs(tmp_path, monkeypatch):
    """Three folders: the profile's, the extending one's, and that in which the command runs."""
    for name in ("base", "mine", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    (tmp_path / "run" / "only.txt").write_text("run")
    corpus = "corpora: {mine: {sources: [{files: FILES, format: whole}]}}\n"
    base, mine = tmp_path / "base" / "base.yaml", tmp_path / "mine" / "mine.yaml"
    monkeypatch.chdir(tmp_path / "run")

    def read(files):
        base.write_text("extends: sample\n" + corpus.replace("FILES", files))
        sources = load_profile(str(mine)).corpora["mine"].sources
        return [Path(unit.path).read_text() for unit in list_units(sources, tmp_path).units]

    mine.write_text(f"extends: {base}\n")
    assert [read(files) for files in ("'*.txt'", "a.txt", "only.txt", "../mine/a.txt")] == [
        ["base"],
        ["base"],
        ["run"],
        ["mine"],
    ]
    mine.write_text(f"extends: {base}\n" + corpus.replace("FILES", "a.txt"))
    assert read("a.txt") == ["mine"]


def test_where_a_profile_lies_changes_no_fingerprint(tmp_path):
    identities = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "mine.yaml"
        file.write_text("extends: sample\ncorpora: {mine: {sources: [{files: a.txt, format: whole}]}}\n")
        identities.append(identity_of(load_profile(str(file)).corpora["mine"].documents))
    assert identities[0] == identities[1]


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "..", "x\n", "x" * 300, " a", "a\\b", "x.tmp"])
def test_a_profile_is_not_called_what_would_lead_its_pointers_elsewhere(tmp_path, name):
    file = tmp_path / "mine.yaml"
    file.write_text(f"extends: sample\nname: {json.dumps(name)}\n")
    with pytest.raises(ProfileError, match="name"):
        profile_name(str(file))
    if name:
        with pytest.raises(ProfileError, match="name"):
            load_profile(str(file))


def test_a_profile_of_endless_aliases_is_refused_by_its_file(tmp_path):
    file = tmp_path / "bomb.yaml"
    lines = "".join(f"k{n + 1}: &k{n + 1} [{', '.join([f'*k{n}'] * 9)}]\n" for n in range(9))
    file.write_text(f"k0: &k0 [x]\n{lines}")
    with pytest.raises(ProfileError, match=r"bomb.yaml.*aliases stand for more than"):
        load_profile(str(file))
