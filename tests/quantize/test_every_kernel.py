"""What holds for every kernel of `refvlm.quantize`: it is its definition, to the bit.

They are asked of cases of their own: `CALLS` in the test file of the family, a list of
calls by the function's name.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest

from refvlm import kernels, quantize

from ..spec import house

CALLS = {
    name: calls
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if path.name != Path(__file__).name
    for name, calls in getattr(
        importlib.import_module(f"{__package__}.{path.stem}"), "CALLS", {}
    ).items()
}
EACH = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name, cases in CALLS.items()
    for number, case in enumerate(cases)
]


def results(name, case):
    """What a function gives, as a tuple of arrays."""
    out = getattr(quantize, name)(*case.args, **case.options)
    return out if isinstance(out, tuple) else (out,)


def assert_same_bits(actual, expected):
    """The very bits: the sign of a zero, too."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    assert np.ascontiguousarray(actual).tobytes() == expected.tobytes()


@house
@pytest.mark.parametrize("name, case", EACH)
def test_kernels_of_codes_are_their_definitions(name, case):
    """Numbers of few bits leave no room for a tolerance."""
    sooner = results(name, case)
    with kernels.definitions():
        defined = results(name, case)
    for ours, theirs in zip(sooner, defined, strict=True):
        assert_same_bits(ours, theirs)


@house
def test_kernels_of_codes_leave_nobody_out():
    """Whoever has a kernel has cases."""
    quick = {name for name, f in vars(quantize).items() if hasattr(f, "kernel")}
    assert CALLS.keys() == quick
