"""A model in one file: its configuration, its tensors in few bits, and whatever its owner puts beside them.

In: tensors of `trainer.quantize.quantize`, the model's configuration, and what else the file is to hold (a tokenizer).
Out: a safetensors file, plain or inside an xz stream, and a GPT read back from it. The header says how:

    format      "squeeze-quantized", and its version
    model       the configuration, as JSON
    codes       by tensor, as JSON: bits, shape, group, and how codes lie
    ...         whatever else was put beside them, texts by name
    NAME        a matrix's codes in bytes (`trainer.quantize.bits`): "packed", with no bit between them, or "bytes", as
                many as fit whole into each; an unsigned number, 2 ** (bits - 1) above the code
    NAME.scale  its scales, float16 (rows, groups)
    NAME        any other tensor as it is

Packed bits are as long as they look. Whole codes in a byte are for the xz stream, whose range coder spends on a byte
what its frequency is worth, which is less than its bits: large weights are rare. It comes to within 2 to 3% of the
codes' entropy. Both hold the same numbers.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from trainer.errors import ConfigError, ExportError
from trainer.files import whole_file
from trainer.model.config import ModelConfig
from trainer.model.gpt import GPT
from trainer.quantize.bits import pack, unpack
from trainer.quantize.quantize import dequantized
from trainer.quantize.rounding import Codes
from trainer.records import check, parse_json
from trainer.run.checkpoints.tensors import model_tensors
from trainer.run.trained_model import least_numbers

FORMAT: Final = "squeeze-quantized"
VERSION: Final = "1"
SCALE: Final = ".scale"
OWN_KEYS: Final = ("format", "version", "model", "codes")
XZ_MAGIC: Final = b"\xfd7zXZ\x00"
LARGEST: Final = 1 << 36
"""Bytes beyond which what an xz stream holds is not read: no model of ours."""
Layout = Literal["packed", "bytes"]


@dataclass(frozen=True)
class CodesEntry:
    """What the header says of a matrix."""

    bits: int
    shape: tuple[int, ...]
    group: int
    layout: Layout


@dataclass(frozen=True)
class ReadModel:
    """What a file holds."""

    model: GPT
    about: Mapping[str, str]
    """Texts that were put beside the model."""
    extra: Mapping[str, Tensor]
    """Tensors that were."""


def write_quantized(
    path: Path,
    model: GPT,
    tensors: Mapping[str, Codes | Tensor],
    *,
    compressed: bool = False,
    about: Mapping[str, str] | None = None,
    extra: Mapping[str, Tensor] | None = None,
) -> int:
    """Write a model's file whole or not at all; returns its bytes.

    Args:
        model: whose configuration and shapes the file has.
        tensors: its tensors, as `quantize` gives them.
        compressed: have xz's range coder make the codes smaller.
        about, extra: texts and tensors to put beside the model, under names that the model has not.
    """
    data = _safetensors(model, tensors, "bytes" if compressed else "packed", about or {}, extra or {})
    if compressed:
        data = _smallest_xz(data)
    with whole_file(path) as file:
        file.write(data)
    return len(data)


def read_quantized(path: Path) -> ReadModel:
    """A file's model in evaluation mode, in float32 on the CPU. Raises ExportError for any other file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = path.read_bytes()
        data = _unpacked(data) if data.startswith(XZ_MAGIC) else data
        header = parse_json(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = check(dict[str, str], header.get("__metadata__", {}))
        tensors = load(data)
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from None
    except (SafetensorError, lzma.LZMAError, ValueError, AttributeError, EOFError) as error:
        raise ExportError(f"{path}: damaged, or no file of `squeeze export --bits` ({error})") from None
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise ExportError(f"{path}: no {FORMAT} file of version {VERSION}; write it with `squeeze export --bits`")
    try:
        model, extra = _model(about, tensors)
    except (ExportError, ConfigError, ValueError, KeyError) as error:
        raise ExportError(f"{path}: damaged ({error}); write it again with `squeeze export --bits`") from None
    return ReadModel(model, {key: text for key, text in about.items() if key not in OWN_KEYS}, extra)


def _safetensors(
    model: GPT,
    tensors: Mapping[str, Codes | Tensor],
    layout: Layout,
    about: Mapping[str, str],
    extra: Mapping[str, Tensor],
) -> bytes:
    from safetensors.torch import save

    shapes = {name: tensor.shape for name, tensor in model_tensors(model).items()}
    entries: dict[str, Any] = {}
    written: dict[str, Tensor] = dict(extra)
    for name, value in tensors.items():
        if not isinstance(value, Codes):
            written[name] = value.contiguous()
            continue
        entries[name] = {"bits": value.bits, "shape": list(shapes[name]), "group": value.group, "layout": layout}
        numbers = (value.codes.numpy().astype(np.int16) + (1 << value.bits - 1)).astype(np.uint8)
        written[name] = torch.from_numpy(pack(numbers, value.bits, whole=layout == "bytes"))
        written[name + SCALE] = value.scales.contiguous()
    texts = {"format": FORMAT, "version": VERSION, "model": _short(model.config.to_dict()), "codes": _short(entries)}
    return bytes(save(written, {**about, **texts}))


def _model(about: Mapping[str, str], tensors: dict[str, Tensor]) -> tuple[GPT, dict[str, Tensor]]:
    """The model, and the tensors that are not of it."""
    entries = check(dict[str, CodesEntry], parse_json(about["codes"]))
    config = ModelConfig.from_dict(parse_json(about["model"]))
    _check_size(config, entries, tensors)
    model = GPT(config)
    own = model_tensors(model)
    shapes = {name: tensor.shape for name, tensor in own.items()}
    values: dict[str, Codes | Tensor] = {}
    for name in shapes:
        entry = entries.get(name)
        if entry is None:
            values[name] = tensors.pop(name)
            continue
        rows, columns = math.prod(entry.shape[:-1]), entry.shape[-1]
        stored = tensors.pop(name).numpy()
        numbers = unpack(stored, entry.bits, rows * columns, whole=entry.layout == "bytes")
        codes = torch.from_numpy(numbers.astype(np.int16) - (1 << entry.bits - 1)).to(torch.int8)
        scales_RG = tensors.pop(name + SCALE)
        if scales_RG.shape != (rows, -(-columns // entry.group)):
            raise ExportError(f"{name!r} has scales of shape {tuple(scales_RG.shape)}")
        values[name] = Codes(codes.reshape(rows, columns), scales_RG, entry.bits, entry.group)
    whole = dequantized(values, shapes)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(whole[name])
    return model.eval(), tensors


def _check_size(config: ModelConfig, entries: Mapping[str, CodesEntry], tensors: Mapping[str, Tensor]) -> None:
    """Refuse a configuration of more numbers than the file holds, before memory is asked for them."""
    held = sum(tensor.numel() * 8 // (entries[name].bits if name in entries else 8) for name, tensor in tensors.items())
    if least_numbers(config) > held:
        raise ExportError(f"its model has {least_numbers(config):,} parameters and more, it holds {held:,} numbers")


def _smallest_xz(data: bytes) -> bytes:
    """An xz stream of the data, the smallest of three: texts and numbers want to be looked up in what came before
    (`lc` 3), codes to be coded each by its frequency alone, where what looks like a repetition is chance (`depth` 1).
    """
    chance = {"lc": 0, "mf": lzma.MF_BT2, "depth": 1, "nice_len": 273}
    streams = [
        lzma.compress(
            data,
            check=lzma.CHECK_CRC32,
            filters=[{"id": lzma.FILTER_LZMA2, "preset": 6, "lp": 0, "pb": 0, **each}],
        )
        for each in ({"lc": 3}, {"lc": 0}, chance)
    ]
    return min(streams, key=len)


def _unpacked(data: bytes) -> bytes:
    """What an xz stream holds. Raises LZMAError or EOFError for a damaged one, ValueError for one beyond `LARGEST`."""
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    whole = decoder.decompress(data, LARGEST)
    if not decoder.eof:
        raise ValueError("the xz stream ends early, or is of another kind")
    return whole


def _short(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
