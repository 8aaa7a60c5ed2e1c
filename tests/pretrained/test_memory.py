"""The spec of refvlm/pretrained/memory.py: a belief, and receipts of what made it."""

import numpy as np
import pytest

from refvlm.models import microvlm_memory
from refvlm.models.microvlm_config import MicroVLMConfig
from refvlm.pretrained import EpisodicMemory
from refvlm.pretrained.memory import FADED, MOST

from .. import microvlms
from ..spec import contract, example, law, random_arrays

SCALE = 2.5


def empty(dtype=np.float32, **memory):
    document = microvlms.changed(
        memory={**microvlms.TOKENS, "prior_scale": SCALE, **memory}
    )
    return EpisodicMemory(MicroVLMConfig.from_json(document), lambda: "mine", dtype)


def codes(pictures, seed=3, facts=3):
    """(pictures, facts, C): layer norm gives the model's own a length like this."""
    return random_arrays(seed)(pictures, facts, 16)


@example
def test_a_memory_of_one_fact():
    """One code where nothing was: the noise takes its part of what is read back."""
    memory, code = empty(noise=0.25), codes(1, facts=1)
    assert memory.write(["one"], code) == [1]
    (address,) = memory.receipts[1].addresses
    np.testing.assert_allclose(address, code[0, 0, :7] / SCALE, atol=1e-6)
    length = float(address @ address)
    assert memory.residues()[1] == pytest.approx(0.25 / (length + 0.25), rel=1e-5)
    assert memory.shares(address) == {1: pytest.approx(1.0)}


@law
def test_write_is_the_batch_posterior():
    """Pictures one after the other, or all facts at once."""
    memory, some = empty(np.float64), codes(4)
    memory.write(list("abcd"), some)
    start = microvlm_memory.start(memory.config, np.float64)
    start = type(start)(*(part[None] for part in start))
    at_once = some.reshape(1, 12, 16)
    expected = microvlm_memory.posterior(start, at_once, memory.config)
    for ours, theirs in zip(memory.belief, expected):
        np.testing.assert_allclose(ours, theirs[0], atol=1e-12)


@law
@pytest.mark.parametrize("noise", [0.125, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_forget_takes_back_whichever_picture(noise):
    """What is left is what the others alone had made, to what single precision holds;
    at a noise that leaves no digits to take back, the others are written again."""
    memory, some = empty(noise=noise), codes(3)
    memory.write(list("abc"), some)
    memory.forget(2)
    alone = empty(noise=noise)
    alone.write(list("ac"), some[[0, 2]])
    for ours, theirs in zip(memory.belief, alone.belief):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    assert [*memory.receipts] == [1, 3] and len(memory) == 2
    assert memory.facts == 6
    assert memory.write(["d"], some[:1]) == [4]


@law
def test_shares_are_of_what_is_read():
    """What is read is the sum of all codes by their weights, and what the prior adds:
    the weights are those that the shares are made of."""
    memory, some = empty(np.float64), codes(3)
    memory.write(list("abc"), some)
    address = random_arrays(8)(7)
    mean, covariance = memory.belief
    before = microvlm_memory.start(memory.config, np.float64).mean
    rows = np.concatenate([kept.addresses for kept in memory.receipts.values()])
    weights = rows @ covariance @ address / memory.config.memory.noise
    expected = address @ covariance @ before + weights @ some.reshape(9, 16)
    np.testing.assert_allclose(address @ mean, expected, atol=1e-12)
    by_picture = np.abs(weights).reshape(3, 3).sum(axis=1)
    found = memory.shares(address)
    assert [*found] == [1, 2, 3]
    np.testing.assert_allclose([*found.values()], by_picture / by_picture.sum())


@law
def test_shares_light_up_where_it_was_written():
    """At the address of a picture's own fact its share is the largest."""
    memory = empty(slots=14, noise=0.01)
    memory.write(list("abcd"), codes(4))
    for number, kept in memory.receipts.items():
        for address in kept.addresses:
            shares = memory.shares(address)
            assert max(shares, key=shares.get) == number


@law
def test_a_picture_is_left_as_far_as_it_is_read_back_and_its_own():
    """A large noise lets nothing be read back; what is written beside it takes its
    part, though the norm of what is read back hardly changes."""
    memory, some = empty(noise=1e-3), codes(20)
    memory.write(["a"], some[:1])
    assert memory.clarity() == {1: 1.0} and memory.left()[1] > 0.95
    memory.write([""] * 19, some[1:])
    residues, clarity, left = memory.residues(), memory.clarity(), memory.left()
    for number, kept in memory.receipts.items():
        shares = [memory.shares(address)[number] for address in kept.addresses]
        assert clarity[number] == pytest.approx(np.mean(shares), rel=1e-5)
        part = (1 - min(residues[number], 1)) * clarity[number]
        assert left[number] == pytest.approx(part)
    assert np.mean([*left.values()]) < FADED / 2
    assert memory.faded() == [n for n, part in left.items() if part < FADED]
    noisy = empty(noise=100.0)
    noisy.write(["a"], some[:1])
    assert noisy.clarity() == {1: 1.0} and noisy.faded() == [1]


@law
def test_what_is_not_remembered_has_no_part():
    """An empty memory has no shares, and nothing is left of it."""
    memory = empty()
    assert memory.shares(np.ones(7, np.float32)) == memory.left() == {}
    assert memory.faded() == []
    memory.write(["a"], codes(1))
    assert memory.shares(np.zeros(7, np.float32)) == {1: 0.0}


@law
def test_nothing_that_was_given_is_written_to():
    """Each change puts new arrays in the place of the old."""
    memory, some = empty(), codes(2)
    kept, copy = memory.kept, some.copy()
    memory.write(list("ab"), some)
    later = memory.kept
    memory.forget(1)
    assert kept.shown == 0 and not kept.receipts
    assert [*later.receipts] == [1, 2] and [*memory.receipts] == [2]
    np.testing.assert_array_equal(some, copy)
    memory.receipts.clear()
    assert len(memory) == 1


@contract
@pytest.mark.parametrize(
    "number, message",
    [
        (0, "no picture 0: those that are remembered are 1, 3"),
        (4, "no picture 4: those"),
        (-1, "no picture -1"),
        (2, "picture 2 was forgotten already: those that are remembered are 1, 3"),
        (True, "no picture True"),
        (1.0, "no picture 1.0"),
        ("1", "no picture '1'"),
        (None, "no picture None"),
    ],
)
def test_forget_refuses_what_is_not_remembered(number, message):
    """Never there, or not any more."""
    memory = empty()
    memory.write(list("abc"), codes(3))
    memory.forget(2)
    kept = memory.kept
    with pytest.raises(ValueError, match=f"^forget: .*{message}"):
        memory.forget(number)
    assert memory.kept is kept


@contract
def test_a_memory_takes_so_many_pictures():
    """Its file would grow without end."""
    memory = empty()
    memory.kept = memory.kept._replace(shown=MOST - 2)
    memory.check_room(2)
    with pytest.raises(ValueError, match="1022 pictures .* takes 1024, but not 3 more"):
        memory.check_room(3)


@contract
def test_write_refuses_codes_of_nan():
    """One would spoil all that is remembered."""
    memory, some = empty(), codes(2)
    some[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or an infinity"):
        memory.write(list("ab"), some)
    assert len(memory) == 0
