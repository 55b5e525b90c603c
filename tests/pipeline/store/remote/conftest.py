"""Buckets of every kind: those that need a server are skipped where moto is missing (`pip install '.[cluster]'`)."""

import logging
import secrets

import pytest

pytest.importorskip("obstore", reason="obstore is missing: pip install '.[s3]'")

from buckets import behind, make_bucket

from pipeline.store.remote.address import open_objects
from pipeline.store.remote.objects import Objects


@pytest.fixture(scope="session")
def s3() -> str:
    """The endpoint of an S3 server on loopback."""
    server = pytest.importorskip("moto.server", reason="moto is missing: pip install '.[cluster]'")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3_address(s3) -> str:
    """The address of a new bucket of the server."""
    name = f"squeeze-{secrets.token_hex(6)}"
    make_bucket(s3, name)
    return f"s3://{name}/team/store"


@pytest.fixture(params=["memory", "file", "s3"])
def objects(request, tmp_path) -> Objects:
    """An empty bucket, of each kind."""
    if request.param == "memory":
        return open_objects.__wrapped__("memory:///")
    if request.param == "file":
        return open_objects.__wrapped__((tmp_path / "bucket").as_uri())
    return behind(request.getfixturevalue("s3"), request.getfixturevalue("s3_address"))
