"""The spec of refvlm/blocks/episodic_memory/forms.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.episodic_memory.forms import (
    FORMS,
    RootedMemory,
    rooted,
    unrooted,
    write_joseph,
    write_plain,
    write_root,
    write_symmetrised,
)
from refvlm.blocks.episodic_memory.prior import Memory, prior
from refvlm.blocks.episodic_memory.writing import write, write_all
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from .memories import (
    assert_same,
    many_facts,
    one_after_the_other,
    some_memory,
    true_posterior,
)


def written_by(form, memory, addresses, codes, noise):
    """All of the facts by one form, from a memory to a memory."""
    begin, step, end = FORMS[form]
    return end(one_after_the_other(begin(memory), addresses, codes, noise, step))


def least_eigenvalues(form, addresses, codes, noise):
    """Of the covariance, after every fifth of the first hundred facts and every
    hundredth of the others."""
    begin, step, end = FORMS[form]
    memory, found = begin(prior(addresses.shape[1], codes.shape[1])), []
    with np.errstate(all="ignore"):
        for i, (address, code) in enumerate(zip(addresses, codes)):
            memory = step(memory, address, code, noise)
            if i % 100 == 99 or (i < 100 and i % 5 == 4):
                wide = end(type(memory)(*(part.astype(np.float64) for part in memory)))
                half = wide.covariance / 2
                found.append(np.linalg.eigvalsh(half + half.T)[0])
    return np.array(found), memory.mean


@example
@pytest.mark.parametrize("form", FORMS)
def test_every_form_goes_half_way_where_noise_is_as_large_as_doubt(form):
    """A slot that was believed to be 0 +- 1 is seen as 4 +- 1: it is 2."""
    memory = Memory(np.array([[0.0]]), np.array([[1.0]]))
    written = written_by(form, memory, np.array([[1.0]]), np.array([[4.0]]), 1.0)
    assert_same(written, Memory(np.array([[2.0]]), np.array([[0.5]])))


@law
@pytest.mark.parametrize("form", FORMS)
@given(seed=st.integers(0, 2**31 - 1), noise=st.sampled_from([0.1, 0.3, 1.0]))
def test_every_form_is_the_posterior_of_the_batch(form, seed, noise):
    """In float64 they are one formula."""
    draw = random_arrays(seed)
    memory, addresses, codes = some_memory(draw), draw(5, 4), draw(5, 6)
    found = written_by(form, memory, addresses, codes, noise)
    assert_same(found, write_all(memory, addresses, codes, noise))


@law
@pytest.mark.parametrize("form", FORMS)
def test_every_form_keeps_episodes_apart_and_the_dtype(form):
    """Leading axes are memories of their own."""
    draw = random_arrays(1)
    memory, addresses, codes = (
        some_memory(draw, lead=(3,)),
        draw(3, 2, 4),
        draw(3, 2, 6),
    )
    found = written_by(form, memory, addresses, codes, 0.1)
    assert_same(found, write_all(memory, addresses, codes, 0.1))
    step = FORMS[form].write
    kind = RootedMemory if form == "Potter" else Memory
    for part in range(2):
        check_dtype(
            lambda m, s, w, z, part=part: step(kind(m, s), w, z, 0.1)[part],
            *memory, addresses[:, 0], codes[:, 0],
        )  # fmt: skip


@law
def test_rooted_and_unrooted_are_one_belief():
    """S = L L', and L is a triangle until the first fact."""
    memory = some_memory(random_arrays(2), lead=(2,))
    root = rooted(memory).root
    np.testing.assert_array_equal(root, np.tril(root))
    assert_same(unrooted(rooted(memory)), memory)


@law
def test_write_plain_leaves_a_skew_part_as_it_is():
    """S - c'u subtracts what is symmetric on paper, whatever the skew part of S: so a
    rounding that is not symmetric never dies, and a symmetric one does."""
    draw = random_arrays(3)
    memory, addresses, codes = some_memory(draw), draw(200, 4), draw(200, 6)
    skew = 1e-3 * draw(4, 4)
    skew = skew - skew.T
    plain = one_after_the_other(
        memory._replace(covariance=memory.covariance + skew),
        addresses, codes, 0.1, write_plain,
    ).covariance  # fmt: skip
    assert_close(plain - plain.T, 2 * skew, tolerance=1e-9)
    even = 1e-3 * np.abs(np.outer(skew[0], skew[0]))
    straight = one_after_the_other(
        memory._replace(covariance=memory.covariance + even), addresses, codes, 0.1
    )
    true = write_all(memory, addresses, codes, 0.1)
    gone = np.abs(straight.covariance - true.covariance).max()
    assert gone < 1e-3 * np.abs(even).max()


@law
def test_forms_part_over_ten_thousand_writes_in_float32():
    """K = 64, C = 128, at the source's noise of 1e-6: the plain form ends with a
    covariance that is none, Joseph's loses it on the way, and the others hold."""
    addresses, codes = many_facts(random_arrays(4))
    truth, least = true_posterior(addresses, codes, 1e-6)
    lows, errors = {}, {}
    for form in FORMS:
        lows[form], mean = least_eigenvalues(form, addresses, codes, 1e-6)
        errors[form] = np.abs(mean - truth).max() / np.abs(truth).max()
    assert lows["plain"][-1] < 0 and lows["Joseph"].min() < 0
    for form in ("symmetrised", "symmetric", "Potter"):
        assert (lows[form] > 0).all() and 0.9 < lows[form][-1] / least < 1.1
        assert errors[form] < 3e-5
    assert errors["plain"] > 30 * errors["Potter"]


