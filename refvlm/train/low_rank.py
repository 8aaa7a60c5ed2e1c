r"""LoRA for a whole model: thin matrices beside some of its weights.

    "q_proj.weight"  (n_out, n_in)  stays
    "q_proj.lora_A.weight" (r, n_in), "q_proj.lora_B.weight" (n_out, r)  learn

The adapters are a mapping of their own, and the model never hears of them: it is given
weights in which $W$ is $W + \frac{\alpha}{r} B A$, a Variable while A and B learn.

    adapters = add_lora(weights, ["*.q_proj.weight", "*.v_proj.weight"], 4, rng)
    loss = lambda adapters: model(x, with_lora(weights, adapters, alpha))
    value, gradients = value_and_grad(loss)(adapters)      # of A and B alone

Names and files are those of the PEFT library. Hu et al., LoRA.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..blocks import adapters as blocks
from ..checkpoint import CheckpointError, Weights, load, read_json, save, write_text
from .freezing import trainable

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
PREFIX = "base_model.model."
OTHER_KINDS = (  # of LoRA: other formulas, which look alike in a file
    *("use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern"),
    "modules_to_save",
)
Array = np.ndarray


def add_lora(
    weights: Mapping[str, Array],
    patterns: Iterable[str],
    rank: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    r"""A and B for every matrix that a pattern matches: A normal with the standard
    deviation $1/\sqrt{n_\text{in}}$, B zero, so that nothing changes at first.

    Source: [Foundations] mitigation strategies. Oracle: the same draw in distribution.

    >>> weights = {"head.weight": np.ones((3, 5)), "head.bias": np.zeros(3)}
    >>> adapters = add_lora(weights, ["*.weight"], 2, np.random.default_rng(0))
    >>> {name: array.shape for name, array in adapters.items()}
    {'head.lora_A.weight': (2, 5), 'head.lora_B.weight': (3, 2)}
    """
    adapters = {}
    for name in trainable(weights, patterns):
        weight = weights[name]
        name_a, name_b = _names_beside(name)
        if weight.ndim != 2 or weight.dtype.kind != "f":
            raise ValueError(
                f"add_lora: {name} is {weight.shape} of {weight.dtype}; a LoRA stands "
                "beside a matrix of floats: choose patterns that match only those"
            )
        n_out, n_in = weight.shape
        if not 1 <= rank <= min(n_out, n_in):
            raise ValueError(
                f"add_lora: rank is {rank}, but {name} {weight.shape} can be changed "
                f"by ranks of 1 to {min(n_out, n_in)}"
            )
        spread = rng.normal(0.0, 1 / math.sqrt(n_in), (rank, n_in))
        adapters[name_a] = spread.astype(weight.dtype)
        adapters[name_b] = np.zeros((n_out, rank), weight.dtype)
    return adapters


def with_lora(
    weights: Mapping[str, Array], adapters: Mapping[str, Array], alpha: float
) -> Weights:
    r"""The weights in which each adapted W is $W + \frac{\alpha}{r} B A$.

    Where A and B are Variables the sum is one too, so any model learns them unchanged.
    The way back does meet a gradient of W's size, for a moment: memory is saved on the
    optimiser's side. `blocks.adapters.lora_linear` avoids even that, at the price of
    two more products on the way out.

    Source: [Foundations] mitigation strategies. Oracle: torch.func.functional_call.
    """
    if not isinstance(weights, Weights):
        weights = Weights(weights)
    return weights.replace(
        {
            name: blocks.merge_lora(weights[name], a, b, alpha)
            for name, (a, b) in pairs(adapters).items()
        }
    )


def merge_lora(
    weights: Mapping[str, Array], adapters: Mapping[str, Array], alpha: float
) -> dict[str, Array]:
    """Plain weights that do what weights and adapters did together; to be saved as
    any other checkpoint.

    Source: [Foundations] mitigation strategies. Oracle: the same sum in torch.
    """
    merged = with_lora(weights, adapters, alpha)
    return {name: merged[name] for name in merged}


def pairs(adapters: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """The name of each adapted weight, with its A and its B."""
    found = {}
    for name in adapters:
        partner = name.replace("lora_A.", "lora_B.")
        if partner != name and partner in adapters:
            found[name.replace("lora_A.", "")] = adapters[name], adapters[partner]
    if 2 * len(found) != len(adapters):
        known = {part for name in found for part in _names_beside(name)}
        odd = [name for name in adapters if name not in known]
        raise ValueError(
            f"adapters come in pairs of lora_A and lora_B, but {odd[0]} is alone"
        )
    return found


def _names_beside(name):
    stem, dot, kind = name.rpartition(".")
    return f"{stem}{dot}lora_A.{kind}", f"{stem}{dot}lora_B.{kind}"


def save_lora(
    directory: str | Path, adapters: Mapping[str, Array], alpha: float
) -> None:
    """Write adapters as PEFT lays them out: tensors, and a config with rank and alpha.

    Oracle: the layout of PEFT's `save_pretrained`.
    """
    found = pairs(adapters)
    ranks = {len(a) for a, _ in found.values()}
    if len(ranks) != 1:
        raise ValueError(f"save_lora: one rank for all adapters, not {sorted(ranks)}")
    config = {
        "peft_type": "LORA",
        "r": ranks.pop(),
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": [name.removesuffix(".weight") for name in found],
        "bias": "none",
    }
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    save(directory / TENSORS, {PREFIX + name: adapters[name] for name in adapters})
    write_text(directory / CONFIG, json.dumps(config, indent=2) + "\n")


def load_lora(directory: str | Path) -> tuple[dict[str, Array], float]:
    """(adapters, alpha) of a directory that `save_lora` or PEFT has written."""
    directory = Path(directory)
    config = read_json(directory / CONFIG)
    kind, alpha, rank = (config.get(key) for key in ("peft_type", "lora_alpha", "r"))
    if kind != "LORA":
        raise CheckpointError(f"{directory}: peft_type is {kind!r:.40}, not 'LORA'")
    if (
        not isinstance(alpha, (int, float))
        or isinstance(alpha, bool)
        or not math.isfinite(alpha)
    ):
        raise CheckpointError(f"{directory}: lora_alpha must be a number")
    if other := [key for key in OTHER_KINDS if config.get(key)]:
        raise CheckpointError(f"{directory}: {other[0]} is not implemented")
    stored = load(directory / TENSORS, dtype=None)
    adapters = {name.removeprefix(PREFIX): stored[name] for name in stored}
    for name, (a, b) in pairs(adapters).items():
        if not a.ndim == b.ndim == 2 or not len(a) == b.shape[1] == rank:
            raise CheckpointError(
                f"{directory}: the adapter of {name} is {b.shape} @ {a.shape}, but "
                f"the config says rank {rank!r:.40}"
            )
    return adapters, alpha
