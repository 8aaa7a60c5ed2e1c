"""The spec of refvlm/train/optimizers.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from refvlm.train import optimizers

from ..spec import (
    assert_close,
    cast,
    contract,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

STEPS = 60


@example
def test_sgd_step_goes_downhill():
    """At 1, with a slope of 10 and a rate of 0.1, the step is 1 to the left."""
    out = optimizers.sgd_step(np.array([1.0]), np.array([10.0]), 0.1)
    np.testing.assert_allclose(out, [0.0])


@example
def test_momentum_step_of_two_equal_gradients():
    """A slope of 1, twice, with beta 1/2: the mean is 1/2, then 3/4; the sum 1, 3/2."""
    place, slope = np.array([0.0]), np.array([1.0])
    for form, first, second in (("ema", 0.5, 0.75), ("torch", 1.0, 1.5)):
        a, velocity = optimizers.momentum_step(place, slope, None, 1.0, 0.5, form)
        b, velocity = optimizers.momentum_step(a, slope, velocity, 1.0, 0.5, form)
        np.testing.assert_allclose([a[0], b[0]], [-first, -first - second])


@example
def test_adam_step_first_moves_each_number_by_the_rate():
    """Corrected, the first moments are g and g^2: the step is the sign of g."""
    slopes, zero = np.array([1e3, -1e-3, 0.0]), np.zeros(3)
    out, _, _ = optimizers.adam_step(zero, slopes, zero, zero, 1, 0.1)
    np.testing.assert_allclose(out, [-0.1, 0.1, 0.0], rtol=2e-5)


@example
def test_adamw_step_shrinks_a_weight_without_a_gradient():
    """Nothing but the decay: 2 loses 0.1 x 0.5 of itself."""
    zero = np.zeros(1)
    out, _, _ = optimizers.adamw_step(
        np.array([2.0]), zero, zero, zero, 1, 0.1, weight_decay=0.5
    )
    np.testing.assert_allclose(out, [1.9])


@law
@given(st.lists(tensors((3,)), min_size=1, max_size=6), st.floats(0.1, 0.99))
def test_momentum_step_forms_differ_by_a_factor(slopes, beta):
    """A mean of gradients is 1 - beta times their decaying sum, from the first on:
    the form "ema" at a rate is the form "torch" at 1 - beta times that rate."""
    mean = total = np.ones(3)
    m = v = None
    for slope in slopes:
        mean, m = optimizers.momentum_step(mean, slope, m, 0.1, beta)
        slower = 0.1 * (1 - beta)
        total, v = optimizers.momentum_step(total, slope, v, slower, beta, "torch")
    np.testing.assert_allclose(mean, total, rtol=1e-9, atol=1e-9)


@law
def test_momentum_step_first_buffer_is_where_dampening_is_no_mean():
    """With dampening = beta, "torch" would be "ema", were its first gradient damped."""
    slope, place = np.array([1.0]), np.zeros(1)
    _, m = optimizers.momentum_step(place, slope, None, 1.0, 0.9)
    _, v = optimizers.momentum_step(place, slope, None, 1.0, 0.9, "torch", 0.9)
    np.testing.assert_allclose([m[0], v[0]], [0.1, 1.0])


@law
@given(tensors((4,)).filter(lambda g: np.abs(g).min() > 1e-2), st.floats(0.1, 10))
def test_adam_step_forgets_the_scale_of_the_loss(slopes, factor):
    """A loss in other units gives the same path, but for eps."""
    zero = np.zeros(4)
    first = optimizers.adam_step(zero, slopes, zero, zero, 1, 0.1)[0]
    again = optimizers.adam_step(zero, factor * slopes, zero, zero, 1, 0.1)[0]
    np.testing.assert_allclose(first, again, rtol=1e-4)


@law
@given(tensors((4,)), st.integers(2, 20))
def test_adam_step_corrects_the_bias_of_its_start(slopes, steps):
    """Of equal gradients, the corrected moments are exactly g and g^2, at any step."""
    place = first = second = np.zeros(4)
    for step in range(1, steps + 1):
        place, first, second = optimizers.adam_step(
            place, slopes, first, second, step, 0.1
        )
    np.testing.assert_allclose(first / (1 - 0.9**steps), slopes, atol=1e-9)
    np.testing.assert_allclose(second / (1 - 0.999**steps), slopes**2, atol=1e-9)
    assert np.all(np.abs(place) <= 0.1 * steps * (1 + 1e-9))


@law
def test_adamw_step_decays_alike_where_adam_does_not():
    """Two weights of 1 with gradients +-1 and +-100, decay 0.1: decoupled, both shrink
    alike; as L2, the decay of the second is drowned by its gradient's size."""
    shrunk = {}
    for name in ("adam_step", "adamw_step"):
        weight, first, second = np.ones(2), np.zeros(2), np.zeros(2)
        for step in range(1, 201):
            slope = np.array([1.0, 100.0]) * (-1.0) ** step
            weight, first, second = getattr(optimizers, name)(
                weight, slope, first, second, step, 0.01, weight_decay=0.1
            )
        shrunk[name] = 1 - weight
    decoupled, l2 = shrunk["adamw_step"], shrunk["adam_step"]
    assert abs(decoupled[0] - decoupled[1]) < 1e-6 * decoupled[0]
    assert l2[0] > 3 * l2[1]


