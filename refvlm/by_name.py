"""Functions that name what they need.

An operator has its parameters. What stands around it (a kernel, a derivative, a check)
needs some of them, says which by naming them in its own signature, and is handed just
these: no signature is written twice.

    def gelu(x, approximate="none"): ...
    def gelu_vjp(d_out, x, approximate): ...       # the operator's x and approximate
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection

RESIDUALS = "residuals"  # no argument of an operator: see `kernels.computed_by`
_MISSING = object()


class Parameters:
    """The parameters of a function, and their values in a call of it."""

    def __init__(self, function: Callable):
        parameters = inspect.signature(function).parameters.values()
        self.function = function
        self.names = tuple(p.name for p in parameters)
        self.places = {name: place for place, name in enumerate(self.names)}
        absent = inspect.Parameter.empty
        self.defaults = tuple(
            _MISSING if p.default is absent else p.default for p in parameters
        )
        self.required = sum(default is _MISSING for default in self.defaults)

    def values(self, args: tuple, options: dict) -> tuple | list | None:
        """One value for each name, or None for a call that Python will refuse."""
        given = len(args)
        values: tuple | list = args + self.defaults[given:] if args else self.defaults
        if options:
            values = list(values)
            for name, value in options.items():
                place = self.places.get(name, -1)
                if place >= given:
                    values[place] = value
                elif name != RESIDUALS:
                    return None
        if given > len(self.names) or given < self.required:
            for value in values[given:]:
                if value is _MISSING:
                    return None
            return values if given <= len(self.names) else None
        return values

    def places_for(self, helper: Callable, beside: Collection[str] = ()) -> list[int]:
        """Where the values stand that `helper` names; `beside` it may name others."""
        wanted = inspect.signature(helper).parameters
        for name in wanted:
            if name not in self.places and name not in beside:
                others = f", or {', '.join(sorted(beside))}" if beside else ""
                raise TypeError(
                    f"{helper.__name__} asks for {name!r}, which is no parameter of "
                    f"{self.function.__name__}: {', '.join(self.names)}{others}"
                )
        return [self.places[name] for name in wanted if name in self.places]
