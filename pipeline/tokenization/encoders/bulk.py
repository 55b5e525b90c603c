"""The fast path's encoder: gigatoken, fed with Arrow buffers and read as Arrow buffers.

Text goes in as an awkward array over the Arrow array's own buffers, ids come back as int64 offsets and uint32 values
that are viewed, not copied. Whether the ids are right is for the gate in `pipeline.tokenization.encoders.tokenizer`
to say.

gigatoken remembers every word it has seen and forgets none, so it is loaded anew after RENEW_BYTES of text: memory is
bounded on a stream without end, at the price of some 50 milliseconds and of learning the frequent words again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import list_array, text_bytes
from pipeline.base.errors import TokenizerError
from pipeline.base.made_once import made_once
from pipeline.tokenization.encoders.tokenizer import BulkEncoder

if TYPE_CHECKING:
    import gigatoken

RENEW_BYTES: Final = 1 << 28
JSON_VERSION: Final = "1"
"""Of what the kinds of tokenizers make for gigatoken of their files; moves where one makes another text of the same."""


def kept_json(kind: str, data: bytes, make: Callable[[], str]) -> Callable[[], gigatoken.Tokenizer]:
    """What loads gigatoken from the `tokenizer.json` that `make` makes of a kind's file, once a machine."""
    import gigatoken

    key = (JSON_VERSION, kind, hashlib.sha256(data).hexdigest())
    text = made_once("vocabularies", key, lambda: make().encode())
    return lambda: gigatoken.Tokenizer.from_json(bytes(text))


def bulk_encoder(load: Callable[[], gigatoken.Tokenizer], dtype: str) -> BulkEncoder:
    """An encoder of `large_string` arrays into `large_list<dtype>`.

    Raises TokenizerError where gigatoken does not support what `load` loads (its message says what).
    """
    import awkward as ak

    try:
        fast: gigatoken.Tokenizer | None = load()
    except Exception as error:  # its loader raises RuntimeError, ValueError and others for what it does not support
        reason = " ".join(str(error).split("Location:")[0].split())
        raise TokenizerError(f"gigatoken does not take this tokenizer ({reason[:160]})") from error

    seen = 0

    def encode(texts: pa.Array) -> pa.Array:
        nonlocal fast, seen
        if not len(texts):
            return list_array(np.zeros(1, np.int64), np.empty(0, np.uint32), dtype)
        if fast is None or seen > RENEW_BYTES:
            fast = None  # the old one's memory first
            fast, seen = load(), 0
        seen += int(text_bytes(texts).sum())
        layout = fast.encode_batch(ak.from_arrow(texts)).layout
        return list_array(np.asarray(layout.offsets), np.asarray(layout.content.data), dtype)

    return encode