@law
def test_adamw_step_without_decay_is_adam():
    """The two differ in the decay alone."""
    draw = random_arrays(1)
    arguments = draw(5), draw(5), draw(5), draw(5) ** 2, 3, 0.1
    for a, b in zip(
        optimizers.adam_step(*arguments),
        optimizers.adamw_step(*arguments, weight_decay=0.0),
    ):
        np.testing.assert_array_equal(a, b)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_keep_the_dtype_and_their_inputs(dtype):
    """float32 in, float32 out, also of the moments; nothing given is written to."""
    draw = random_arrays(2)
    place, slope, first, second = (draw(4).astype(dtype) for _ in range(4))
    second = second**2
    before = [array.copy() for array in (place, slope, first, second)]
    results = [optimizers.sgd_step(place, slope, 0.1, 0.1)]
    results += optimizers.momentum_step(place, slope, first, 0.1, weight_decay=0.1)
    results += optimizers.momentum_step(
        place, slope, None, 0.1, form="torch", nesterov=True
    )
    results += optimizers.adam_step(place, slope, first, second, 2, 0.1)
    results += optimizers.adamw_step(place, slope, first, second, 2, 0.1)
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    for array, copy in zip((place, slope, first, second), before):
        np.testing.assert_array_equal(array, copy)
    assert all(result is not slope for result in results)


def a_model(dtype=np.float64):
    draw = random_arrays(3)
    shapes = {"tower.weight": (40, 50), "tower.bias": (40,), "lm.weight": (3, 4, 5)}
    return {name: draw(*shape).astype(dtype) for name, shape in shapes.items()}


def slopes_of(model, step):
    draw = random_arrays(step)
    return {name: draw(*a.shape).astype(a.dtype) for name, a in model.items()}


GROUPED = optimizers.AdamW(
    betas=(0.8, 0.95),
    eps=1e-6,
    weight_decay=optimizers.matrices_only(0.1),
    scale=lambda name: 0.5 if name.startswith("lm.") else 1.0,
)


@law
@pytest.mark.parametrize("chunk", [7, 32768])
def test_adamw_of_a_model_is_adamw_step_of_each_parameter(monkeypatch, chunk):
    """One vector or many arrays, in pieces of any length: the same numbers."""
    monkeypatch.setattr("refvlm.train.flat.CHUNK", chunk)
    model, state = a_model(), GROUPED.init(a_model())
    alone = {n: (a, np.zeros(a.shape), np.zeros(a.shape)) for n, a in model.items()}
    for step in range(1, 6):
        slopes = slopes_of(model, step)
        model, state = GROUPED.step(model, slopes, state, 0.1)
        alone = {
            name: optimizers.adamw_step(
                weight,
                slopes[name],
                first,
                second,
                step,
                0.05 if name == "lm.weight" else 0.1,
                (0.8, 0.95),
                1e-6,
                0.0 if name == "tower.bias" else 0.1,
            )
            for name, (weight, first, second) in alone.items()
        }
    assert list(model) != [] and model.keys() == alone.keys()
    for name, (weight, _, _) in alone.items():
        np.testing.assert_array_equal(model[name], weight)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adamw_resumed_from_a_file_goes_on_bit_for_bit(tmp_path, dtype):
    """Ten steps, or five, a file, names in another order, and five: the same bits."""
    model, state = a_model(dtype), GROUPED.init(a_model(dtype))
    for step in range(10):
        if step == 5:
            save_file({**model, **state}, tmp_path / "half.safetensors")
        model, state = GROUPED.step(model, slopes_of(model, step), state, 0.01)
    stored = load_file(tmp_path / "half.safetensors")
    again = {name: stored.pop(name) for name in reversed(model)}
    for step in range(5, 10):
        again, stored = GROUPED.step(again, slopes_of(model, step), stored, 0.01)
    assert state["step"] == stored["step"] == 10
    for name, weight in model.items():
        assert weight.dtype == dtype
        np.testing.assert_array_equal(weight, again[name])


