"""The spec of refvlm/models/microvlm_memory.py."""

from dataclasses import replace

import numpy as np
import pytest

from refvlm.blocks.episodic_memory.writing import write
from refvlm.blocks.kv_cache import TapedCache
from refvlm.checkpoint import Weights
from refvlm.models import microvlm
from refvlm.models import microvlm_memory as remembering
from refvlm.shapes import ShapeError

from .. import microvlms
from ..spec import assert_close, contract, example, law, random_arrays

DRAW = random_arrays(21)
TOKENS = DRAW(3, 4, 5, 24)  # three episodes of four pictures, five tokens of each
QUESTIONS = DRAW(3, 2, 24)
DOCUMENTS = {
    "contexts": microvlms.CONFIG,
    "tokens": microvlms.changed(memory=microvlms.TOKENS),
}
MODELS = {name: microvlms.built(document) for name, document in DOCUMENTS.items()}
each_wiring = pytest.mark.parametrize("wiring", DOCUMENTS)


def model(wiring):
    """(configuration, weights)."""
    config, tensors = MODELS[wiring]
    return config, Weights(tensors)


def codes(tokens, wiring):
    config, weights = model(wiring)
    return remembering.codes(tokens, weights, config)


def remember(tokens, wiring):
    """The memories of some episodes."""
    config, _ = model(wiring)
    start = remembering.start(config, np.float64)
    return remembering.posterior(start, codes(tokens, wiring), config)


def recall(tokens, wiring, questions=QUESTIONS):
    config, weights = model(wiring)
    return remembering.recall(remember(tokens, wiring), questions, weights, config)


@example
def test_addresses_are_a_codes_own_first_numbers():
    """The prior's mean is half the identity: its pseudo-inverse doubles seven numbers
    of twenty-four, and drops the rest."""
    config, _ = model("contexts")
    code = np.arange(24.0).reshape(1, 1, 24)
    assert_close(remembering.addresses(code, config), 2 * code[..., :7])
    assert_close(remembering.start(config).mean[2, :4], np.float32([0, 0, 0.5, 0]))


@example
@pytest.mark.parametrize("wiring, count", [("contexts", 4), ("tokens", 12)])
def test_codes_are_one_for_a_picture_or_one_for_each_written_token(wiring, count):
    """Four pictures are four codes, or of three tokens each, twelve."""
    config, _ = model(wiring)
    assert codes(TOKENS, wiring).shape == (3, count, config.memory.width)


@law
@each_wiring
def test_posterior_equals_one_code_after_the_other(wiring):
    """Written at once, or by Sherman and Morrison as they come: the same memory."""
    config, _ = model(wiring)
    seen = codes(TOKENS, wiring)
    at = remembering.addresses(seen, config)
    one = remembering.start(config, np.float64)
    for place in range(seen.shape[1]):
        one = write(one, at[:, place], seen[:, place], config.memory.noise)
    for once, apiece in zip(remember(TOKENS, wiring), one):
        assert_close(once, apiece)


@law
@each_wiring
def test_posterior_never_changes_the_columns_of_the_address(wiring):
    """A code's first numbers say where it is written and are there already."""
    config, _ = model(wiring)
    slots = config.memory.slots
    start, memory = remembering.start(config, np.float64), remember(TOKENS, wiring)
    keys = np.broadcast_to(start.mean[:, :slots], (3, slots, slots))
    assert_close(memory.mean[..., :slots], keys)
    assert np.abs(memory.mean[..., slots:]).max(axis=(1, 2)).min() > 0.05


@law
def test_recall_finds_what_was_written():
    """With little noise and fewer codes than slots, a code's cue reads the code."""
    config, _ = model("contexts")
    exact = replace(config, memory=replace(config.memory, noise=1e-9))
    seen = codes(TOKENS, "contexts")
    start = remembering.start(exact, np.float64)
    memory = remembering.posterior(start, seen, exact)
    address = remembering.cue_addresses(memory, seen, exact)
    assert_close(address @ memory.mean, seen, 1e-4)
    assert np.abs(address @ start.mean - seen).max() > 0.1


@law
@each_wiring
def test_recall_looks_into_its_own_episode(wiring):
    """The memory of another episode gives other answers, and changes no gate."""
    here, there = recall(TOKENS, wiring), recall(TOKENS[[1, 2, 0]], wiring)
    assert np.abs(here.read - there.read).max(axis=2).min() > 1e-3
    np.testing.assert_array_equal(here.gate, there.gate)
    moved = recall(TOKENS[[1, 2, 0]], wiring, QUESTIONS[[1, 2, 0]])
    assert_close(moved.read, here.read[[1, 2, 0]])


@law
@pytest.mark.parametrize("wiring, hears", [("contexts", True), ("tokens", False)])
def test_codes_of_one_way_can_be_written_as_pictures_come(wiring, hears):
    """Read one way, what follows changes no code that is written; read both ways, it
    changes all of them."""
    first, whole = codes(TOKENS[:, :3], wiring), codes(TOKENS, wiring)
    before = whole[:, : first.shape[1]]
    if hears:
        assert np.abs(before - first).max(axis=2).min() > 1e-4
    else:
        assert_close(before, first)


