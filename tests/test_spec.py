"""The spec of the spec: its checks can fail, and its outline is what is run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refvlm.autodiff import differentiable

from .spec import assert_close, check_dtype, check_vjp, contract, law, random_arrays

ROOT = Path(__file__).parents[1]


def pytest_with(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@law
def test_laws_prints_sentences_and_runs_nothing():
    """The outline of one file has its laws as sentences, by kind."""
    done = pytest_with("--laws", "tests/ops/test_probability.py")
    assert done.returncode == 0
    assert "law         A higher score never gets a lower probability." in done.stdout
    assert "passed" not in done.stdout


@law
def test_laws_are_chosen_by_words_and_kinds():
    """-k and -m narrow the outline as they narrow a run."""
    done = pytest_with("--laws", "-k", "odds", "tests/ops/test_probability.py")
    assert "1 statement\n" in done.stdout and "is e times as likely" in done.stdout
    done = pytest_with("--laws", "-m", "contract", "tests/ops/test_probability.py")
    assert "  contract  " in done.stdout and "  law  " not in done.stdout


@contract
def test_laws_that_nobody_has_are_a_usage_error():
    """An outline of nothing is not what was asked for: pytest's status is 5."""
    for chosen in (["-k", "nosuchthing"], ["-m", "example and law"]):
        done = pytest_with("--laws", *chosen, "tests/ops/test_probability.py")
        assert done.returncode == 5 and "0 statements" in done.stdout


@contract
def test_contracts_without_a_file_is_a_usage_error():
    """An option that does nothing says so."""
    done = pytest_with("--contracts", "tests/ops/test_probability.py")
    assert done.returncode == 4 and "does nothing without --impl" in done.stderr


@contract
def test_assert_close_sees_every_kind_of_difference():
    """Values, shapes, dtypes, infinities and NaNs."""
    right = np.array([1.0, np.inf, 3.0])
    for wrong in (
        np.array([1.0 + 1e-9, np.inf, 3.0]),
        np.array([1.0, 1e308, 3.0]),
        np.array([1.0, np.nan, 3.0]),
        np.array([[1.0, np.inf, 3.0]]),
        right.astype(np.float32),
    ):
        with pytest.raises(AssertionError):
            assert_close(wrong, right)
    assert_close(right.copy(), right)


@contract
def test_check_vjp_sees_a_wrong_derivative():
    """A gradient that is off by one part in ten thousand does not pass."""

    @differentiable
    def square(x):
        return x * x

    square.vjp(lambda d_out, x: 2.0002 * x * d_out)
    with pytest.raises(AssertionError, match="central"):
        check_vjp(square, random_arrays(0)(3))
    square.vjp(lambda d_out, x: 2 * x * d_out)
    check_vjp(square, random_arrays(0)(3))


@contract
def test_check_dtype_sees_upcasts_and_written_inputs():
    """float32 that becomes float64, and an input that changes, do not pass."""
    with pytest.raises(AssertionError, match="float32 in, float64 out"):
        check_dtype(
            lambda x: x / np.sqrt(np.float64(2)) if x.itemsize == 4 else x, np.ones(2)
        )

    def overwrite(x):
        x += 1
        return x

    with pytest.raises(AssertionError, match="written to"):
        check_dtype(overwrite, np.ones(2))
