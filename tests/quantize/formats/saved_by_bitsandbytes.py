"""Directories that transformers quantised with bitsandbytes and saved, on record.

The small files and the packed tensors are kept byte for byte. The float ones, which
are drawn from a seed, are put back by the header of the file, and a digest of the whole
says that nothing has changed.
"""

import contextlib
import hashlib
import io
import json
from functools import partial

import numpy as np

from ...oracles import import_torchvision

WEIGHTS = "model.safetensors"
FLOATS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
CLASSES = {
    "qwen2": "Qwen2ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "fast_vlm": "FastVlmForConditionalGeneration",
    "clip": "CLIPModel",
}


def model_class(config):
    """transformers' class for a config.json."""
    import_torchvision()
    import transformers

    return getattr(transformers, CLASSES[config["model_type"]])


def save_float(torch, directory, config, tensors, dtype):
    """The float model, saved by transformers."""
    kind = model_class(config)
    model = kind(kind.config_class.from_dict(json.loads(json.dumps(config))))
    lost = model.load_state_dict(
        {name: torch.from_numpy(array).float() for name, array in tensors.items()},
        strict=False,
    )
    assert not lost.unexpected_keys
    model.tie_weights()
    model.to(dtype).save_pretrained(directory)


def open_quantised(torch, directory, config, dtype, **options):
    """The model that transformers makes of a directory, in four bits; every layer on
    the library's plain road (see `plainly`)."""
    from transformers import BitsAndBytesConfig

    settings = {}
    if options:
        settings["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=dtype, **options
        )
    with contextlib.redirect_stderr(io.StringIO()):
        model = model_class(config).from_pretrained(directory, dtype=dtype, **settings)
    for module in model.modules():
        if is_four_bit(module):
            module.forward = partial(plainly, torch, module)
    return model.eval()


def plainly(torch, module, x):
    """What a layer computes, its matrix made by the library's own PyTorch lines.

    Its compiled lines multiply in bfloat16 where a processor can, and where one has
    AVX-512 give the wrong scales to rows whose width is a multiple of 16 and not of the
    block.
    """
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
    from bitsandbytes.functional import dequantize_blockwise

    state = module.weight.quant_state
    absmax = state.absmax
    if state.nested:
        absmax = dequantize_blockwise(absmax, state.state2) + state.offset
    codes = module.weight.data.reshape(-1)
    asked = state.code, state.blocksize, state.shape, state.dtype
    weight = _dequantize_4bit_compute(codes, absmax, *asked)
    return torch.nn.functional.linear(x, weight.to(x.dtype), module.bias)


def is_four_bit(module):
    """Whether a module is bitsandbytes' linear layer."""
    return type(module).__name__ == "Linear4bit"


def as_bytes(content):
    return np.frombuffer(content, np.uint8)


def record_of(directory, tensors):
    """The files of a directory as arrays; of the weights, the header, what is not among
    `tensors`, and a digest."""
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    weights = files.pop(WEIGHTS)
    start = 8 + int.from_bytes(weights[:8], "little")
    kept = b"".join(
        weights[start + begin : start + end]
        for name, begin, end, dtype in entries_of(weights[:start])
        if not (name in tensors and dtype in FLOATS)
    )
    return {
        **{f"file {name}": as_bytes(content) for name, content in files.items()},
        "header": as_bytes(weights[:start]),
        "kept": as_bytes(kept),
        "digest": as_bytes(hashlib.sha256(weights).digest()),
    }


def entries_of(header):
    """(name, begin, end, dtype) of each tensor, in the order of the file."""
    entries = json.loads(header[8:])
    entries.pop("__metadata__", None)
    placed = [(n, *e["data_offsets"], e["dtype"]) for n, e in entries.items()]
    return sorted(placed, key=lambda entry: entry[1:3])


def restore(directory, record, tensors):
    """The directory that the record is of, to the last byte."""
    directory.mkdir()
    for name, content in record.items():
        if name.startswith("file "):
            (directory / name.removeprefix("file ")).write_bytes(content.tobytes())
    header, kept = record["header"].tobytes(), record["kept"].tobytes()
    parts, at = [header], 0
    for name, begin, end, dtype in entries_of(header):
        if name in tensors and dtype in FLOATS:
            parts.append(encoded(tensors[name], dtype))
        else:
            parts.append(kept[at : at + end - begin])
            at += end - begin
    content = b"".join(parts)
    assert hashlib.sha256(content).digest() == record["digest"].tobytes()
    (directory / WEIGHTS).write_bytes(content)
    return directory


def encoded(array, dtype):
    """The bytes of a tensor in F32, F16 or BF16."""
    single = array.astype("<f4")
    if dtype == "BF16":
        bits = single.view("<u4")
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2").tobytes()
    return single.astype(FLOATS[dtype]).tobytes()
