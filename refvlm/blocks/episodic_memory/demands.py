"""Demands: what every function of a memory asks of it, of its rows, and of the noise.

A memory is a pair of arrays, and a shape contract speaks of arrays one by one. So the
decorator takes the pair apart, lets `shapes` look at all of them together, and puts the
pair together again:

    @of_a_memory(noise_is_a_variance, address="... K", code="... C")
    def write(memory, address, code, noise): ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ...arguments import is_number
from ...shapes import shapes
from ...variable import value_of
from .prior import Memory

Function = TypeVar("Function", bound=Callable)


def of_a_memory(
    *checks: Callable, kind: type[NamedTuple] = Memory, **contracts: str
) -> Callable[[Function], Function]:
    """Decorate f(memory, ...) with the shapes of mean and covariance, `"... K C"` and
    `"... K K"`, and of its other arrays.

    `kind` is what the memory is: a mean and, for the square root form, a root.
    """
    of_fields: Any = dict(zip(kind._fields, ("... K C", "... K K")))
    of_the_rest: Any = contracts

    def decorate(function: Function) -> Function:
        _, *others = inspect.signature(function).parameters.values()
        fields = [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name in kind._fields
        ]

        def taken_apart(mean, spread, *rest):
            return function(kind(mean, spread), *rest)

        apart: Any = taken_apart
        apart.__name__ = function.__name__
        apart.__signature__ = inspect.Signature([*fields, *others])
        checked = shapes(*checks, **of_fields, **of_the_rest)(apart)

        def call(memory, *args, **options):
            if not isinstance(memory, kind):
                raise TypeError(
                    f"{function.__name__}: memory must be a {kind.__name__}"
                    f"({', '.join(kind._fields)}), not {type(memory).__name__}"
                )
            return checked(*memory, *args, **options)

        decorated: Any = functools.wraps(function)(call)
        return decorated

    return decorate


def noise_is_a_variance(function, noise):
    """Without noise two facts that contradict each other have no posterior."""
    if not is_number(noise) or not 0 < noise < np.inf:
        raise ValueError(
            f"{function}: noise must be a number above 0, the variance of an "
            f"observation, not {noise!r}"
        )


def variance_is_the_priors(function, variance):
    """What is left of doubt is measured by how much there was."""
    if not is_number(variance) or not 0 < variance < np.inf:
        raise ValueError(
            f"{function}: variance must be a number above 0, the prior's, not "
            f"{variance!r}"
        )


def ridge_is_a_size(function, ridge):
    """A ridge is added to squares."""
    if not is_number(ridge) or not 0 <= ridge < np.inf:
        raise ValueError(f"{function}: ridge must be a number of 0 or more: {ridge!r}")


def fact_is_finite(function, address, code):
    """One NaN that is written is all that the memory says from then on."""
    for name, array in (("address", address), ("code", code)):
        _check_finite(function, name, array)


def facts_are_finite(function, addresses, codes):
    """As for one fact."""
    for name, array in (("addresses", addresses), ("codes", codes)):
        _check_finite(function, name, array)


def _check_finite(function, name, array):
    if not np.isfinite(value_of(array)).all():
        raise ValueError(
            f"{function}: {name} holds NaN or an infinity, and would spoil all that is "
            "remembered: look for it where the features come from"
        )
