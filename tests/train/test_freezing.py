"""The spec of refvlm/train/freezing.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import differentiable, value_and_grad
from refvlm.models import fastvlm
from refvlm.train import freezing
from refvlm.train.optimizers import AdamW

from .. import tiny
from ..spec import contract, example, law, oracle, random_arrays

NAMES = (
    "model.vision_tower.stem.weight",
    "model.vision_tower.stem.running_mean",
    "model.multi_modal_projector.linear_1.weight",
    "model.multi_modal_projector.linear_1.bias",
    "model.language_model.layers.2.mlp.weight",
    "model.language_model.layers.22.mlp.weight",
    "model.language_model.layers.23.mlp.weight",
)


@example
def test_trainable_of_a_projector():
    """Two of the seven tensors match the pattern."""
    chosen = freezing.trainable(NAMES, ["*projector*"])
    assert chosen == NAMES[2:4]


@example
def test_last_layers_of_twenty_four():
    """The last 4 of 24 are 20, 21, 22 and 23; layer 2 is none of them."""
    patterns = freezing.last_layers(24, 4, "layers")
    assert patterns == ("layers.20.*", "layers.21.*", "layers.22.*", "layers.23.*")
    assert freezing.trainable(NAMES, freezing.last_layers(24, 2)) == NAMES[5:]


@law
def test_trainable_takes_what_is_included_and_not_excluded():
    """Every parameter is chosen by a pattern or by its opposite, and by one of them;
    the statistics of batch normalisation by neither."""
    inside = freezing.trainable(NAMES, ["*.weight"])
    outside = freezing.trainable(NAMES, exclude=["*.weight"])
    assert not set(inside) & set(outside)
    assert set(NAMES) - {*inside, *outside} == {"model.vision_tower.stem.running_mean"}


def a_model():
    """Three maps, as a tower, a projector and a decoder would be."""
    draw = random_arrays(1)
    return {
        "tower.weight": draw(6, 5),
        "projector.weight": draw(4, 6),
        "decoder.layers.0.weight": draw(4, 4),
        "decoder.layers.1.weight": draw(3, 4),
    }


def forward(weights, x, apply=ops.linear):
    for name in ("tower", "projector", "decoder.layers.0", "decoder.layers.1"):
        x = ops.tanh(apply(x, weights[f"{name}.weight"]))
    return x


def learn(chosen, steps=3):
    """The model after a few steps of AdamW on the chosen names."""
    draw = random_arrays(2)
    x, y, weights = draw(8, 5), draw(8, 3), a_model()
    optimizer = AdamW(weight_decay=0.1)
    learnt = {name: weights[name] for name in chosen}
    state = optimizer.init(learnt)
    for _ in range(steps):
        step = value_and_grad(
            lambda weights: ((forward(weights, x) - y) ** 2).mean(), trainable=chosen
        )
        _, gradients = step(weights)
        learnt, state = optimizer.step(learnt, gradients, state, 0.1)
        weights = {**weights, **learnt}
    return weights


@law
@pytest.mark.parametrize(
    "patterns",
    [["projector.*"], freezing.last_layers(2, 1, "decoder.layers"), ["*"]],
    ids=["projector", "last layer", "all"],
)
def test_trainable_is_all_that_changes(patterns):
    """What is frozen keeps every bit, weight decay or not; all else moves."""
    before = a_model()
    chosen = freezing.trainable(before, patterns)
    after = learn(chosen)
    changed = {n for n in before if not np.array_equal(before[n], after[n])}
    assert changed == set(chosen)


@law
def test_trainable_decides_what_the_way_back_costs():
    """Below the lowest layer that learns, no derivative is computed at all."""
    calls = []

    @differentiable
    def counted(x, weight):
        return x @ weight.T

    @counted.vjp
    def counted_vjp(d_out, x, weight, needs):
        calls.append(needs)
        d_x = d_out @ weight if "x" in needs else None
        return d_x, d_out.T @ x if "weight" in needs else None

    x, weights = random_arrays(3)(8, 5), a_model()
    for patterns, expected in (
        (["decoder.layers.1.*"], [("weight",)]),
        (["projector.*"], [("x",), ("x",), ("weight",)]),
        (["tower.*"], [("x",)] * 3 + [("weight",)]),
        (["*"], [("x", "weight")] * 3 + [("weight",)]),
    ):
        calls.clear()
        chosen = freezing.trainable(weights, patterns)
        value_and_grad(lambda w: forward(w, x, counted).sum(), trainable=chosen)(
            weights
        )
        assert calls == expected


@law
def test_plans_choose_what_their_papers_say():
    """LLaVA's tower never learns, FastVLM's learns in its second stage."""
    for family, tower_learns in (("llava", 0), ("llava-1.5", 0), ("fastvlm", 1)):
        first, second = freezing.PLANS[family]
        assert first.trainable(NAMES) == NAMES[2:4]
        assert set(NAMES[2:]) <= set(second.trainable(NAMES))
        assert (NAMES[0] in second.trainable(NAMES)) == bool(tower_learns)


@law
def test_plans_of_microvlm_wake_the_memory_and_four_layers():
    """First the adapter alone; then also the memory and layers 20 to 23."""
    layers = [f"language_model.layers.{n}.mlp.weight" for n in range(24)]
    ours = ["adapter.pool.weight", "image_projection.weight"]
    names = ["vision.stem.weight", *ours, "memory.mean", *layers]
    first, second = freezing.PLANS["microvlm"]
    assert list(first.trainable(names)) == ours
    assert list(second.trainable(names)) == [*ours, "memory.mean", *layers[20:]]
    assert second.losses == {
        "language": 1.0, "alignment": 1.0, "memory": 0.02, "addressing": 0.005
    }  # fmt: skip


@law
def test_plans_of_fastvlm_fit_its_tensors():
    """The patterns are written for the published names."""
    config = fastvlm.FastVLMConfig.from_json(tiny.CONFIG)
    names = list(fastvlm.expected_shapes(config, tied=True))
    first, second = freezing.PLANS["fastvlm"]
    assert len(first.trainable(names)) == 4
    statistics = [name for name in names if "running_" in name]
    assert statistics and not set(statistics) & set(second.trainable(names))
    assert len(second.trainable(names)) + len(statistics) == len(names)


@oracle
@pytest.mark.parametrize("pattern", ["projector.*", "decoder.layers.1.*", "*"])
def test_trainable_equals_requires_grad(compare, pattern):
    """torch with requires_grad set by the same names changes the same arrays."""
    before = a_model()

    def ask(torch):
        parameters = {n: torch.tensor(a) for n, a in before.items()}
        chosen = freezing.trainable(parameters, [pattern])
        for name in chosen:
            parameters[name].requires_grad_(True)
        optimizer = torch.optim.AdamW(
            [p for p in parameters.values() if p.requires_grad], 0.1, weight_decay=0.1
        )
        draw = random_arrays(2)
        x, y = torch.tensor(draw(8, 5)), torch.tensor(draw(8, 3))
        for _ in range(3):
            optimizer.zero_grad()
            out = x
            for parameter in parameters.values():
                out = torch.tanh(out @ parameter.T)
            ((out - y) ** 2).mean().backward()
            optimizer.step()
        return {name: p.detach().numpy() for name, p in parameters.items()}

    answers = compare.answers(ask, (before, pattern))
    after = learn(freezing.trainable(before, [pattern]))
    for name, answer in answers.items():
        np.testing.assert_allclose(after[name], answer, rtol=1e-12, atol=1e-12)


@contract
def test_trainable_refuses_a_pattern_that_matches_nothing():
    """A misspelt name would freeze the projector, and nobody would notice."""
    with pytest.raises(ValueError, match=r"no parameter is named like 'projecter\.\*'"):
        freezing.trainable(NAMES, ["projecter.*"])
    with pytest.raises(ValueError, match="no parameter is named like 'head'"):
        freezing.trainable(NAMES, exclude=["head"])
    with pytest.raises(TypeError, match=r"patterns come in a list: \['\*'\]"):
        freezing.trainable(NAMES, "*")


@contract
@pytest.mark.parametrize("count", [-1, 25])
def test_last_layers_refuses_more_than_there_are(count):
    """There are no last 25 of 24 layers."""
    with pytest.raises(ValueError, match=f"no last {count} of 24 layers"):
        freezing.last_layers(24, count)
