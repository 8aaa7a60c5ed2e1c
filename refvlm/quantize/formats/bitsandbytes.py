"""Four bits as bitsandbytes stores them, and as transformers saves what it did.

A matrix `X.weight` of n numbers in blocks of 64 has

    X.weight                                     U8 (n / 2, 1)    two codes a byte
    X.weight.absmax                              F32 (n / 64,)    the largest of a block
    X.weight.quant_map                           F32 (16,)        the code book
    X.weight.quant_state.bitsandbytes__nf4       U8               JSON: shape, dtype ...

and, where the largest are quantised too, absmax in U8, nested_absmax F32 for each 256
of them and nested_quant_map F32 (256,). The JSON inside is a text from outside like any
other; nothing is taken from it that the tensors beside it do not bear out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...arguments import is_whole
from ...checkpoint import CheckpointError, Weights
from ...checkpoint.documents import parse_object
from ...checkpoint.errors import listed, quoted
from ...checkpoint.header import STORAGE
from ..double_quantization import dynamic_map
from ..matrices import FourBit
from ..normal_float import fp4_levels, nf4_levels
from .parts import AGAIN, LARGEST_SIDE, Parts, replaced

LEVELS = {"nf4": nf4_levels, "fp4": fp4_levels}
STATE = re.compile(r"(.+)\.quant_state\.bitsandbytes__(nf4|fp4)")
PART = re.compile(
    r"\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)$"
)
STATE_LIMIT = 4096  # bytes
BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
NESTED_BLOCK = 256
LARGEST_OFFSET = 1e30  # of a mean of absolute weights
NEAR = 1e-6  # between two code books that are meant to be one


def read(weights: Weights, said: Mapping[str, Any], source: str, dtype) -> Weights:
    """The same weights with a `FourBit` for each quantised matrix, in `dtype`.

    `said` is what config.json, called `source`, says under quantization_config.
    """
    _check_settings(said, source)
    states = {found[1]: name for name in weights if (found := STATE.fullmatch(name))}
    if not states:
        raise CheckpointError(
            f"{source}: quantization_config says four bits of bitsandbytes, but no "
            f"tensor of {weights.origin} is so quantised: take quantization_config out "
            "of the file if these are the weights before, else download both again"
        )
    matrices, used = {}, set()
    for name, state in states.items():
        parts = Parts(weights, name, "bitsandbytes")
        matrices[name] = _matrix(parts, state, said, dtype)
        used |= parts.used
    lost = [quoted(n) for n in weights if PART.search(n) and n not in used]
    if lost:
        raise CheckpointError(
            f"{weights.origin}: {listed(lost)}: parts of matrices that bitsandbytes "
            f"quantised, without the quant_state that says which: {AGAIN}"
        )
    return replaced(weights, matrices, used)


def _check_settings(said, source):
    """Four bits, in one of the two code books."""
    if _says(said, "load_in_8bit"):
        raise CheckpointError(
            f"{source}: quantization_config says eight bits of bitsandbytes, LLM.int8, "
            "which rounds what goes into a layer too and is not read here: save the "
            "model with load_in_4bit=True instead, or take its float checkpoint and "
            "`python -m refvlm quantize DIR --scheme int8 --out DIR`"
        )
    if not _says(said, "load_in_4bit"):
        raise CheckpointError(
            f"{source}: quantization_config names bitsandbytes and says neither "
            "load_in_4bit nor load_in_8bit: download the file again"
        )
    kind = said.get("bnb_4bit_quant_type", "fp4")
    if kind not in ("nf4", "fp4"):
        raise CheckpointError(
            f"{source}: bnb_4bit_quant_type is {quoted(kind)}, not 'nf4' or 'fp4': "
            "download the file again"
        )


def _says(said, name):
    return any(said.get(key) is True for key in (name, f"_{name}"))


def _matrix(parts: Parts, state: str, config, dtype) -> FourBit:
    """One matrix, once everything that is said of it agrees."""
    name = parts.name
    said = _state(parts, state)
    kind, shape, block_size = said["quant_type"], said["shape"], said["blocksize"]
    if not state.endswith(kind) or config.get("bnb_4bit_quant_type", kind) != kind:
        raise parts.error(
            f"its quant_state says {kind}, the rest of the checkpoint another code "
            f"book: {AGAIN}"
        )
    numbers = math.prod(shape)
    blocks = -(-numbers // block_size)
    codes = parts.take(name, STORAGE).as_bytes()
    if codes.nbytes != -(-numbers // 2):
        raise parts.error(
            f"{codes.nbytes} bytes hold two codes each, but its quant_state says "
            f"{shape[0]} x {shape[1]} numbers: {AGAIN}"
        )
    book = parts.take(f"{name}.quant_map", ["F32"], (16,))
    _check_book(parts, book, LEVELS[kind]())
    if "nested_blocksize" in said:
        again = -(-blocks // NESTED_BLOCK)
        scales = {
            "absmax": parts.take(f"{name}.absmax", ["U8"], (blocks,)),
            "nested_absmax": parts.take(f"{name}.nested_absmax", ["F32"], (again,)),
            "offset": np.float32(said["nested_offset"]),
        }
        book = parts.take(f"{name}.nested_quant_map", ["F32"], (256,))
        _check_book(parts, book, dynamic_map())
    else:
        scales = {"absmax": parts.take(f"{name}.absmax", ["F32"], (blocks,))}
    return FourBit(
        shape,
        dtype,
        quant_type=kind,
        block_size=block_size,
        nested_block_size=NESTED_BLOCK,
        stored=said["dtype"],
        codes=codes,
        **scales,
    )


def _state(parts: Parts, state: str) -> dict[str, Any]:
    """What the JSON inside a tensor says, each value one that bitsandbytes writes."""
    tensor = parts.take(state, ["U8"])
    if tensor.nbytes > STATE_LIMIT or len(tensor.shape) != 1:
        raise parts.error(
            f"its quant_state is {tensor.shape}, where bitsandbytes writes some 170 "
            f"bytes: {AGAIN}"
        )
    try:
        text = tensor.array().tobytes().decode()
    except UnicodeDecodeError:
        raise parts.error(f"its quant_state is not UTF-8 text: {AGAIN}") from None
    where = f"{parts.weights.origin}: the quant_state of {quoted(parts.name)}"
    said = parse_object(text, where, CheckpointError)
    for key, value in said.items():
        if key not in RIGHT:
            raise parts.error(
                f"its quant_state has {quoted(key)}, which is not known here: a later "
                "version of bitsandbytes may have written it"
            )
        if not RIGHT[key](value):
            raise parts.error(f"its quant_state says {key} {quoted(value)}: {AGAIN}")
    if set(said) not in (PLAIN, PLAIN | NESTED):
        absent = (PLAIN if not set(said) & NESTED else PLAIN | NESTED) - set(said)
        raise parts.error(
            f"its quant_state does not say {listed(sorted(absent))}: {AGAIN}"
        )
    return {**said, "shape": tuple(said["shape"])}


def _check_book(parts: Parts, book, levels):
    """The code book in the file, which has to be the one that is computed with."""
    if not np.allclose(book.array(), levels, rtol=0, atol=NEAR):
        raise parts.error(
            "the code book beside it is not bitsandbytes' own, and no other is read "
            f"here: {AGAIN}"
        )


def _is_shape(value):
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(is_whole(side) and 1 <= side <= LARGEST_SIDE for side in value)
    )


def _is_finite(value):
    return type(value) in (int, float) and abs(value) <= LARGEST_OFFSET


# What each value of the JSON may be.
RIGHT: dict[str, Callable[[Any], bool]] = {
    "quant_type": lambda value: value in ("nf4", "fp4"),
    "blocksize": lambda value: is_whole(value) and value in BLOCK_SIZES,
    "dtype": lambda value: value in ("float32", "float16", "bfloat16"),
    "shape": _is_shape,
    "nested_blocksize": lambda value: is_whole(value) and value == NESTED_BLOCK,
    "nested_dtype": lambda value: value == "float32",
    "nested_offset": _is_finite,
}
NESTED = {key for key in RIGHT if key.startswith("nested")}
PLAIN = RIGHT.keys() - NESTED


def tensors(name: str, matrix: FourBit) -> dict[str, np.ndarray]:
    """What a file holds of a matrix, by name."""
    kind = matrix.quant_type
    said: dict[str, Any] = {
        "quant_type": kind,
        "blocksize": matrix.block_size,
        "dtype": matrix.stored,
        "shape": list(matrix.shape),
    }
    parts = {
        name: matrix["codes"].reshape(-1, 1),
        f"{name}.absmax": matrix["absmax"],
        f"{name}.quant_map": LEVELS[kind](),
    }
    if "nested_absmax" in matrix.parts:
        said |= {
            "nested_blocksize": matrix.nested_block_size,
            "nested_dtype": "float32",
            "nested_offset": float(matrix["offset"]),
        }
        parts |= {
            f"{name}.nested_absmax": matrix["nested_absmax"],
            f"{name}.nested_quant_map": dynamic_map(),
        }
    state = np.frombuffer(json.dumps(said).encode(), np.uint8)
    return {**parts, f"{name}.quant_state.bitsandbytes__{kind}": state}


def configuration(matrices: Mapping[str, FourBit], kept: list[str]) -> dict[str, Any]:
    """What config.json says of them; `kept` are the linear modules that stay."""
    some = next(iter(matrices.values()))
    return {
        "quantization_config": {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "load_in_8bit": False,
            "bnb_4bit_compute_dtype": some.stored,
            "bnb_4bit_quant_storage": "uint8",
            "bnb_4bit_quant_type": some.quant_type,
            "bnb_4bit_use_double_quant": "nested_absmax" in some.parts,
            "llm_int8_skip_modules": kept,
        }
    }
