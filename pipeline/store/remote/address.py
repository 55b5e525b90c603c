"""From an address to a bucket: which store it is, how it is asked, and by whose credentials.

In: what SQUEEZE_STORE holds. Out: the `Objects` below it, one a process for each address. Credentials come from where
each kind of store looks for them (AWS_ACCESS_KEY_ID and its like, or the role of the machine) and never stand in the
address, which logs and manifests may show.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from pipeline.base.errors import BucketError
from pipeline.store.remote.objects import Objects

STORE_VARIABLE: Final = "SQUEEZE_STORE"
PATIENCE: Final = 180.0
"""Seconds for which a request is tried again, after errors of the server and of the network alike."""
_KINDS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az", "file": "file"}
_KINDS_SAID: Final = "s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or file:///folder"
_MEMORY: Final = "memory"
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3")


def store_address() -> str | None:
    """The bucket that this machine shares its artifacts through; None where it keeps them to itself."""
    return os.environ.get(STORE_VARIABLE, "").strip() or None


@cache
def open_objects(address: str, *, patience: float = PATIENCE) -> Objects:
    """The objects below an address. Asks the bucket nothing yet.

    patience: seconds for which a request is tried again. Raises BucketError for an address that is none, or where the
    library for it is missing.
    """
    try:
        import obstore.store
    except ImportError:
        raise BucketError(
            f"{STORE_VARIABLE} names a bucket, and the library that reads one is missing: pip install 'squeeze-gpt[s3]'"
        ) from None
    parts = urlsplit(address)
    kind = _KINDS.get(parts.scheme)
    if parts.scheme == _MEMORY:  # for tests
        return Objects(obstore.store.MemoryStore(), address)
    if kind is None or parts.query or "@" in parts.netloc:
        what = "names no kind of store that there is" if kind is None else "holds more than a place"
        raise BucketError(
            f"{STORE_VARIABLE}={parts.scheme}://...: {what}; it is {_KINDS_SAID}, and credentials are settings "
            "of their own (docs/cluster.md)"
        )
    if kind == "file":
        folder = Path(unquote(parts.path))
        folder.mkdir(parents=True, exist_ok=True)
        return Objects(obstore.store.LocalStore(folder), address, folder=folder)
    if not parts.netloc:
        raise BucketError(f"{STORE_VARIABLE}={address}: names no bucket; it is {_KINDS_SAID}")
    options: dict[str, Any] = {"timeout": "10m", "read_timeout": "60s"}  # a request carries 64 MiB at the most
    if kind == "s3" and any(os.environ.get(name, "").startswith("http://") for name in _ENDPOINTS):
        options["allow_http"] = True
    opened: Any = obstore.store.from_url
    try:
        store = opened(
            address,
            client_options=options,
            retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=patience)},
            **_credentials(kind),
        )
    except Exception as error:  # the library raises its own, of any kind, for settings that do not fit together
        raise BucketError(f"{STORE_VARIABLE}={address}: {str(error).partition(chr(10))[0]}") from None
    return Objects(store, address)


def _credentials(kind: str) -> dict[str, Any]:
    """A profile of the AWS tools, where one is meant and boto3 is there to read it; obstore reads the rest itself."""
    shared = Path(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
    if kind != "s3" or "AWS_ACCESS_KEY_ID" in os.environ or not ("AWS_PROFILE" in os.environ or shared.is_file()):
        return {}
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}
    return {"credential_provider": Boto3CredentialProvider()}
