"""Rotary positions as a config.json describes them: a base, and how it is stretched.

Older files say `rope_theta` and, where the context was made longer after training,
`rope_scaling`; newer ones say both in `rope_parameters`. The four kinds of scaling are
operators, in `ops/rope_scaling.py`; here each is a row of a table, with the numbers
that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import ops
from . import fields

CONTEXT_LIMIT = 1 << 26  # tokens; whoever claims more is damaged


class Linear(NamedTuple):
    """Every pair turns more slowly, by `factor`."""

    factor: float
    original: int

    def frequencies(self, dim, theta, length):
        return ops.linear_frequencies(dim, theta, self.factor)

    @classmethod
    def read(cls, rope, original):
        return cls(_factor(rope), original)


class Dynamic(NamedTuple):
    """The base grows with the text, once that is longer than `original`."""

    factor: float
    original: int

    def frequencies(self, dim, theta, length):
        return ops.dynamic_frequencies(length, dim, theta, self.factor, self.original)

    @classmethod
    def read(cls, rope, original):
        return cls(_factor(rope), original)


class Llama3(NamedTuple):
    """What turned less than `high` times in training is slowed, by up to `factor`."""

    factor: float
    original: int
    low: float
    high: float

    def frequencies(self, dim, theta, length):
        return ops.llama3_frequencies(
            dim,
            theta,
            factor=self.factor,
            original=self.original,
            low_freq_factor=self.low,
            high_freq_factor=self.high,
        )

    @classmethod
    def read(cls, rope, original):
        low = fields.number(rope, "low_freq_factor")
        high = fields.number(rope, "high_freq_factor")
        if not low < high:
            raise fields.ConfigError(
                f"config.json: low_freq_factor {low:g} must be below high_freq_factor "
                f"{high:g}"
            )
        return cls(_factor(rope), original, low, high)


class Yarn(NamedTuple):
    """The same, faded over the pairs; queries and keys are longer, too."""

    factor: float
    original: int
    fast: float
    slow: float
    truncate: bool
    attention_factor: float

    def frequencies(self, dim, theta, length):
        return ops.yarn_frequencies(
            dim,
            theta,
            factor=self.factor,
            original=self.original,
            beta_fast=self.fast,
            beta_slow=self.slow,
            truncate=self.truncate,
        )

    @classmethod
    def read(cls, rope, original):
        factor = _factor(rope)
        given = {name: rope[name] for name in rope if rope[name] is not None}
        fast = fields.number(given, "beta_fast", 32.0)
        slow = fields.number(given, "beta_slow", 1.0)
        if fast < slow:
            raise fields.ConfigError(
                f"config.json: beta_fast {fast:g} must be at least beta_slow {slow:g}"
            )
        longer = ops.yarn_attention_factor(factor)
        if "mscale" in given and "mscale_all_dim" in given:
            longer = ops.yarn_attention_factor(factor, fields.number(given, "mscale"))
            every = fields.number(given, "mscale_all_dim")
            longer /= ops.yarn_attention_factor(factor, every)
        longer = fields.number(given, "attention_factor", longer)
        return cls(
            factor=factor,
            original=original,
            fast=fast,
            slow=slow,
            truncate=fields.flag(given, "truncate", True),
            attention_factor=longer,
        )


Scaling = Linear | Dynamic | Llama3 | Yarn

KINDS: dict[str, Any] = {
    "linear": Linear,
    "dynamic": Dynamic,
    "llama3": Llama3,
    "yarn": Yarn,
}
KEYS = {  # what each kind may say beside its name
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": (
        "factor",
        "original_max_position_embeddings",
        "low_freq_factor",
        "high_freq_factor",
    ),
    "yarn": (
        "factor",
        "original_max_position_embeddings",
        "attention_factor",
        "beta_fast",
        "beta_slow",
        "mscale",
        "mscale_all_dim",
        "truncate",
    ),
}
ALWAYS = ("rope_type", "type", "rope_theta", "partial_rotary_factor")


def read(config: Mapping, context: int) -> tuple[float, Scaling | None]:
    """(theta, scaling or None) of a parsed config.json, strictly.

    `context` is its max_position_embeddings, which is what a model was trained on
    unless the scaling says otherwise.
    """
    rope = _parameters(config)
    kind = rope.get("rope_type", rope.get("type", "default"))
    fields.only({"rope_type": kind}, "rope_type", *KEYS)
    unknown = sorted(set(rope) - set(KEYS[kind]) - set(ALWAYS), key=str)
    if unknown:
        raise fields.ConfigError(
            f"config.json: rope_type {kind!r} has no {unknown[0]!r:.40}; it has "
            f"{', '.join(KEYS[kind]) or 'rope_theta only'}"
        )
    for place in (rope, config):
        fields.only(place, "partial_rotary_factor", None, 1)
    theta = fields.number(rope if "rope_theta" in rope else config, "rope_theta", 1e4)
    if kind == "default":
        return theta, None
    original = context
    if kind in ("llama3", "yarn"):
        name = "original_max_position_embeddings"
        place = config if config.get(name) is not None else rope
        original = fields.whole(place, name, context)
    if kind == "yarn" and theta <= 1:
        raise fields.ConfigError(
            f"config.json: rope_theta must be above 1 for 'yarn', not {theta:g}"
        )
    return theta, KINDS[kind].read(rope, original)


def _parameters(config):
    """`rope_scaling` of older files or `rope_parameters` of newer ones, not both."""
    given = {}
    for name in ("rope_scaling", "rope_parameters"):
        value = config.get(name)
        if value is None or value == {}:
            continue
        given[name] = fields.section(config, name)
    if len(given) == 2 and given["rope_scaling"] != given["rope_parameters"]:
        raise fields.ConfigError(
            "config.json: rope_scaling and rope_parameters say different things; "
            "keep one of them"
        )
    return next(iter(given.values()), {})


def _factor(rope):
    return fields.number(rope, "factor", high=float(1 << 16))


def reach(context: int, scaling: Scaling | None) -> int:
    """How many tokens there are positions for: the context, or what scaling makes of
    the one that was trained.

    >>> reach(4096, Linear(4.0, 4096)), reach(131072, Llama3(8.0, 8192, 1.0, 4.0))
    (16384, 131072)
    """
    if scaling is None:
        return context
    return min(max(context, int(scaling.factor * scaling.original)), CONTEXT_LIMIT)


def angles(positions, config, dtype):
    """(cos, sin) by which the tokens at `positions` (t,) or (b, t) are turned.

    Each (t, pairs) or, with an axis for the heads, (b, 1, t, pairs). `config` has
    head_dim, rope_theta and rope_scaling. A row's text is as long as its last position
    says: only the "dynamic" kind asks.
    """
    if positions.ndim == 2:
        positions = positions[:, None]
    dim, theta, scaling = config.head_dim, config.rope_theta, config.rope_scaling
    if scaling is None:
        return ops.rotary_angles(positions, dim, theta, dtype)
    length = positions.max(axis=-1, keepdims=positions.ndim > 1, initial=0) + 1
    longer = scaling.attention_factor if isinstance(scaling, Yarn) else 1.0
    frequencies = scaling.frequencies(dim, theta, length)
    cos, sin = ops.scaled_rotary_angles(positions, frequencies, longer)
    return cos.astype(dtype), sin.astype(dtype)