@law
def test_forms_of_few_slots_part_later():
    """K = 16, and 3,000 writes at the same noise: there Joseph's form holds as well,
    and the plain one alone does not."""
    addresses, codes = many_facts(random_arrays(4), count=3000, slots=16, width=32)
    lows = {f: least_eigenvalues(f, addresses, codes, 1e-6)[0] for f in FORMS}
    assert {form for form in FORMS if lows[form].min() < 0} == {"plain"}


@law
@pytest.mark.parametrize("noise", [1e-4, 1e-2])
def test_forms_agree_in_float32_where_there_is_noise(noise):
    """From a noise of 1e-4 on every form holds, and the plain one is the worst."""
    addresses, codes = many_facts(random_arrays(6), count=1500, noise=noise)
    truth, least = true_posterior(addresses, codes, noise)
    for form in FORMS:
        lows, mean = least_eigenvalues(form, addresses, codes, noise)
        assert (lows > 0).all() and 0.9 < lows[-1] / least < 1.1
        assert np.abs(mean - truth).max() < 3e-4 * np.abs(truth).max()


@law
def test_write_root_holds_where_every_covariance_is_lost():
    """At a noise of 1e-10, below the last digit of the prior's variance, the root alone
    is right: its digits are those of the square root."""
    addresses, codes = many_facts(random_arrays(7), count=1000, noise=1e-10)
    truth, least = true_posterior(addresses, codes, 1e-10)
    for form in FORMS:
        lows, mean = least_eigenvalues(form, addresses, codes, 1e-10)
        if form != "Potter":
            assert lows.min() < 0
            continue
        assert (lows > 0).all() and 0.9 < lows[-1] / least < 1.1
        assert np.abs(mean - truth).max() < 1e-4 * np.abs(truth).max()


@law
def test_write_root_alone_survives_facts_that_contradict_each_other():
    """Codes that no matrix says: their mean is small, what is added to get there large,
    and with a symmetric covariance a thousand times as much is lost as with a root."""
    draw = random_arrays(8)
    addresses, _ = many_facts(draw, count=2000)
    codes = draw(2000, 128).astype(np.float32)
    truth, _ = true_posterior(addresses, codes, 1e-6)
    error = {}
    for form in ("plain", "symmetric", "Potter"):
        _, mean = least_eigenvalues(form, addresses, codes, 1e-6)
        error[form] = np.abs(mean - truth).max() / np.abs(truth).max()
    assert error["plain"] > 5 * error["symmetric"] > 250 * error["Potter"]


@oracle
def test_forms_equal_the_information_form(compare):
    """By torch's inverse, in both dtypes."""
    draw = random_arrays(9)
    memory, addresses, codes = some_memory(draw), draw(5, 4), draw(5, 6)

    def ask(torch):
        mean, covariance, w, z = map(torch.tensor, (*memory, addresses, codes))
        before = torch.linalg.inv(covariance)
        after = torch.linalg.inv(before + w.mT @ w / 0.25)
        mean = after @ (before @ mean + w.mT @ z / 0.25)
        return {"mean": mean.numpy(), "covariance": after.numpy()}

    expected = compare.answers(ask, (*memory, addresses, codes))
    for dtype in (np.float64, np.float32):
        cast = [array.astype(dtype) for array in (*memory, addresses, codes)]
        wanted = Memory(**{name: a.astype(dtype) for name, a in expected.items()})
        for form in FORMS:
            assert_same(written_by(form, Memory(*cast[:2]), *cast[2:], 0.25), wanted)


@derivative
def test_forms_have_derivatives():
    """Through the state that each of them keeps."""
    draw = random_arrays(10)
    memory, address, code = some_memory(draw), draw(4), draw(6)

    def part_of(step, kind, part):
        return lambda m, s, w, z: step(kind(m, s), w, z, 0.3)[part]

    for part in range(2):
        for step in (write_plain, write_symmetrised, write_joseph, write):
            check_vjp(part_of(step, Memory, part), *memory, address, code)
        root = rooted(memory)
        check_vjp(part_of(write_root, RootedMemory, part), *root, address, code)


@contract
def test_forms_say_what_they_write_into():
    """Two of them keep other things, and none may be given to the other."""
    memory, w, z = prior(4, 6), np.ones(4, np.float32), np.ones(6, np.float32)
    with pytest.raises(TypeError, match=r"write_root: memory must be a RootedMemory\("):
        write_root(memory, w, z, 0.1)
    with pytest.raises(TypeError, match="write_plain: memory must be a Memory"):
        write_plain(rooted(memory), w, z, 0.1)
    with pytest.raises(ShapeError, match=r"write_joseph: address is \(3,\), but K = 4"):
        write_joseph(memory, w[:3], z, 0.1)
    for form in FORMS.values():
        with pytest.raises(ValueError, match="noise must be a number above 0"):
            form.write(form.begin(memory), w, z, 0.0)
        with pytest.raises(ValueError, match="code holds NaN"):
            form.write(form.begin(memory), w, z * np.nan, 0.1)
