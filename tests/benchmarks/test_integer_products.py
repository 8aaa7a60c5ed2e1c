"""What benchmarks/integer_products.py times, and what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import believable, integer_products
from benchmarks import integer_products_worker as worker

from ..spec import example, house, law, oracle
from . import recorded

WORKER = worker.Worker("numpy")
IN_NUMPY = [form for form, of in worker.FORMS.items() if of == "numpy"]
SMALL = [name for name in worker.CASES if worker.CASES[name].products() < 1e7]


@law
@pytest.mark.parametrize("name", SMALL)
def test_every_form_gives_the_same_sums(name):
    """Of random codes float32's fit, too, though nobody promises it."""
    case = worker.CASES[name]
    sums = {form: np.asarray(WORKER.job(case, form)()) for form in IN_NUMPY}
    assert sums["refvlm"].dtype == sums["int32, F order"].dtype == np.int32
    assert sums["refvlm"].shape == case.gives
    for form in IN_NUMPY:
        there = sums[form].reshape(case.gives)
        np.testing.assert_array_equal(sums["refvlm"], there, err_msg=form)


@law
@pytest.mark.parametrize("name", worker.CASES)
def test_long_sums_of_large_codes_are_not_what_float32_gives(name):
    """All above 2^24, where every second number or fewer is a float32: whoever does not
    cut is found out, and both orders of NumPy's int32 agree with refvlm."""
    case = worker.CASES[name].long()
    forms = "refvlm", "int32, C order", "int32, F order", "float32"
    cut, c_order, f_order, uncut = (
        np.asarray(WORKER.job(case, form, 120)()).reshape(case.gives) for form in forms
    )
    np.testing.assert_array_equal(cut, c_order)
    np.testing.assert_array_equal(cut, f_order)
    assert cut.max() > 1 << 24 and not np.array_equal(cut, uncut)


@house
def test_a_digest_tells_float32_from_whole_numbers():
    """Though the sums of random codes are the same."""
    name = SMALL[0]
    exact = WORKER.digest(name, "refvlm")
    assert WORKER.digest(name, "int32, F order") == exact
    assert WORKER.digest(name, "float32") != exact


@oracle
@pytest.mark.parametrize("form", [f for f in worker.FORMS if f not in IN_NUMPY])
def test_the_opponents_give_the_same_sums(form):
    """Where they are installed, but those that may clamp."""
    pytest.importorskip(form.partition(",")[0])
    pytest.importorskip("onnx")
    digest = worker.Worker(worker.FORMS[form]).digest(SMALL[0], form)
    if form not in worker.INEXACT:
        assert digest == WORKER.digest(SMALL[0], "refvlm")


@example
def test_the_quickest_exact_form_counts():
    """uint8 times int8 is quickest, and counts where its sums are the same."""
    answers = {
        "refvlm": [4.0],
        "int32, C order": [9.0],
        "int32, F order": [6.0],
        "float32": [3.0],
        "torch, C order": None,
        "onnxruntime, u8u8": [2.0],
        "onnxruntime, u8s8": [1.0],
    }
    same = {
        form: form not in worker.INEXACT for form, given in answers.items() if given
    }
    cost = {"flops": 0, "bytes": 1}
    row = integer_products.row(answers, same, cost, 0.0)
    assert row["counts"] == {
        "refvlm": "refvlm",
        "int32": "int32, F order",
        "float32": "float32",
        "torch": "torch, C order",
        "onnxruntime": "onnxruntime, u8u8",
    }
    assert row["ratios"]["onnxruntime"] == 2.0 and row["ratios"]["torch"] is None
    assert row["forms"]["onnxruntime, u8s8"]["median"] == 1.0
    said = integer_products.others(row)
    assert "int32, C order 9000.00 ms, " in said
    assert said.endswith("onnxruntime, u8s8 1000.00 ms (other sums)")
    exact = same | {"onnxruntime, u8s8": True}
    row = integer_products.row(answers, exact, cost, 0.0)
    assert row["ratios"]["onnxruntime"] == 4.0


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
    times = {"refvlm": [2e-2] * 3, "int32, C order": [1.0] * 3, "torch, C order": None}
    table = {
        name: integer_products.row(times, {}, case.cost(), 0.0)
        for name, case in worker.CASES.items()
    }
    record = recorded.SOURCE | {"rows": table}
    faults = believable.faults({"roofs": recorded.roofs(), "integer-products": record})
    assert not faults


@house
def test_other_sums_are_refused():
    """But those of which nobody promised that they are whole."""
    letters = {"refvlm": "a", "float32": "b", "torch, C order": None}
    letters |= {"int32, C order": "c", "onnxruntime, u8s8": "d"}

    class Peer:
        def ask(self, task, name, form):
            return letters[form]

    asked = {form: Peer() for form in letters if not form.startswith("int32")}
    same = integer_products.equality("1 row", asked)
    assert same == {"refvlm": True, "float32": False, "onnxruntime, u8s8": False}
    with pytest.raises(integer_products.RefusedError, match="int32, C order gives oth"):
        integer_products.equality("1 row", asked | {"int32, C order": Peer()})
