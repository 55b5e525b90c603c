"""Two files of one name are two profiles: neither is shown the other's results, or takes its pointers."""

import pytest

from pipeline.base.errors import StoreError
from pipeline.profile.yaml import find_profile, origin_of
from pipeline.store import Built, Store
from pipeline.store.collection import collect, forget, garbage


@pytest.fixture
def folders(tmp_path):
    """Two folders with a profile `my.yaml` each."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "my.yaml").write_text(f"description: {name}\n")
    return tmp_path


def opened(folders, file, name="my"):
    origin = origin_of(find_profile(str(folders / file if "/" in file else file)))
    return Store(folders / "store", name, origin=origin).open()


def train(store, number):
    def build(out):
        (out / "model").write_text(f"model {number}")
        return Built(f"model {number}")

    return store.ensure("model", code_version="1", identity={"n": number}, inputs={}, build=build).artifact


def test_a_second_profile_of_the_name_is_told_and_the_first_keeps_its_model(folders):
    model = train(opened(folders, "a/my.yaml"), 1)
    with pytest.raises(StoreError, match=r"'my', of .*a/my\.yaml, which is not .*b/my\.yaml: .*`name: another_name`"):
        opened(folders, "b/my.yaml")
    other = opened(folders, "b/my.yaml", name="another_name")
    train(other, 2)
    assert garbage(other) == []
    assert opened(folders, "a/my.yaml").current("model").fingerprint == model.fingerprint


def test_of_two_that_begin_at_once_one_is_told_when_it_would_move_a_pointer(folders):
    first, second = opened(folders, "a/my.yaml"), opened(folders, "b/my.yaml")
    model = train(first, 1)
    with pytest.raises(StoreError, match="already has results for the name 'my'"):
        train(second, 2)
    assert first.current("model").fingerprint == model.fingerprint


def test_a_profile_that_was_moved_keeps_its_results(folders):
    model = train(opened(folders, "a/my.yaml"), 1)
    (folders / "a/my.yaml").rename(folders / "b/my.yaml")
    moved = opened(folders, "b/my.yaml")
    assert train(moved, 1).fingerprint == moved.current("model").fingerprint == model.fingerprint
    (folders / "a/my.yaml").write_text("description: new\n")
    with pytest.raises(StoreError, match=r"of .*b/my\.yaml"):
        opened(folders, "a/my.yaml")


def test_another_path_to_the_same_file_is_the_same_profile(folders):
    model = train(opened(folders, "a/my.yaml"), 1)
    (folders / "link").symlink_to(folders / "a")
    (folders / "b/my.yaml").unlink()
    (folders / "b/my.yaml").hardlink_to(folders / "a/my.yaml")
    for path in ("link/my.yaml", "b/my.yaml"):
        assert opened(folders, path).current("model").fingerprint == model.fingerprint


def test_a_built_in_name_is_not_a_files(folders):
    (folders / "a/sample.yaml").write_text("extends: sample\n")
    train(opened(folders, "sample", name="sample"), 1)
    assert opened(folders, "sample", name="sample").current("model")
    with pytest.raises(StoreError, match="of the built-in profile"):
        opened(folders, "a/sample.yaml", name="sample")
    forget(opened(folders, "sample", name="sample"), "sample")
    train(opened(folders, "a/sample.yaml", name="sample"), 2)
    with pytest.raises(StoreError, match="which is not the built-in profile"):
        opened(folders, "sample", name="sample")


def test_whose_name_is_forgotten_frees_it(folders):
    store = opened(folders, "a/my.yaml")
    train(store, 1)
    forget(store, "my")
    train(opened(folders, "b/my.yaml"), 2)
    assert collect(store, garbage(store)) == []


@pytest.mark.parametrize("text", ["", "{", '{"file": 5}', '{"file": "/nowhere/my.yaml"}', '{"file": "\\u0000"}', "[]"])
def test_a_record_that_cannot_be_read_is_written_anew(folders, text):
    train(opened(folders, "a/my.yaml"), 1)
    record = folders / "store/.profiles/my.json"
    record.write_text(text)
    train(opened(folders, "a/my.yaml"), 1)
    assert "a/my.yaml" in record.read_text()
