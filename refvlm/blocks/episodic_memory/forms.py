r"""Five ways to write one fact, which are one formula on paper.

    plain        S - c' u                            as the source writes it, c = u / v
    symmetrised  the same, and the mean of it and its transpose
    Joseph       (I - c' w) S (I - c' w)' + s2 c' c  two squares, on paper
    symmetric    S - u' u / v                        `writing.write`
    Potter       L - L f' f / (v + root(s2 v))       of a root, S = L L', with f = w L

with u = w S and v = u w' + s2. In float32 they part, once much was written with little
noise. A rounding that is symmetric dies away, since every further fact makes all
beliefs surer. One that is not stays: the plain form subtracts what is nearly symmetric,
so that the skew part of S is never made smaller, while S itself goes towards zero.
Joseph's form lets it die, and rounds two products of matrices instead: at a noise of
1e-6 it loses an eigenvalue of 64 slots on the way, and none of 16. Every form that
keeps S loses its least eigenvalues where the noise comes near the last digit of the
prior's variance; a root has half as many digits to span, and L L' is never negative.

Source: [MicroVLM-V] 5; Kaminski, Bryson and Schmidt, Discrete square root filtering.
Oracle: the information form, by torch's inverse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .demands import fact_is_finite, noise_is_a_variance, of_a_memory
from .prior import Memory
from .writing import write


@of_a_memory(noise_is_a_variance, fact_is_finite, address="... K", code="... C")
def write_plain(memory, address, code, noise):
    r"""As the source writes it: $c = u / (u w\transpose + \sigma^2)$,
    $M' = M + c\transpose (z - wM)$, $\Sigma' = \Sigma - c\transpose u$.

    c was rounded and u was not, so that $c_i u_j$ is not quite $c_j u_i$.

    Source: [MicroVLM-V] 5.
    """
    w, z = address[..., None, :], code[..., None, :]
    reach = w @ memory.covariance
    gain = reach / (reach @ w.swapaxes(-1, -2) + noise)
    gain = gain.swapaxes(-1, -2)
    return Memory(
        memory.mean + gain * (z - w @ memory.mean), memory.covariance - gain * reach
    )


def write_symmetrised(memory, address, code, noise):
    r"""`write_plain`, and then $\Sigma' \leftarrow (\Sigma' + \Sigma'\transpose) / 2$.

    Source: [MicroVLM-V] 5.
    """
    mean, covariance = write_plain(memory, address, code, noise)
    return Memory(mean, (covariance + covariance.swapaxes(-1, -2)) / 2)


@of_a_memory(noise_is_a_variance, fact_is_finite, address="... K", code="... C")
def write_joseph(memory, address, code, noise):
    r"""Joseph's form, true for every gain c, the best or not:
    $\Sigma' = (I - c\transpose w)\,\Sigma\,(I - c\transpose w)\transpose
    + \sigma^2 c\transpose c$.

    Source: [MicroVLM-V] 5, whose covariance it is to save.
    """
    w, z = address[..., None, :], code[..., None, :]
    reach = w @ memory.covariance
    gain = reach / (reach @ w.swapaxes(-1, -2) + noise)
    gain = gain.swapaxes(-1, -2)
    rest = np.eye(w.shape[-1], dtype=gain.dtype) - gain * w
    covariance = rest @ memory.covariance @ rest.swapaxes(-1, -2)
    return Memory(
        memory.mean + gain * (z - w @ memory.mean),
        covariance + gain * gain.swapaxes(-1, -2) * noise,
    )


class RootedMemory(NamedTuple):
    """A belief by a root of its covariance: mean (..., K, C), root L (..., K, K)."""

    mean: Any
    root: Any


def rooted(memory: Memory) -> RootedMemory:
    r"""The same belief by its Cholesky root, $\Sigma = L L\transpose$."""
    return RootedMemory(memory.mean, np.linalg.cholesky(memory.covariance))


def unrooted(memory: RootedMemory) -> Memory:
    r"""The belief whose root it is: $\Sigma = L L\transpose$."""
    return Memory(memory.mean, memory.root @ memory.root.swapaxes(-1, -2))


@of_a_memory(
    noise_is_a_variance,
    fact_is_finite,
    kind=RootedMemory,
    address="... K",
    code="... C",
)
def write_root(memory, address, code, noise):
    r"""Potter's form: with $f = wL$ and $v = f f\transpose + \sigma^2$,
    $M' = M + L f\transpose (z - wM) / v$ and
    $L' = L - L f\transpose f / (v + \sqrt{\sigma^2 v})$.

    L' is no triangle any more, and needs to be none.

    Source: [MicroVLM-V] 5; Kaminski et al., Discrete square root filtering.
    """
    w, z = address[..., None, :], code[..., None, :]
    f = w @ memory.root
    variance = (f**2).sum(-1, keepdims=True) + noise
    slots = memory.root @ f.swapaxes(-1, -2)
    return RootedMemory(
        memory.mean + slots * ((z - w @ memory.mean) / variance),
        memory.root - slots * (f / (variance + math.sqrt(noise) * variance**0.5)),
    )


class Form(NamedTuple):
    """How to begin with a memory, write a fact into that, and end with a memory."""

    begin: Callable
    write: Callable
    end: Callable


def as_it_is(memory: Memory) -> Memory:
    """A form that keeps the covariance begins and ends with the memory itself."""
    return memory


FORMS = {
    "plain": Form(as_it_is, write_plain, as_it_is),
    "symmetrised": Form(as_it_is, write_symmetrised, as_it_is),
    "Joseph": Form(as_it_is, write_joseph, as_it_is),
    "symmetric": Form(as_it_is, write, as_it_is),
    "Potter": Form(rooted, write_root, unrooted),
}
