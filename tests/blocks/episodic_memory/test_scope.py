"""The spec of refvlm/blocks/episodic_memory/scope.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm.blocks.episodic_memory.scope import (
    scope,
    scope_logits,
    scope_shapes,
)
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    contract,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)
from ...weights import random_weights

TENSORS = random_weights(scope_shapes(6, 9), seed=1)
CONTEXT = random_arrays(2)(5, 6, scale=2.0)


@example
def test_scope_of_full_size_counts_its_parameters():
    """896 to 256 to 256 to one."""
    sizes = [int(np.prod(shape)) for shape in scope_shapes(896, 256).values()]
    assert sum(sizes) == 295_681


@law
@given(tensors((3, 6)))
def test_scope_is_a_probability(context):
    """Between 0 and 1, one for each row."""
    likely = scope(context, Weights(TENSORS))
    assert likely.shape == (3, 1)
    assert ((likely >= 0) & (likely <= 1)).all()


@law
def test_scope_drops_only_while_it_learns():
    """With a generator a tenth of the hidden numbers go; without, none ever."""
    weights = Weights(TENSORS)
    first, second = (
        scope_logits(CONTEXT, weights, Training(np.random.default_rng(seed)))
        for seed in (0, 1)
    )
    assert (first != second).any()
    np.testing.assert_array_equal(
        scope_logits(CONTEXT, weights), scope_logits(CONTEXT, weights)
    )
    counting = {  # the logit is the sum of nine ones that pass two layers
        "mlp.0.weight": np.zeros((9, 6)),
        "mlp.0.bias": np.ones(9),
        "mlp.3.weight": np.eye(9),
        "mlp.3.bias": np.zeros(9),
        "mlp.6.weight": np.ones((1, 9)),
        "mlp.6.bias": np.zeros(1),
    }
    learning = Training(np.random.default_rng(2))
    sums = scope_logits(np.zeros((20_000, 6)), Weights(counting), learning)
    assert abs(sums.mean() - 9) < 0.05
    assert abs(sums.var() / 9 - (1 / 0.9**2 - 1)) < 0.02


@law
def test_scope_keeps_float32():
    """float32 in, float32 out."""
    single = {name: a.astype(np.float32) for name, a in TENSORS.items()}
    context = CONTEXT.astype(np.float32)
    likely = scope(context, Weights(single))
    assert_close(likely, scope(CONTEXT, Weights(TENSORS)).astype(np.float32), 1e-5)


@oracle
def test_scope_equals_torch(compare):
    """nn.Sequential as published, in its evaluation mode, and its gradients."""

    def ours(context, *arrays):
        return scope(context, Weights(dict(zip(TENSORS, arrays))))

    def reference(torch):
        def published(context, *arrays):
            nn = torch.nn
            layers = nn.Linear(6, 9), nn.ReLU(), nn.Dropout(0.1)
            layers += nn.Linear(9, 9), nn.ReLU(), nn.Dropout(0.1), nn.Linear(9, 1)
            net = nn.Sequential(*layers, nn.Sigmoid()).to(context.dtype).eval()
            own = {name.removeprefix("mlp."): a for name, a in zip(TENSORS, arrays)}
            return torch.func.functional_call(net, own, (context,))

        return published

    compare(ours, reference, CONTEXT, *TENSORS.values())


@contract
def test_scope_refuses_a_context_of_another_width():
    """What the question comes to is as wide as the decoder."""
    with pytest.raises(ShapeError):
        scope(CONTEXT[:, :4], Weights(TENSORS))
