"""What benchmarks/integer_products.py times, and what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import believable, integer_products, rows
from benchmarks import integer_products_worker as worker

from ..spec import example, house, law
from . import recorded

WORKER = worker.Worker("numpy")
SMALL = [name for name in worker.CASES if worker.CASES[name].products() < 1e7]


@law
@pytest.mark.parametrize("name", SMALL)
def test_every_form_gives_the_same_sums(name):
    """Of random codes float32's fit, too, though nobody promises it."""
    sums = {form: WORKER.job(name, form)() for form in ("refvlm", "int32", "float32")}
    assert sums["refvlm"].dtype == sums["int32"].dtype == np.int32
    assert sums["refvlm"].shape == worker.CASES[name].gives
    np.testing.assert_array_equal(sums["refvlm"], sums["int32"])
    np.testing.assert_array_equal(sums["refvlm"], sums["float32"])
    assert WORKER.digest(name, "refvlm") == WORKER.digest(name, "int32")


@example
def test_a_row_counts_products_and_the_bytes_of_codes_and_sums():
    """A byte for each code, four for each sum, and no floating operation."""
    cost = worker.CASES["64 rows, 896 to 4864"].cost()
    assert cost["products"] == 64 * 896 * 4864
    assert cost["bytes"] == 64 * 896 + 896 * 4864 + 4 * 64 * 4864
    assert cost["flops"] == 0
    conv = worker.CASES["conv 3x3, 96 to 96 at 32"]
    assert conv.products() == 96 * 32**2 * 96 * 9


@house
def test_the_rows_can_be_believed():
    """With the cost of each, and times that have been seen."""
    times = {"refvlm": [2e-2] * 3, "int32": [1.0] * 3, "torch": None}
    table = {
        name: rows.row(times, case.cost(), 0.0) for name, case in worker.CASES.items()
    }
    record = recorded.SOURCE | {"rows": table}
    faults = believable.faults({"roofs": recorded.roofs(), "integer-products": record})
    assert not faults


@house
def test_other_sums_are_refused():
    """But float32's, of which nobody promised that they are whole."""

    class Peer:
        def ask(self, task, name, form):
            return {"refvlm": "a", "float32": "b", "torch": None, "int32": "c"}[form]

    asked = {who: Peer() for who in ("refvlm", "float32", "torch")}
    same = integer_products.equality("1 row", asked)
    assert same == {"refvlm": True, "float32": False}
    with pytest.raises(integer_products.RefusedError, match="int32 gives other sums"):
        integer_products.equality("1 row", asked | {"int32": Peer()})
