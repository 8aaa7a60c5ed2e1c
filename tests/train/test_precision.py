"""The spec of refvlm/train/precision.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.transformer import transformer_block, transformer_block_shapes
from refvlm.checkpoint import Weights
from refvlm.train import precision
from refvlm.train.optimizers import sgd_step

from ..spec import assert_close, contract, derivative, example, law, oracle
from ..spec import random_arrays as arrays
from ..weights import random_weights

CASTS = {"float16": precision.to_float16, "bfloat16": precision.to_bfloat16}
each_cast = pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)


def a_network(seed=0):
    """Two layers as float32, and what they are shown."""
    draw = arrays(seed)
    weights = {
        "0.weight": draw(8, 4, scale=0.5),
        "0.bias": draw(8, scale=0.1),
        "1.weight": draw(3, 8, scale=0.4),
    }
    x, labels = draw(16, 4), np.arange(16) % 3
    single = {name: array.astype(np.float32) for name, array in weights.items()}
    return single, x.astype(np.float32), labels


def cross_entropy_of(x, labels, shrink=1.0):
    """The loss of that network; `shrink` makes it, and its gradients, small."""

    def loss(weights):
        inputs = x.astype(weights["0.weight"].dtype)
        hidden = ops.gelu(ops.linear(inputs, weights["0.weight"], weights["0.bias"]))
        logits = precision.to_float32(ops.linear(hidden, weights["1.weight"]))
        return ops.cross_entropy(logits, labels) * shrink

    return loss


def descent(rate):
    """A plain step down."""

    def update(masters, gradients):
        return {n: sgd_step(masters[n], gradients[n], rate) for n in masters}

    return update


@example
def test_loss_scale_grows_and_backs_off():
    """Two good steps double it, a bad one halves it and starts the count again."""
    scaling, scales = precision.LossScale(scale=4.0, interval=2), []
    for finite in (True, True, True, False, True, True):
        scaling = scaling.after(finite)
        scales.append(scaling.scale)
    assert scales == [4, 8, 8, 4, 4, 8]


@example
def test_loss_scale_has_a_floor_and_a_ceiling():
    """After 1,200 bad steps it is the least normal float32 and not 0, which no good
    step could double again; after as many good ones it is finite in float32."""
    low = high = precision.LossScale(scale=1.0, interval=1)
    for _ in range(1200):
        low, high = low.after(False), high.after(True)
    assert low.scale == 2.0**-126
    assert np.isfinite(np.float32(high.scale)) and high.scale == 2.0**127
    assert low.after(True).scale == 2.0**-125


@example
def test_mixed_step_skips_what_overflows():
    """A gradient of 4 at a scale of 2^15 is 131,072, beyond float16: no step is made,
    and the next scale is 2^14."""
    masters = {"w": np.ones((1, 1), np.float32)}
    x = np.full((1, 1), 4.0, np.float16)

    def loss(weights):
        return precision.to_float32(ops.linear(x, weights["w"])).sum()

    scaling = precision.LossScale(scale=2.0**15)
    value, after, scaling = precision.mixed_step(loss, masters, scaling, descent(0.1))
    assert value == 4.0 and after is masters and scaling.scale == 2.0**14
    for _ in range(2):
        _, after, scaling = precision.mixed_step(loss, masters, scaling, descent(0.1))
    np.testing.assert_allclose(after["w"], 1 - 0.1 * 4)
    assert (scaling.scale, scaling.good_steps) == (2.0**13, 1)


@example
def test_rounded_rounds_the_result_of_an_operator():
    """The sum 1 + 1/256 is taken in full and rounded once, to the even 1."""
    total = precision.rounded(ops.linear)(np.ones((1, 2)), np.array([[1.0, 1 / 256]]))
    assert total == 1.0


@law
@given(
    finite=st.lists(st.booleans(), max_size=60),
    interval=st.integers(1, 5),
    start=st.sampled_from([1.0, 2.0**10, 2.0**126]),
)
def test_loss_scale_stays_a_number_above_zero(finite, interval, start):
    """It moves by its two factors only, and never to infinity."""
    scaling = precision.LossScale(scale=start, interval=interval)
    for each in finite:
        before, scaling = scaling.scale, scaling.after(each)
        assert scaling.scale in (before, 2 * before, before / 2)
        assert 0 < scaling.scale <= 2.0**127
        assert 0 <= scaling.good_steps < interval


@law
def test_loss_scale_static_never_moves():
    """Whatever happens, the source's constant s stays."""
    scaling = precision.LossScale.static(1024.0)
    for finite in (True, False) * 2000:
        scaling = scaling.after(finite)
    assert scaling.scale == 1024.0