@law
def test_adamw_writes_to_nothing_that_it_was_given():
    """Weights, gradients and state of the step before are as they were."""
    model, state = a_model(), GROUPED.init(a_model())
    slopes = slopes_of(model, 1)
    given = [*model.values(), *slopes.values(), *state.values()]
    before = [array.copy() for array in given]
    new, _ = GROUPED.step(model, slopes, state, 0.1)
    for array, copy in zip(given, before):
        np.testing.assert_array_equal(array, copy)
    assert not any(np.shares_memory(new[n], model[n]) for n in model)


def torch_path(torch, optimizer, start, slopes, dtype):
    """Every tenth place on the way of a torch optimiser, given the slopes."""
    place = torch.tensor(start, dtype=dtype, requires_grad=True)
    optimizer = optimizer([place])
    places = []
    for step, slope in enumerate(slopes, 1):
        place.grad = torch.tensor(slope, dtype=dtype)
        optimizer.step()
        if step % 10 == 0:
            places.append(place.detach().numpy().copy())
    return np.stack(places)


def our_path(rule, start, slopes):
    """The same for a rule: (place, slope, memory, step) -> (place, memory)."""
    place, memory, places = start, None, []
    for step, slope in enumerate(slopes, 1):
        place, memory = rule(place, slope, memory, step)
        if step % 10 == 0:
            places.append(place)
    return np.stack(places)


def check_against_torch(compare, optimizer, rule):
    draw = random_arrays(4)
    start, slopes = draw(3, 5), draw(STEPS, 3, 5)
    slopes *= 10.0 ** np.arange(-2, 3)  # columns of very different size

    def ask(torch):
        made = lambda places: optimizer(torch.optim, places)  # noqa: E731
        return {
            "double": torch_path(torch, made, start, slopes, torch.float64),
            "single": torch_path(torch, made, start, slopes, torch.float32),
        }

    answers = compare.answers(ask, (start, slopes, STEPS))
    assert_close(our_path(rule, start, slopes), answers["double"])
    single = our_path(rule, *(cast(x, np.float32) for x in (start, slopes)))
    assert_close(single, answers["single"])


@oracle
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_step_equals_torch(compare, decay):
    """60 random gradients through torch.optim.SGD, with and without weight decay."""

    def rule(place, slope, memory, step):
        return optimizers.sgd_step(place, slope, 0.01, decay), None

    def torchs(optim, places):
        return optim.SGD(places, 0.01, weight_decay=decay)

    check_against_torch(compare, torchs, rule)


@oracle
@pytest.mark.parametrize("dampening", [0.0, 0.3])
@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_step_equals_torch(compare, dampening, nesterov):
    """60 random gradients through torch.optim.SGD with momentum; the form "ema" is
    torch's at a smaller rate."""
    dampening = 0.0 if nesterov else dampening
    options = {"dampening": dampening, "nesterov": nesterov, "weight_decay": 0.1}

    def rule(place, slope, memory, step):
        return optimizers.momentum_step(
            place, slope, memory, 0.01, 0.8, "torch", **options
        )

    def ema(place, slope, memory, step):
        return optimizers.momentum_step(
            place, slope, memory, 0.05, 0.8, weight_decay=0.1
        )

    def torchs(optim, places):
        return optim.SGD(places, 0.01, momentum=0.8, **options)

    check_against_torch(compare, torchs, rule)
    if not dampening and not nesterov:
        check_against_torch(compare, torchs, ema)


