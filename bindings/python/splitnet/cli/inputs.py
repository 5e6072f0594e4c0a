# SPDX-License-Identifier: Apache-2.0
"""The model and what it is given: from options and files."""

from __future__ import annotations

import difflib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitnet.cli.failures import Failure, WrongUsage, one_sentence
from splitnet.cli.options import parsed
from splitnet.errors import Corrupt, InvalidArgument, UnsupportedModel
from splitnet.units import parse_sizes

if TYPE_CHECKING:
    import torch

    import splitnet

_DTYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "bf16": "bfloat16",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u8": "uint8",
    "bool": "bool",
}
_TO_TORCHSCRIPT = 'in Python, torch.jit.trace(model.eval(), example_inputs).save("model.pt")'


def load_model(
    path: Path, shapes: Sequence[str] | None, file: Path | None, *, need_inputs: bool = True
) -> splitnet.Partitioner:
    """The model with the example inputs of the options. Raises Failure; wrong usage where they are needed and absent."""
    if not (shapes or file) and need_inputs:
        raise WrongUsage(
            "the model's inputs are needed: give --input SHAPE once for each of them, or --input-file FILE.pt"
        )
    return load_with(path, read_inputs(shapes, file))


def load_with(
    path: Path,
    inputs: Sequence[Any],
    other_inputs: str = "--input with other shapes or dtypes, once for each input, in order",
) -> splitnet.Partitioner:
    """The model with these example inputs. Raises Failure, which proposes others when they do not fit."""
    _check_is_file(path)
    import splitnet

    try:
        return splitnet.Partitioner(path, inputs)
    except Corrupt as error:
        raise Failure(one_sentence(error), _how_to_make_it(path)) from error
    except UnsupportedModel as error:
        raise Failure(
            one_sentence(error), "a model whose forward only computes: state as inputs and outputs"
        ) from error
    except InvalidArgument as error:
        raise Failure(one_sentence(error), other_inputs) from error


def read_inputs(shapes: Sequence[str] | None, file: Path | None) -> list[Any]:
    """One value for each input of the model. Raises Failure; wrong usage for both ways at once, or no shape."""
    if shapes and file:
        raise WrongUsage("found --input and --input-file, expected one of them")
    return load_values(file) if file else [ones(shape) for shape in shapes or ()]


def ones(text: str) -> torch.Tensor:
    """All ones, as `splitnet worker` has them, so that profiles mean the same on both sides."""
    shape, colon, dtype = text.partition(":")
    if (dtype or "f32") not in _DTYPES or (colon and not dtype):
        raise WrongUsage(f"--input: {dtype!r} is no dtype: expected one of {', '.join(_DTYPES)}, as in 1x128:i64")
    sizes = parsed("--input", shape, parse_sizes)
    import torch

    try:
        return torch.ones(sizes, dtype=getattr(torch, _DTYPES[dtype or "f32"]))
    except RuntimeError as error:
        raise Failure(f"--input {text}: a tensor of these sizes can't be made", "smaller sizes") from error


def load_values(path: Path) -> list[Any]:
    """A tensor, or a list or tuple of inputs, that torch.save wrote. Raises Failure."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 (of a file that is something else, torch raises whatever it stumbles over)
        raise Failure(f"{path} is not a file of tensors: {one_sentence(error)}", _TO_SAVE_INPUTS) from error
    if isinstance(content, torch.Tensor):
        return [content]
    if isinstance(content, list | tuple):
        return list(content)
    raise Failure(f"{path} holds a {type(content).__name__}, expected a tensor or a list of inputs", _TO_SAVE_INPUTS)


_TO_SAVE_INPUTS = 'in Python, torch.save(x, "input.pt") with a tensor, or with a list of the inputs'


def tensors_in(value: Any) -> list[dict[str, Any]]:
    """Dtypes and sizes of the tensors in a value, from left to right."""
    import torch

    if isinstance(value, torch.Tensor):
        names = {full: short for short, full in _DTYPES.items()}
        dtype = str(value.dtype).removeprefix("torch.")
        return [{"dtype": names.get(dtype, dtype), "sizes": list(value.shape)}]
    if isinstance(value, dict):
        value = list(value.values())
    return [one for item in value for one in tensors_in(item)] if isinstance(value, list | tuple) else []


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise Failure(f"{path} is a directory, expected a TorchScript file", "the name of a file in it")
    if path.exists():
        return
    folder = path.parent
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    near = [str(folder / name) for name in difflib.get_close_matches(path.name, names)]
    raise Failure(f"there is no file {path}", ", ".join(near) if near else "the path of a TorchScript file")


def _how_to_make_it(path: Path) -> str:
    """What helps, by what the file is instead of TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError):
        names = []
    if "data.pkl" in names:
        return f"to save the module as TorchScript: {_TO_TORCHSCRIPT}"
    if any("serialized_exported_program" in name or name.startswith("models/") for name in names):
        return f"TorchScript instead of an exported program: {_TO_TORCHSCRIPT}"
    return f"to copy it anew, or to make it: {_TO_TORCHSCRIPT}"
