"""What a launcher has left for nodes, where the code was changed in between."""

import json

import pytest

from pipeline.base.errors import LaunchError
from pipeline.launch import node
from pipeline.launch.run_folder import Job, RunFolder
from pipeline.launch.settings import LaunchSettings


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_job(Job("trainer", ["train"], {"A": "b"}, LaunchSettings(nodes=1, ranks=2), 4, 64, "cpu"))
    return folder


def test_a_job_is_read_as_it_was_written(folder):
    assert folder.job() == Job("trainer", ["train"], {"A": "b"}, LaunchSettings(nodes=1, ranks=2), 4, 64, "cpu")


@pytest.mark.parametrize(
    ("older", "said"), [({"tokens": ...}, "tokens: "), ({"launch": {"rank": 2}}, "launch.rank: Extra inputs")]
)
def test_a_job_of_other_code_is_refused_in_words_by_a_node_too(folder, monkeypatch, older, said):
    file = folder.path / "job.json"
    rows = json.loads(file.read_text()) | older
    file.write_text(json.dumps({key: value for key, value in rows.items() if value is not ...}))
    with pytest.raises(LaunchError, match=rf"job\.json: not a job of this version of Squeeze \({said}.*stop the run"):
        folder.job()
    attempt = folder.new_attempt()
    monkeypatch.setattr(node, "die_with_parent", lambda: None)
    monkeypatch.setattr("sys.argv", ["node", str(attempt.folder), "0"])
    assert node.main() == 2
    state = attempt.node(0)
    assert (state.status, "not a job of this version" in state.said) == (2, True)