@oracle
@pytest.mark.parametrize("name", ["adam_step", "adamw_step"], ids=["Adam", "AdamW"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas, eps", [((0.9, 0.999), 1e-8), ((0.5, 0.9), 1e-2)])
def test_adam_steps_equal_torch(compare, name, decay, betas, eps):
    """60 random gradients through torch.optim.Adam and AdamW, with every option."""
    function = getattr(optimizers, name)

    def rule(place, slope, memory, step):
        first, second = memory or (np.zeros_like(place), np.zeros_like(place))
        place, *memory = function(
            place, slope, first, second, step, 0.01, betas, eps, decay
        )
        return place, memory

    def torchs(optim, places):
        optimizer = {"adam_step": optim.Adam, "adamw_step": optim.AdamW}[name]
        return optimizer(places, 0.01, betas=betas, eps=eps, weight_decay=decay)

    check_against_torch(compare, torchs, rule)


@oracle
def test_adamw_of_a_model_equals_torch_with_parameter_groups(compare):
    """Rates and decays by name are torch's parameter groups."""
    model = a_model()

    def ask(torch):
        places = {n: torch.tensor(a, requires_grad=True) for n, a in model.items()}
        groups = [
            {"params": [places["tower.weight"]], "lr": 0.1, "weight_decay": 0.1},
            {"params": [places["tower.bias"]], "lr": 0.1, "weight_decay": 0.0},
            {"params": [places["lm.weight"]], "lr": 0.05, "weight_decay": 0.1},
        ]
        optimizer = torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-6)
        for step in range(20):
            for name, slope in slopes_of(model, step).items():
                places[name].grad = torch.from_numpy(slope)
            optimizer.step()
        return {n: place.detach().numpy()[:3] for n, place in places.items()}

    answers = compare.answers(ask, model)
    state, ours = GROUPED.init(model), model
    for step in range(20):
        ours, state = GROUPED.step(ours, slopes_of(model, step), state, 0.1)
    for name, answer in answers.items():
        assert_close(ours[name][:3], answer)


@contract
def test_momentum_step_refuses_what_has_no_meaning():
    """An unknown form, and Nesterov's step with dampening or without torch's form."""
    place = np.zeros(2)
    for options, message in (
        ({"form": "heavy"}, 'form is \'heavy\', not "ema" or "torch"'),
        ({"nesterov": True}, 'need form="torch"'),
        ({"form": "torch", "nesterov": True, "dampening": 0.1}, "no dampening"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizers.momentum_step(place, place, None, 0.1, **options)


@contract
def test_adam_step_refuses_a_step_before_the_first():
    """At step 0 the bias correction would divide by zero."""
    zero = np.zeros(2)
    with pytest.raises(ValueError, match="the first step has number 1"):
        optimizers.adam_step(zero, zero, zero, zero, 0, 0.1)


@contract
def test_adamw_refuses_the_state_of_other_parameters():
    """Names, shapes and groups make a layout, and the state knows which it is of."""
    model = a_model()
    state = optimizers.AdamW().init(model)
    less = {name: model[name] for name in list(model)[:2]}
    with pytest.raises(ValueError, match=r"begin with init\(parameters\)"):
        optimizers.AdamW().step(less, less, state, 0.1)
    with pytest.raises(ValueError, match=r"begin with init\(parameters\)"):
        GROUPED.step(model, model, state, 0.1)


@contract
def test_adamw_refuses_gradients_that_do_not_fit():
    """One is missing, one has another shape, and one model is of two dtypes."""
    optimizer, model = optimizers.AdamW(), a_model()
    state = optimizer.init(model)
    with pytest.raises(ValueError, match="see lm.weight"):
        less = {n: a for n, a in model.items() if n != "lm.weight"}
        optimizer.step(model, less, state, 0.1)
    with pytest.raises(ValueError, match=r"\(40,\), but its gradient is \(1,\)"):
        optimizer.step(model, {**model, "tower.bias": np.ones(1)}, state, 0.1)
    with pytest.raises(ValueError, match="here is float32, float64"):
        optimizer.init({**model, "x": np.ones(1, np.float32)})


@law
@pytest.mark.parametrize("rate", [0.1, np.float32(0.1), np.float64(0.1)])
def test_steps_leave_float32_what_it_is(rate):
    """Whatever kind of number the rate is."""
    one = np.ones(3, np.float32)
    assert optimizers.sgd_step(one, one, rate).dtype == np.float32
    assert optimizers.momentum_step(one, one, None, rate)[0].dtype == np.float32
    for step in (optimizers.adam_step, optimizers.adamw_step):
        assert all(a.dtype == np.float32 for a in step(one, one, one, one, 1, rate))