@law
def test_codes_of_tokens_are_those_of_the_first():
    """Of five tokens three are written; the others are heard in the mean alone, and the
    means are what the LSTM orders."""
    other = TOKENS.copy()
    other[:, 0, 3:] = DRAW(3, 2, 24)
    other[:, 0, 3:] += (TOKENS[:, 0, 3:] - other[:, 0, 3:]).mean(axis=1, keepdims=True)
    assert_close(codes(other, "tokens"), codes(TOKENS, "tokens"))
    other[:, 0, 4] += 1.0
    moved = np.abs(codes(other, "tokens") - codes(TOKENS, "tokens"))
    assert moved.max(axis=2).min() > 1e-4


@law
def test_cue_addresses_with_a_ridge_compares_values_too():
    """A cue that shares nothing but what was stored is still led to it."""
    config, _ = model("tokens")
    memory, seen = remember(TOKENS, "tokens"), codes(TOKENS, "tokens")
    only_values = seen.copy()
    only_values[..., : config.memory.slots] = 0
    led = remembering.cue_addresses(memory, only_values, config)
    assert np.abs(led).max(axis=2).min() > 0.05
    prior = replace(config, memory=replace(config.memory, ridge=None))
    np.testing.assert_array_equal(
        remembering.cue_addresses(memory, only_values, prior), 0
    )


@law
@each_wiring
def test_slots_behind_closed_gates_are_no_memory(wiring):
    """Of a bias of minus infinity for every slot nothing is heard, to the bit of a
    softmax that has no such column."""
    config, weights = model(wiring)
    read = recall(TOKENS, wiring).read
    text, decoder = DRAW(3, 6, 24), weights.scope(microvlm.DECODER)
    answers = []
    for bias in (None, np.zeros((3, 2)), np.full((3, 2), -np.inf)):
        cache = TapedCache()
        cache.slots = remembering.slots(read, weights, config, bias)
        forward = microvlm.SPEAKER.forward
        answers.append(forward(text, decoder, config.text, cache=cache))
    alone = forward(text, decoder, config.text)
    ungated, open_, closed = answers
    assert_close(ungated, open_)
    assert_close(closed, alone)
    assert np.abs(open_ - alone).max(axis=2).min() > 1e-3


@law
def test_slots_of_key_heads_equal_those_written_for_each_query():
    """Two heads of keys, or six of queries with the same rows for those that share one:
    the same answer."""
    document = microvlms.changed(memory={"heads": 2})
    few, tensors = microvlms.built(document)
    many, _ = MODELS["contexts"]
    names = [f"{microvlm.MEMORY}.W_M.{kind}" for kind in ("weight", "bias")]
    copied = dict(tensors)
    for name in names:
        rows = tensors[name].reshape(2, 2, 8, *tensors[name].shape[1:])
        rows = np.repeat(rows, 3, axis=1)
        copied[name] = rows.reshape(-1, *tensors[name].shape[1:])
    given = microvlms.pictures(6), microvlms.texts(6)[0]
    one = microvlm.microvlm(*given, Weights(tensors), few, 2)
    other = microvlm.microvlm(*given, Weights(copied), many, 2)
    assert_close(one, other, 1e-11)


@law
@each_wiring
def test_every_tensor_of_the_memory_is_heard(wiring):
    """Change one, and what is read or put into slots is another."""
    config, weights = model(wiring)

    def heard(weights):
        start = remembering.start(config, np.float64)
        seen = remembering.codes(TOKENS, weights, config)
        memory = remembering.posterior(start, seen, config)
        found = remembering.recall(memory, QUESTIONS, weights, config)
        slots = remembering.slots(found.read, weights, config)
        return np.concatenate([slots.keys.ravel(), slots.values.ravel()])

    before = heard(weights)
    names = remembering.expected_shapes(config)
    for name in names:
        full = f"{microvlm.MEMORY}.{name}"
        moved = weights.replace({full: weights[full] * 1.5 + 0.1})
        assert np.abs(heard(moved) - before).max() > 1e-4, name
    held = {n for n in weights if n.startswith(f"{microvlm.MEMORY}.")}
    assert held == {f"{microvlm.MEMORY}.{name}" for name in names}


@law
@each_wiring
def test_remembering_keeps_float32(wiring):
    """What is seen in single precision is remembered so, and near to the double's."""
    config, weights = model(wiring)
    single = Weights({n: weights[n].astype(np.float32) for n in weights})
    seen = remembering.codes(TOKENS.astype(np.float32), single, config)
    memory = remembering.posterior(remembering.start(config), seen, config)
    found = remembering.recall(memory, QUESTIONS.astype(np.float32), single, config)
    assert all(array.dtype == np.float32 for array in (*memory, *found))
    assert_close(found.read, recall(TOKENS, wiring).read.astype(np.float32), 1e-5)


@contract
def test_remembering_refuses_what_cannot_be_written():
    """NaN would be all that is remembered; contexts of three episodes are a multiple of
    three; a gate is one number for each slot."""
    config, weights = model("contexts")
    spoilt = TOKENS.copy()
    spoilt[1, 2, 3, 4] = np.nan
    with pytest.raises(ValueError, match="write_all: .* holds NaN or an infinity"):
        remember(spoilt, "contexts")
    contexts = DRAW(10, 24)
    with pytest.raises(ShapeError, match="10 contexts do not make 3 episodes of equal"):
        remembering.remembered(contexts, weights, config, 3)
    with pytest.raises(ShapeError, match="slots_of: .*bias"):
        remembering.slots(DRAW(3, 2, 24), weights, config, np.zeros((3, 3)))
