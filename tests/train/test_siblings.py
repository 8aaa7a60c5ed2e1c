"""The spec of refvlm/train/siblings.py."""

import os
import sys

import numpy as np
import pytest

from refvlm.parallel import workers
from refvlm.train.siblings import Shared, Siblings, siblings

from ..spec import contract, example, law

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are copied on Linux only"
)

TENSORS = {"weight": np.ones((2, 3), np.float32), "bias": np.zeros(1)}


def work(tensors, number):
    """What is noted, and arrays under names of the tensors."""
    if number < 0:
        raise ValueError("a number below 0")
    return (number, workers()), {"weight": tensors["weight"] * number}


def in_family(count, *jobs, tensors=TENSORS):
    """What a family of so many made of each list of jobs."""
    family = Siblings(work, TENSORS, count)
    with family.closing:
        return [
            [(noted, {n: a.copy() for n, a in arrays.items()}) for noted, arrays in out]
            for out in (family(tensors, job) for job in jobs)
        ]


@example
def test_siblings_do_the_jobs_in_order():
    """Three jobs, twice: each sibling's answer stands where its job stood."""
    for out in in_family(3, [(1,), (2,), (3,)], [(1,), (2,), (3,)]):
        assert [noted for noted, _ in out] == [(1, 1), (2, 1), (3, 1)]
        for number, (_, arrays) in enumerate(out, 1):
            np.testing.assert_array_equal(arrays["weight"], np.full((2, 3), number))


@law
def test_siblings_see_the_tensors_of_the_moment():
    """Not those of when they were copied."""
    moved = {**TENSORS, "weight": np.full((2, 3), 7, np.float32)}
    ((_, (_, arrays)),) = in_family(2, [(1,), (2,)], tensors=moved)
    np.testing.assert_array_equal(arrays["weight"], np.full((2, 3), 14))


@contract
def test_an_error_of_a_sibling_is_raised_here():
    """With its message, and nothing is left running."""
    with pytest.raises(ValueError, match="a number below 0"):
        in_family(2, [(1,), (-1,)])


@contract
def test_a_sibling_that_was_killed_is_missed():
    """The error says what may have happened."""
    family = Siblings(work, TENSORS, 2)
    with family.closing:
        family.others[0].process.kill()
        family.others[0].process.join()
        with pytest.raises(RuntimeError, match="killed"):
            family(TENSORS, [(1,), (2,)])


@contract
def test_siblings_end_with_their_context():
    """No process is left behind."""
    family = Siblings(work, TENSORS, 2)
    with family.closing:
        number = family.others[0].process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@contract
def test_one_job_needs_no_sibling():
    """Nor is there one for more jobs than cores."""
    for count in (1, workers() + 1):
        with siblings(work, TENSORS, count) as family:
            assert family is None


@example
def test_shared_arrays_are_of_the_same_shapes_and_kinds():
    """Written to by name, the others left alone; of no axes and of no numbers too."""
    like = {**TENSORS, "step": np.array(3), "none": np.zeros((0, 2), np.float16)}
    shared = Shared(like)
    shared.write({"step": np.array(4)})
    for name, array in shared.arrays.items():
        assert array.shape == like[name].shape and array.dtype == like[name].dtype
    assert shared.arrays["step"] == 4 and not shared.arrays["weight"].any()
