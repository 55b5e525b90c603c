"""Two machines that share a bucket and nothing else: the second builds nothing, fetches little, and has the same."""

import json
import logging
import urllib.request
from pathlib import Path

import pytest
from tiny_project import Project

from pipeline.store import Store
from pipeline.store.local import LocalBackend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
PATIENCE = 900  # seconds for a command


@pytest.fixture(params=["file", "s3"])
def bucket(request, tmp_path):
    """What the environment of a machine says of the bucket."""
    pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")
    if request.param == "file":
        yield {"SQUEEZE_STORE": (tmp_path / "bucket").as_uri()}
        return
    server = pytest.importorskip("moto.server", reason="moto is missing: pip install '.[cluster]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    running.start()
    host, port = running.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_REGION": "us-east-1"}
    environment = keys | {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "SQUEEZE_STORE": "s3://squeeze/team"}
    make = urllib.request.Request(f"{environment['AWS_ENDPOINT_URL']}/squeeze", method="PUT")
    urllib.request.urlopen(make, timeout=120)
    yield environment
    running.stop()


def contents(home: Path) -> dict[str, str]:
    """Content hash by asset, of what is current in a machine's folder alone."""
    store = Store(home, "tiny", backend=LocalBackend(home))
    return {key: item.content_hash for _, key, item in store.pointers("tiny") if item is not None}


def test_a_second_machine_builds_nothing_and_has_the_same(tmp_path, bucket):
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    first, second = tmp_path / "first", tmp_path / "second"
    built, _ = project.full_train(SQUEEZE_HOME=str(first), timeout=PATIENCE, **bucket)
    assert "model" in built

    (tmp_path / "history").mkdir()
    here = {"SQUEEZE_HOME": str(second), "SQUEEZE_LOG_LEVEL": "DEBUG", "DAGSTER_HOME": str(tmp_path / "history")}
    done = project.run("dagster", "job", "execute", "-j", "full_train", timeout=PATIENCE, **bucket, **here)
    built_again, reused = project.outcomes(done.stderr)
    assert built_again == set()
    assert reused == built
    assert "hunter2" not in done.stdout + done.stderr

    files = {item.name for item in second.rglob("*") if item.is_file()}
    assert not any(name.endswith((".arrow", ".parquet", ".safetensors")) for name in files), "nobody asked for these"

    pulled = project.run("squeeze", "pull", **bucket, SQUEEZE_HOME=str(second))
    assert f"{len(built)} artifacts of tiny" in pulled.stdout
    assert contents(second) == contents(first)
    project.run("squeeze", "verify", SQUEEZE_HOME=str(second))

    rows = json.loads(project.run("squeeze", "ls", "--remote", "--json", **bucket, SQUEEZE_HOME=str(second)).stdout)
    assert {row["key"]: row["content_hash"] for row in rows} == contents(first)
    again = project.run("squeeze", "push", **bucket, SQUEEZE_HOME=str(first))
    assert f"0 artifacts sent, 0 B; {len(built)} there already" in again.stdout
    kept = project.run("squeeze", "gc", "--remote", "--yes", **bucket, SQUEEZE_HOME=str(first))
    assert "nothing to remove" in kept.stdout


def test_an_existing_store_is_sent_and_used_elsewhere(tmp_path, bucket):
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    alone, other = tmp_path / "alone", tmp_path / "other"
    built, _ = project.full_train(SQUEEZE_HOME=str(alone), timeout=PATIENCE)
    sent = project.run("squeeze", "push", **bucket, SQUEEZE_HOME=str(alone))
    assert f"{len(built)} artifacts sent" in sent.stdout
    shown = project.run("squeeze", "scorecard", **bucket, SQUEEZE_HOME=str(other))
    assert "bits per byte of held-out text" in shown.stdout
    fetched = {manifest.parent.parent.relative_to(other).as_posix() for manifest in other.rglob("manifest.json")}
    assert fetched == {"scorecard"}
