"""timm's blocks as oracles: outputs, gradients, running statistics and folded weights.

A block is asked at rest (eval mode) and while learning (train mode), with every
parameter and every running statistic random. Its gradients are recorded by their
products with fixed random directions, which keeps the records small and still
notices any wrong entry.
"""

import copy

import numpy as np

from refvlm.autodiff import Variable, backward
from refvlm.blocks.training_mode import Training, is_statistic
from refvlm.checkpoint import Weights

from .oracles import import_torchvision
from .spec import assert_close, random_arrays
from .weights import random_weights

TOLERANCE = 1e-9  # a tower adds up many roundings; a wrong term is off by far more
DIRECTIONS = 3


def compare_block(compare, build, ours, shapes, x, fold=None):
    """Hold a block against the timm module that `build(timm.models.fastvit)` makes.

    `ours(x, weights, training)` is the block, `shapes` its tensors, and
    `fold(weights)` gives its folded weight and bias, where it folds.
    """
    tensors = random_weights(shapes)
    answers = compare.answers(
        lambda torch: _ask(torch, build, tensors, x, fold is not None),
        (tensors, x),
        TOLERANCE,
    )
    assert answers["eval"].std() > 0.05, "an oracle that says nothing proves nothing"
    assert_close(ours(x, Weights(tensors), None), answers["eval"], TOLERANCE)
    single = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    assert_close(
        ours(x.astype(np.float32), Weights(single), None),
        answers["eval"].astype(np.float32),
        1e-4,
    )
    _compare_learning(ours, tensors, x, answers)
    if fold is not None:
        weight, bias = fold(Weights(tensors))
        assert_close(weight, answers["folded.weight"], TOLERANCE)
        assert_close(bias, answers["folded.bias"], TOLERANCE)


def _compare_learning(ours, tensors, x, answers):
    """Output, gradients and new statistics in train mode."""
    learnt = {n: Variable(v) for n, v in tensors.items() if not is_statistic(n)}
    pixels, training = Variable(x), Training()
    out = ours(pixels, Weights(tensors | learnt), training)
    assert_close(out.value, answers["train"], TOLERANCE)
    found = backward(out, cotangent(out.shape))
    leaves = learnt | {"x": pixels}
    gradients = {name: found[leaf] for name, leaf in leaves.items()}
    assert_seen_alike(see_through(gradients), answers["gradients"])
    collected = {n: training.statistics[n] for n in tensors if is_statistic(n)}
    assert_close(flat(collected), answers["statistics"], TOLERANCE)


def _ask(torch, build, tensors, x, folds):
    module = timm_module(torch, build, tensors)
    pixels = torch.from_numpy(x)
    with torch.no_grad():
        answers = {"eval": module.eval()(pixels).numpy().copy()}
    if folds:
        folded = copy.deepcopy(module)
        folded.reparameterize()
        answers["folded.weight"] = folded.reparam_conv.weight.detach().numpy().copy()
        answers["folded.bias"] = folded.reparam_conv.bias.detach().numpy().copy()
    return answers | learning_answers(torch, module, tensors, x)


def learning_answers(torch, module, tensors, x, forward=None):
    """What a module answers in train mode: output, gradients, new statistics."""
    pixels = torch.from_numpy(x.copy()).requires_grad_()
    out = (forward or module)(pixels) if module.train() else None
    out.backward(torch.from_numpy(cotangent(out.shape)))
    gradients = {n: p.grad.numpy() for n, p in module.named_parameters()}
    buffers = dict(module.named_buffers())
    return {
        "train": out.detach().numpy().copy(),
        "gradients": see_through(gradients | {"x": pixels.grad.numpy()}),
        "statistics": flat({n: buffers[n].numpy() for n in tensors if is_statistic(n)}),
    }


def timm_module(torch, build, tensors):
    """The module with these tensors in double precision; every name has to fit."""
    import_torchvision()
    from timm.layers import set_fused_attn
    from timm.models import fastvit

    set_fused_attn(False)  # scores, softmax and average one by one: exact
    module = build(fastvit).double()
    state = module.state_dict()
    names = {name for name in state if not name.endswith("num_batches_tracked")}
    assert names == set(tensors), sorted(names ^ set(tensors))
    state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items()}
    module.load_state_dict(state, strict=False)
    return module


def cotangent(shape):
    return random_arrays(99)(*shape)


def see_through(gradients):
    """(tensors, 1 + DIRECTIONS): each gradient's norm and its products with random
    unit directions, in the order of the names."""
    draw = random_arrays(5)
    seen = []
    for name in sorted(gradients):
        gradient = gradients[name].reshape(-1)
        directions = draw(DIRECTIONS, gradient.size)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        seen.append([np.linalg.norm(gradient), *(directions @ gradient)])
    return np.array(seen)


def assert_seen_alike(actual, expected, tolerance=TOLERANCE):
    """Each gradient is off by no more than `tolerance` of its own norm.

    A gradient that is zero in truth (of a bias before a batch norm) is held against
    the largest one.
    """
    assert actual.shape == expected.shape
    size = np.maximum(expected[:, :1], 1e-3 * expected[:, 0].max())
    worst = (np.abs(actual - expected) / size).max(axis=1)
    assert worst.max() <= tolerance, f"gradient {worst.argmax()} is off: {worst.max()}"


def flat(arrays):
    return np.concatenate([np.zeros(0), *(arrays[name] for name in sorted(arrays))])
