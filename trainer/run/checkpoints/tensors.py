"""Tensors by name in safetensors files: a model's, and its optimizer's state; nothing is ever unpickled.

A file is written whole or not at all. What is read must have the model's own names and shapes; the first difference is
named, since it means a checkpoint of another architecture.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import CheckpointError
from trainer.files import whole_path

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, each tensor once (a tied one under its first name)."""
    tensors = {name: parameter.data for name, parameter in model.named_parameters()}
    seen = {tensor.data_ptr() for tensor in tensors.values()}
    for name, tensor in model.state_dict().items():
        if name not in tensors and tensor.data_ptr() not in seen:
            tensors[name] = tensor
    return tensors


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file, whole or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with whole_path(path) as temporary:
        try:
            save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, temporary)
        except SafetensorError as error:  # what the disk said, as a text: "I/O error: … (os error 28)"
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_tensors_into(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy a safetensors file into tensors of the same names and shapes.

    Raises `CheckpointError` naming the file and the first tensor that differs: a checkpoint of another architecture.
    """
    import torch
    from safetensors import safe_open

    if not path.exists():
        raise CheckpointError(f"{path}: no such file")
    with _reading(path), safe_open(path, framework="pt") as file, torch.no_grad():
        found = set(file.keys())
        if found != set(tensors):
            odd = sorted(found ^ set(tensors))[0]
            side = "in the file but not" if odd in found else "missing in the file but"
            raise CheckpointError(f"{path}: of another architecture: {odd!r} is {side} in the model")
        for name, tensor in tensors.items():
            value = file.get_tensor(name)
            if value.shape != tensor.shape:
                raise CheckpointError(
                    f"{path}: of another architecture: {name!r} is {tuple(value.shape)} in the file, "
                    f"{tuple(tensor.shape)} in the model"
                )
            tensor.copy_(value)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What makes a file unreadable, as a `CheckpointError`."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged, or no file of weights ({error})") from None


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by `<parameter>/<entry>`: `layers.0.mlp.input.weight/exp_avg`."""
    return {
        f"{name}/{key}": value
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Take a file of `optimizer_tensors`. Raises CheckpointError for state of another model."""
    from safetensors.torch import load_file

    parameters = dict(model.named_parameters())
    numbers = {
        id(parameter): number
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
    }
    state: dict[int, dict[str, Tensor]] = {}
    with _reading(path):
        values = load_file(path)
    for key, value in values.items():
        name, _, entry = key.rpartition("/")
        if name not in parameters or id(parameters[name]) not in numbers:
            raise CheckpointError(f"{path}: optimizer state of {name!r}, which this model does not train")
        # torch moves all of a state but `step`, which the fused AdamW needs where its parameter is
        state.setdefault(numbers[id(parameters[name])], {})[entry] = value.to(parameters[name].device)
    try:
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: optimizer state without what this optimizer needs ({error})") from error
