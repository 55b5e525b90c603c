"""What lets somebody in is in no message; names of files and harmless queries stay as they are."""

import pickle

import pytest

from pipeline.base.errors import SourceError
from pipeline.base.redaction import address_of, hidden, redact, speakable

SECRET = "PLANTED-s3cr3t"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (f"https://me:{SECRET}@host/a.jsonl", "https://***@host/a.jsonl"),
        (f"https://{SECRET}@host:8443/a@b.jsonl", "https://***@host:8443/a@b.jsonl"),
        (f"s3://{SECRET}:x@bucket/key", "s3://***@bucket/key"),
        (f"simplecache::ftp://me:{SECRET}@host/x", "simplecache::ftp://***@host/x"),
        (f"https://host/a?token={SECRET}&page=2", "https://host/a?token=***&page=2"),
        (f"https://host/a?page=2&access_token={SECRET}#x", "https://host/a?page=2&access_token=***#x"),
        (f"https://host/a?api_key={SECRET}", "https://host/a?api_key=***"),
        (f"https://host/a?key=AIza{SECRET}", "https://host/a?key=***"),
        (
            f"https://b.s3.amazonaws.com/a?X-Amz-Credential={SECRET}&X-Amz-Date=2&X-Amz-Signature={SECRET}",
            "https://b.s3.amazonaws.com/a?X-Amz-Credential=***&X-Amz-Date=***&X-Amz-Signature=***",
        ),
        (f"https://a.blob/x?sv=1&se=2&sp=r&sig={SECRET}", "https://a.blob/x?sv=***&se=***&sp=***&sig=***"),
        (f"https://s/a?AWSAccessKeyId={SECRET}&Signature={SECRET}", "https://s/a?AWSAccessKeyId=***&Signature=***"),
    ],
)
def test_credentials_of_an_address_are_hidden_and_it_still_opens(address, shown):
    assert hidden(address) == redact(f"{address}") == shown
    assert redact(f"GET '{address}': 404, see {address} there") == f"GET '{shown}': 404, see {shown} there"
    assert address_of(shown) == address
    assert hidden(shown) == shown
    assert address_of(shown) == address, "what is hidden twice still opens"


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a.jsonl?page=2&lang=en",
        "https://host/download?key=novel.txt",
        "mail me@host or token=5",
        "/a/b@c/d.jsonl",
        "hf://datasets/o/n",
    ],
)
def test_what_is_no_credential_stays(text):
    assert redact(text) == hidden(text) == text


def test_errors_of_the_project_say_no_credentials_and_know_others_that_would():
    error = SourceError(f"https://me:{SECRET}@host/a cannot be opened; hf_abcdefghijklmnopqrstuv")
    assert SECRET not in str(error)
    assert "hf_abc" not in str(error)
    assert speakable(error) is error
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    told = SourceError("cannot be opened")
    told.__cause__ = OSError(f"https://me:{SECRET}@host/a")
    assert speakable(told) is None