@law
@each_cast
@pytest.mark.parametrize("exponent", [0, 5, 10])
def test_scaled_value_and_grad_does_not_see_a_power_of_two(cast, exponent):
    """While nothing leaves the range, a power of two moves exponents and no digits:
    the unscaled gradients are the same bits at every scale."""
    masters, x, labels = a_network()
    evaluate = precision.scaled_value_and_grad(
        cross_entropy_of(x, labels, 2.0**6), cast
    )
    plain_value, plain = evaluate(masters, 1.0)
    value, scaled = evaluate(masters, 2.0**exponent)
    assert value == plain_value
    for name, gradient in scaled.items():
        assert gradient.dtype == np.float32
        normal = np.abs(plain[name]) > 2.0**-9
        assert normal.mean() > 0.8
        if cast is precision.to_bfloat16:
            np.testing.assert_array_equal(gradient, plain[name])
        assert_close(gradient[normal], plain[name][normal], 2e-3)


@law
@each_cast
def test_scaled_value_and_grad_is_near_float32(cast):
    """Half precision is a rounding, not another network: three digits, or two."""
    masters, x, labels = a_network()
    loss = cross_entropy_of(x, labels)
    value, exact = value_and_grad(loss)(masters)
    rounded_value, gradients = precision.scaled_value_and_grad(loss, cast)(
        masters, 512.0
    )
    tolerance = 4e-3 if cast is precision.to_float16 else 3e-2
    assert abs(rounded_value - value) < tolerance
    for name in masters:
        assert_close(gradients[name], exact[name], tolerance)
        assert (gradients[name] != exact[name]).any()


@law
def test_scaled_value_and_grad_gives_operators_real_float16():
    """No simulation by name only: the arrays that the operators see are of float16."""
    seen = []

    def loss(weights):
        hidden = ops.linear(x.astype(np.float16), weights["0.weight"])
        seen.append((weights["0.weight"].dtype, hidden.dtype, hidden.value.dtype))
        return hidden.sum()

    masters, x, _ = a_network()
    _, gradients = precision.scaled_value_and_grad(loss)(
        {"0.weight": masters["0.weight"]}, 8.0
    )
    assert seen == [(np.float16,) * 3]
    assert gradients["0.weight"].dtype == np.float32


@law
def test_scaled_value_and_grad_takes_a_model_with_its_scopes():
    """A block of a transformer runs in float16 as it is, from `Weights`; integers among
    the tensors are left alone."""
    tensors = random_weights(transformer_block_shapes(8, 16))
    tensors = {f"layer.{name}": a.astype(np.float32) for name, a in tensors.items()}
    masters = Weights({**tensors, "layer.count": np.array(3)})
    x = arrays(1)(2, 5, 8).astype(np.float32)

    def loss(weights):
        assert weights["layer.count"].dtype.kind == "i"
        given = x.astype(weights["layer.mlp.fc1.weight"].dtype)
        out = transformer_block(given, weights.scope("layer"), 2)
        return (precision.to_float32(out) * x).sum()

    _, exact = value_and_grad(loss)(masters)
    _, gradients = precision.scaled_value_and_grad(loss)(masters, 4.0)
    assert gradients.keys() == tensors.keys()
    for name in tensors:
        if name != "layer.self_attn.k_proj.bias":  # whose gradient is zero
            assert_close(gradients[name], exact[name], 0.02)


