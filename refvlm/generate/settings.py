"""How the next token is chosen: the options that `generate` takes, as one object.

Names, defaults and the order in which rules apply are those of transformers' `generate`
and of a checkpoint's `generation_config.json`. Greedy is the default; sampling keeps
the 50 likeliest tokens unless it is told another `top_k`, and 0 keeps all.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..arguments import is_number, is_whole

FOR_SAMPLING = "temperature", "top_k", "top_p", "min_p"
FOR_BEAMS = "length_penalty", "early_stopping"
MOST = 1024  # rows for one prompt: each has a cache of its own


@dataclass(frozen=True)
class Settings:
    """The options of `generate`; what is impossible is refused when it is made.

    Oracle: transformers.GenerationConfig.

    >>> Settings().given(do_sample=True, temperature=0.7).temperature
    0.7
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int | None = 50
    top_p: float = 1.0
    min_p: float | None = None
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    min_new_tokens: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | str = False
    num_return_sequences: int = 1

    def __post_init__(self):
        for name, (is_right, wanted) in RIGHT.items():
            value = getattr(self, name)
            if not is_right(value):
                hint = ZERO if name == "temperature" and value == 0 else ""
                raise ValueError(f"{name} must be {wanted}, not {value!r:.60}{hint}")
        if self.do_sample and self.num_beams > 1:
            raise ValueError(
                f"do_sample and num_beams={self.num_beams} exclude each other here: "
                "beams are searched, not sampled; give do_sample=False or num_beams=1"
            )
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            raise ValueError(
                f"num_return_sequences is {self.num_return_sequences}, but "
                f"{self.num_beams} beams find no more than that many: give more beams"
            )
        if not self.do_sample and self.num_beams == 1 < self.num_return_sequences:
            raise ValueError(
                f"num_return_sequences is {self.num_return_sequences}, but the greedy "
                "answer is one: give do_sample=True or num_beams"
            )

    def given(self, **options: Any) -> Settings:
        """These settings with a caller's options, which must be of use together."""
        known = [field.name for field in fields(self)]
        for name in options:
            if name not in known:
                raise TypeError(
                    f"generate has no option {name!r:.60}: it takes {', '.join(known)}"
                )
        made = replace(self, **options)
        idle = [] if made.do_sample else [(n, "do_sample=True") for n in FOR_SAMPLING]
        if made.num_beams == 1:
            idle += [(name, "num_beams of 2 or more") for name in FOR_BEAMS]
        for name, missing in idle:
            if name in options and options[name] != getattr(Settings(), name):
                raise ValueError(
                    f"{name}={options[name]!r:.60} changes nothing without {missing}: "
                    "give both or neither"
                )
        return made

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Settings:
        """Those that a parsed generation_config.json gives; null stands for unsaid,
        and what shapes draws is not looked at where nothing is drawn."""
        names = {field.name for field in fields(cls)}
        said = {n: v for n, v in document.items() if n in names and v is not None}
        if said.get("do_sample") is not True:
            said = {n: v for n, v in said.items() if n not in FOR_SAMPLING}
        return cls(**said)


ZERO = ": the limit of small temperatures is greedy, do_sample=False"


def _whole(least: int, most: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: is_whole(value) and least <= value <= most


def _positive(value) -> bool:
    return _real(value) and value > 0


def _share(value) -> bool:
    return _real(value) and 0 < value <= 1


def _real(value) -> bool:
    """A number that a float can hold; integers can be larger."""
    most = sys.float_info.max
    return is_number(value) and not isinstance(value, bool) and -most <= value <= most


def _flag(value) -> bool:
    return isinstance(value, (bool, np.bool_))


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


RIGHT = {
    "do_sample": (_flag, "True or False"),
    "temperature": (_positive, "a number above 0"),
    "top_k": (_or_none(_whole(0)), "a whole number, 0 or None for all"),
    "top_p": (_share, "a number above 0, at most 1"),
    "min_p": (
        _or_none(lambda p: _real(p) and 0 <= p <= 1),
        "a number from 0 to 1, or None",
    ),
    "repetition_penalty": (_positive, "a number above 0"),
    "no_repeat_ngram_size": (_whole(0), "a whole number, 0 for none"),
    "min_new_tokens": (_whole(0), "a whole number"),
    "num_beams": (_whole(1, MOST), f"a whole number from 1 to {MOST}"),
    "length_penalty": (_real, "a finite number"),
    "early_stopping": (
        lambda value: _flag(value) or value == "never",
        'True, False or "never"',
    ),
    "num_return_sequences": (_whole(1, MOST), f"a whole number from 1 to {MOST}"),
}
