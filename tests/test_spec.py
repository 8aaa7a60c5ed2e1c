"""The spec of the spec: its checks can fail, and its options do what they say."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refvlm.autodiff import differentiable

from .spec import assert_close, check_dtype, check_vjp, contract, law, random_arrays

ROOT = Path(__file__).parents[1]

GOOD = """
import numpy as np

def softmax(scores, dim=-1):
    weights = np.exp(scores - scores.max(axis=dim, keepdims=True))
    return weights / weights.sum(axis=dim, keepdims=True)

def softmax_vjp(d_out, out, dim):
    return out * (d_out - (d_out * out).sum(axis=dim, keepdims=True))
"""
UNSHIFTED = GOOD.replace("scores - scores.max(axis=dim, keepdims=True)", "scores")
WRONG_SLOPE = GOOD.replace("return out * (d_out - ", "return out * (d_out + ")


def pytest_with(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    "source, status, said",
    [
        (GOOD, 0, ["holds   derivative"]),
        (UNSHIFTED, 1, ["BREAKS  law", "A score of 1000", "subtract the largest"]),
        (WRONG_SLOPE, 1, ["BREAKS  derivative", "central differences"]),
        ("def softplus(x): pass", 4, ["has an operator's name"]),
        ("import nothing_of_this_name", 4, ["does not import"]),
    ],
    ids=["good", "unshifted", "wrong slope", "no operator", "does not import"],
)
@law
def test_impl_holds_the_laws_against_a_readers_file(tmp_path, source, status, said):
    """A right softmax passes; a wrong one fails on the law that it breaks, in words."""
    path = tmp_path / "mine.py"
    path.write_text(source)
    done = pytest_with(f"--impl={path}", "tests/ops/test_probability.py")
    assert done.returncode == status, done.stdout + done.stderr
    for words in said:
        assert words in done.stdout + done.stderr


@law
def test_laws_prints_sentences_and_runs_nothing():
    """The outline of one file has its laws as sentences, by kind."""
    done = pytest_with("--laws", "tests/ops/test_probability.py")
    assert done.returncode == 0
    assert "law         A higher score never gets a lower probability." in done.stdout
    assert "passed" not in done.stdout


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
