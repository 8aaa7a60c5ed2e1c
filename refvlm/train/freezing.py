r"""What learns and what stays: parameters by name, and the plans of known models.

    tower  projector  decoder             tower  projector  decoder
    ####    learns     ####      then     ####    learns    learns        (# is frozen)

A frozen array is not wrapped in a Variable. The tape never hears of it, so it costs no
gradient, no optimiser state, and nothing of the way back that only it would need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ..blocks.training_mode import is_statistic

LAYERS = "model.language_model.layers"


def trainable(
    names: Iterable[str], include: Iterable[str] = ("*",), exclude: Iterable[str] = ()
) -> tuple[str, ...]:
    """The names that match a pattern of `include` and none of `exclude`, in order.

    In a pattern `*` stands for anything, dots too. Every pattern must match something:
    a misspelt one would freeze what was meant to learn, and nobody would notice. The
    running statistics of batch normalisation are gathered, not learnt, and never here.

    Source: [MicroVLM-V] 1. Oracle: torch's requires_grad.

    >>> names = ["tower.stem", "projector.weight", "projector.bias"]
    >>> trainable(names, include=["projector.*"])
    ('projector.weight', 'projector.bias')
    >>> trainable(names, exclude=["*.bias"])
    ('tower.stem', 'projector.weight')
    """
    names = tuple(names)
    wanted, unwanted = _matching(names, include), _matching(names, exclude)
    return tuple(
        name
        for name in names
        if name in wanted and name not in unwanted and not is_statistic(name)
    )


def last_layers(number: int, count: int, prefix: str = LAYERS) -> tuple[str, ...]:
    """Patterns for the last `count` of so many layers.

    Source: [MicroVLM-V] 1: the last 4 of Qwen2.5's 24.

    >>> last_layers(24, 2)
    ('model.language_model.layers.22.*', 'model.language_model.layers.23.*')
    """
    if not 0 <= count <= number:
        raise ValueError(f"last_layers: there are no last {count} of {number} layers")
    return tuple(f"{prefix}.{layer}.*" for layer in range(number - count, number))


@dataclass(frozen=True)
class Plan:
    """One stage of a published training: what learns, at what rate, from how much.

    `losses` are the weights of the terms of the loss. Numbers that the publication
    does not give are None.
    """

    name: str
    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    learning_rate: float | None = None
    batch_size: int | None = None
    examples: int | None = None
    losses: Mapping[str, float] = field(default_factory=lambda: {"language": 1.0})

    def trainable(self, names: Iterable[str]) -> tuple[str, ...]:
        """The names of a model that learn in this stage."""
        return trainable(names, self.include, self.exclude)


PROJECTOR = ("model.multi_modal_projector.*",)
TOWER = ("model.vision_tower.*",)
ADAPTER = ("adapter.*", "image_projection.*")
EVERYTHING = ("*",)

# Liu et al., Visual Instruction Tuning, and Improved Baselines with Visual Instruction
# Tuning; Vasu et al., FastVLM, after [Kamath] P.S.; [MicroVLM-V] 1 and 7.
PLANS = {
    "llava": (
        Plan("align", PROJECTOR, (), 2e-3, 128, 595_000),
        Plan("instruct", EVERYTHING, TOWER, 2e-5, 32, 158_000),
    ),
    "llava-1.5": (
        Plan("align", PROJECTOR, (), 1e-3, 256, 558_000),
        Plan("instruct", EVERYTHING, TOWER, 2e-5, 128, 665_000),
    ),
    "fastvlm": (
        Plan("align", PROJECTOR, (), 1e-3, 256, 558_000),
        Plan("instruct", EVERYTHING, (), 2e-5, 128, 665_000),
    ),
    "microvlm": (
        Plan("align", ADAPTER, losses={"language": 1.0, "alignment": 1.0}),
        Plan(
            "remember",
            (*ADAPTER, "memory.*", *last_layers(24, 4, "language_model.layers")),
            losses={
                "language": 1.0,
                "alignment": 1.0,
                "memory": 0.02,
                "addressing": 0.005,
            },
        ),
    ),
}


def _matching(names, patterns):
    """The names that match any of the patterns, each of which has to match one."""
    if isinstance(patterns, str):
        raise TypeError(f"patterns come in a list: [{patterns!r}]")
    found = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise ValueError(
                f"no parameter is named like {pattern!r}; the names begin with "
                f"{', '.join(names[:3]) or 'nothing'}"
            )
        found |= matched
    return found
