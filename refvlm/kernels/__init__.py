"""Kernels: how NumPy is made fast. No formula lives here.

The body of an operator is its definition. Where another form gives the same numbers
sooner, that form is a kernel, and one line of the operator says so:

    @computed_by(rows.layer_norm)
    def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5): ...

`layer_norm` then takes the kernel, and `layer_norm.definition` is the body. Whoever
calls it never chooses. Inside `with kernels.definitions():` everything is computed by
its formula, slowly: operators, derivatives, whole models.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from ..by_name import RESIDUALS, Parameters

Function = TypeVar("Function", bound=Callable)
_by_definition: ContextVar[bool] = ContextVar("by_definition", default=False)


@contextlib.contextmanager
def definitions() -> Iterator[None]:
    """Inside, every operator and every derivative is computed by its body.

    The pieces of `parallel.in_parallel` follow; a thread that you start yourself begins
    anew, and enters for itself.
    """
    token = _by_definition.set(True)
    try:
        yield
    finally:
        _by_definition.reset(token)


def computed_by(kernel: Callable) -> Callable[[Function], Function]:
    """Decorate a definition with the kernel that gives the same numbers sooner.

    The kernel names the parameters that it needs (by_name.py). It leaves a call to the
    definition by returning NotImplemented. A kernel whose last parameter is `residuals`
    is handed a dict when a tape listens, else None: what it writes there under a name,
    the operator's vjp gets under that name.
    """
    keeps = RESIDUALS in inspect.signature(kernel).parameters

    def decorate(definition):
        parameters = Parameters(definition)
        places = parameters.places_for(kernel, beside=(RESIDUALS,))
        count = len(parameters.names)

        def call(*args, residuals=None, **options):
            is_bound = len(args) == count and not options
            values = args if is_bound else parameters.values(args, options)
            if values is None or _by_definition.get():
                return definition(*args, **options)
            needed = [values[place] for place in places]
            out = kernel(*needed, residuals) if keeps else kernel(*needed)
            return definition(*args, **options) if out is NotImplemented else out

        computed: Any = functools.wraps(definition)(call)
        computed.definition, computed.kernel = definition, kernel
        computed.keeps_residuals = keeps
        return computed

    return decorate