def train(masters, loss, scaling, cast=precision.to_float16, rate=1.0, steps=60):
    """The losses of a run, its last weights, and how many steps changed nothing."""
    losses, skipped = [], 0
    for _ in range(steps):
        before = masters
        value, masters, scaling = precision.mixed_step(
            loss, masters, scaling, descent(rate), cast
        )
        losses.append(value)
        skipped += masters is before
    return losses, masters, skipped


@law
def test_mixed_step_bites_without_a_scale():
    """With a loss of some 1e-7, float16 gradients are zero and nothing is learnt; times
    2^15 they are not. bfloat16 has the range of float32 and needs no scale."""
    masters, x, labels = a_network()
    loss = cross_entropy_of(x, labels, shrink=1e-7)
    full = train(masters, loss, precision.LossScale.static(1.0), lambda x: x, 3e6)
    plain = train(masters, loss, precision.LossScale.static(1.0), rate=3e6)
    scaled = train(masters, loss, precision.LossScale.static(2.0**15), rate=3e6)
    wide = train(
        masters, loss, precision.LossScale.static(1.0), precision.to_bfloat16, 3e6
    )
    assert full[0][-1] < 0.8 * full[0][0]
    assert plain[0][-1] > 0.99 * plain[0][0] and plain[2] == 0
    assert abs(scaled[0][-1] - full[0][-1]) < 0.02 * full[0][0]
    assert abs(wide[0][-1] - full[0][-1]) < 0.02 * full[0][0]


@law
def test_mixed_step_finds_its_scale():
    """Too large a scale costs a few skipped steps; the weights stay finite, and from
    then on it learns as float32 does."""
    masters, x, labels = a_network()
    loss = cross_entropy_of(x, labels)
    dynamic = precision.LossScale(scale=2.0**24)
    losses, after, skipped = train(masters, loss, dynamic, rate=0.5, steps=80)
    exact, _, _ = train(
        masters, loss, precision.LossScale.static(1.0), lambda x: x, 0.5, 80 - skipped
    )
    assert 3 <= skipped <= 12
    assert losses[:skipped] == [losses[0]] * skipped
    assert precision.all_finite(after)
    assert abs(losses[-1] - exact[-1]) < 0.01
    stuck = train(
        masters, loss, precision.LossScale.static(2.0**24), rate=0.5, steps=10
    )
    assert stuck[2] == 10, "a static scale that is too large never makes a step"


@law
@pytest.mark.parametrize("name", CASTS)
def test_mixed_step_needs_masters_for_small_updates(name):
    """An update below half a unit in the last place rounds away, every time: after a
    thousand of them the narrow weight is where it was, and the master has moved."""
    narrow = {"float16": ops.round_to_float16, "bfloat16": ops.round_to_bfloat16}[name]
    update = 2.0**-13 if name == "float16" else 2.0**-10
    alone = master = np.ones(1, np.float32)
    for _ in range(1000):
        alone = narrow(sgd_step(alone, np.ones(1, np.float32), -update))
        master = sgd_step(master, np.ones(1, np.float32), -update)
    assert alone == 1.0
    assert_close(narrow(master).astype(np.float64), np.array([1 + 1000 * update]), 1e-2)


