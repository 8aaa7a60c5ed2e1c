"""Layouts that are not read: each by its name, with what to do instead.

Every one of them is undone by the program that made it, and most models in them were
published in float first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...checkpoint import CheckpointError
from ...checkpoint.errors import listed, quoted

# quant_method of config.json -> what it is called.
LAYOUTS = {
    "aqlm": "AQLM",
    "auto-round": "AutoRound",
    "auto_round": "AutoRound",
    "awq": "AWQ",
    "bitnet": "BitNet",
    "compressed-tensors": "compressed-tensors",
    "eetq": "EETQ",
    "exl2": "ExLlamaV2",
    "exl3": "ExLlamaV3",
    "fbgemm_fp8": "FBGEMM's float8",
    "fouroversix": "four over six",
    "fp8": "float8 in blocks",
    "fp_quant": "FP-Quant",
    "gemma": "Gemma's",
    "gguf": "GGUF",
    "gptq": "GPTQ",
    "higgs": "HIGGS",
    "hqq": "HQQ",
    "ipex": "Intel's IPEX",
    "intel/auto-round": "AutoRound",
    "marlin": "Marlin",
    "metal": "transformers' for Metal",
    "modelopt": "NVIDIA's ModelOpt",
    "mxfp4": "MXFP4",
    "mxfp8": "MXFP8",
    "nvfp4": "NVFP4",
    "quanto": "Quanto",
    "quark": "Quark",
    "sinq": "SINQ",
    "sparseml": "SparseML",
    "spqr": "SpQR",
    "torchao": "TorchAO",
    "vptq": "VPTQ",
}

# Ends of names that tell a layout where config.json says nothing.
ENDS = {
    ".quant_state.bitsandbytes__nf4": "bitsandbytes",
    ".quant_state.bitsandbytes__fp4": "bitsandbytes",
    ".absmax": "bitsandbytes",
    ".SCB": "bitsandbytes' LLM.int8",
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".g_idx": "GPTQ",
    ".weight_packed": "compressed-tensors",
    ".weight_scale": "compressed-tensors or float8",
    ".weight_scale_inv": "float8 in blocks",
    "_blocks": "MXFP4",
    ".scales": "MLX",
    ".qbiases": "transformers for Metal",
    ".weight.scale": "refvlm",
}

INSTEAD = (
    "take the float checkpoint of the same model (`python -m refvlm quantize` makes it "
    "small), or undo this with the library that made it (in transformers, "
    "model.dequantize()) and save_pretrained() the result"
)


def refused(method: Any, source: str) -> CheckpointError:
    """What to say of a config.json that names another layout."""
    if isinstance(method, str) and method in LAYOUTS:
        what = f"{LAYOUTS[method]}, quant_method {method!r}, which is not read here"
    else:
        what = f"the quant_method {quoted(method, 60)}, which is not known here"
    return CheckpointError(
        f"{source}: the weights are in few bits by {what}. Read are those of "
        f"bitsandbytes in four bits and of MLX: {INSTEAD}"
    )


def check_plain(names: Iterable[str], origin: str, source: str) -> None:
    """Refuse tensors in few bits where config.json does not say that they are."""
    for end, program in ENDS.items():
        packed = [quoted(name) for name in names if name.endswith(end)]
        if packed:
            raise CheckpointError(
                f"{origin}: {listed(packed, 2)}: tensors in few bits, as of {program}, "
                f"but {source} has no quantization_config: it is of another "
                "checkpoint. Take the config.json that was saved with them"
            )