@oracle
@pytest.mark.parametrize("interval, start", [(1, 2.0**16), (3, 1024.0), (2, 2.0**126)])
def test_loss_scale_equals_torch(compare, interval, start):
    """The same scales, and the same skipped steps, as PyTorch's GradScaler on the same
    pattern of overflows."""
    bad = np.random.RandomState(interval).random_sample(40) < 0.25

    def ask(torch):
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=1.0)
        scaler = torch.amp.GradScaler("cpu", init_scale=start, growth_interval=interval)
        scaler.scale(torch.zeros(1))  # which makes its state
        scales, moved = [], []
        for overflow in bad:
            before = float(weight)
            scale = scaler.get_scale()
            weight.grad = torch.tensor([float("inf") if overflow else scale])
            scaler.step(optimizer)
            scaler.update()
            scales.append(scaler.get_scale())
            moved.append(float(weight) != before)
        return {"scales": np.array(scales), "moved": np.array(moved)}

    answer = compare.answers(ask, (bad, interval, start))
    scaling, scales = precision.LossScale(scale=start, interval=interval), []
    for overflow in bad:
        finite = precision.all_finite({"w": np.array([np.inf if overflow else 1.0])})
        scaling = scaling.after(finite)
        scales.append(scaling.scale)
    np.testing.assert_array_equal(scales, answer["scales"])
    np.testing.assert_array_equal(~bad, answer["moved"])


@oracle
def test_scaled_value_and_grad_equals_torch(compare):
    """A linear map and ReLU in float16, the loss in float32, times 2^12, back to
    float32 masters: PyTorch's gradients, within the roundings of float16 sums."""
    masters, x, labels = a_network()

    def ask(torch):
        leaves = {n: torch.tensor(a, requires_grad=True) for n, a in masters.items()}
        half = {name: leaf.half() for name, leaf in leaves.items()}
        linear = torch.nn.functional.linear
        hidden = linear(torch.tensor(x).half(), half["0.weight"], half["0.bias"])
        logits = linear(hidden.relu(), half["1.weight"]).float()
        value = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        (value * 2.0**12).backward()
        return {
            "value": np.array(value.item()),
            **{n: leaf.grad.numpy() / 2.0**12 for n, leaf in leaves.items()},
        }

    answer = compare.answers(ask, (masters, x, labels), tolerance=5e-3)

    def loss(weights):
        hidden = ops.linear(
            x.astype(np.float16), weights["0.weight"], weights["0.bias"]
        )
        logits = ops.linear(ops.relu(hidden), weights["1.weight"])
        return ops.cross_entropy(precision.to_float32(logits), labels)

    value, gradients = precision.scaled_value_and_grad(loss)(masters, 2.0**12)
    assert abs(value - answer["value"]) < 1e-3
    for name, gradient in gradients.items():
        assert_close(gradient, answer[name], 5e-3)


@derivative
def test_scaled_value_and_grad_against_differences():
    """With a cast that does nothing, the gradient is that of the loss, at any scale."""
    masters, x, labels = a_network()
    masters = {name: array.astype(np.float64) for name, array in masters.items()}
    loss = cross_entropy_of(x.astype(np.float64), labels)
    _, gradients = precision.scaled_value_and_grad(loss, lambda x: x)(masters, 3.0)
    for name, array in masters.items():
        nudge = np.zeros_like(array)
        nudge.flat[1] = 1e-6
        ahead, behind = ({**masters, name: array + s * nudge} for s in (1, -1))
        slope = (loss(ahead) - loss(behind)) / 2e-6
        assert abs(gradients[name].flat[1] - slope) < 1e-7


@contract
@pytest.mark.parametrize(
    "options",
    [
        {"scale": 0.0},
        {"scale": np.inf},
        {"scale": np.nan},
        {"growth": 0.5},
        {"backoff": 2.0},
        {"backoff": 0.0},
        {"interval": 0},
    ],
)
def test_loss_scale_refuses_what_cannot_work(options):
    """A scale of 0, a growth that shrinks: the message names the numbers."""
    with pytest.raises(ValueError, match="LossScale"):
        precision.LossScale(**options)


@contract
def test_scaled_value_and_grad_is_quiet_about_overflow():
    """Overflow is an everyday event here: no warning, and `all_finite` tells."""
    masters, x, labels = a_network()
    evaluate = precision.scaled_value_and_grad(cross_entropy_of(x, labels))
    with np.errstate(all="raise"):
        _, gradients = evaluate(masters, 2.0**30)
    assert not precision.all_finite(gradients)
