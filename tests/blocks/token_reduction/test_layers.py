"""The spec of refvlm/blocks/token_reduction/layers.py."""

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.blocks.token_reduction import layers
from refvlm.blocks.transformer import transformer_block, transformer_block_shapes
from refvlm.checkpoint import Weights

from ...spec import assert_close, check_dtype, contract, law, oracle, random_arrays
from ...weights import random_weights

WIDTH, HEADS = 8, 2
TENSORS = random_weights(transformer_block_shapes(WIDTH, 12), seed=3)
X = random_arrays(4)(2, 10, WIDTH)
SIZES = np.array([[1.0, 1, 2, 1, 3, 1, 1, 1, 2, 1], [1, 2, 1, 1, 1, 1, 4, 1, 1, 1]])
RNG = np.random.default_rng
WAYS = {
    "merge_alike": layers.merge_alike,
    "prune_unlooked": layers.prune_unlooked,
    "prune_short": layers.prune_short,
    "prune_by_chance": layers.prune_by_chance(RNG(1)),
    "cluster_alike": layers.cluster_alike(RNG(1)),
}
each_way = pytest.mark.parametrize("way", sorted(WAYS))


def block(x, keep, thin, sizes=None, **options):
    tensors = {name: cast(tensor, x.dtype) for name, tensor in TENSORS.items()}
    weights = Weights(tensors)
    return layers.thinning_block(x, sizes, weights, HEADS, keep, thin, **options)


def cast(tensor, dtype):
    return tensor if isinstance(tensor, Variable) else tensor.astype(dtype)


@law
@each_way
def test_thinning_block_that_keeps_all_is_the_transformer_block(way):
    """Nobody is asked which to drop."""
    out, sizes = block(X, 9, WAYS[way])
    assert_close(out, transformer_block(X, Weights(TENSORS), HEADS), 1e-12)
    np.testing.assert_array_equal(sizes, np.ones((2, 10)))


@law
@each_way
@pytest.mark.parametrize("keep", [1, 4, 8])
def test_thinning_block_keeps_as_many_as_it_is_told(way, keep):
    """The class token beside them; pruned tokens keep their sizes, and means add up
    those of the tokens that they stand for."""
    out, sizes = block(X, keep, WAYS[way], SIZES)
    assert out.shape == (2, 1 + keep, WIDTH) and sizes.shape == (2, 1 + keep)
    np.testing.assert_array_equal(sizes[:, 0], 1)
    if way in ("merge_alike", "cluster_alike"):
        np.testing.assert_allclose(sizes.sum(axis=1), SIZES.sum(axis=1))


@law
@each_way
def test_thinning_block_lets_the_class_token_look_first(way):
    """It has looked at all tokens before any goes: this block's class token is that of
    the whole."""
    out, _ = block(X, 3, WAYS[way])
    whole = transformer_block(X, Weights(TENSORS), HEADS)
    assert_close(out[:, 0], whole[:, 0], 1e-12)


@law
def test_proportional_attention_of_sizes_is_attention_of_copies():
    """A token of size 3 is looked at as three that are equal; unless it is switched
    off."""
    counts = SIZES[0].astype(int)
    once, repeated = X[:1], np.repeat(X[:1], counts, axis=1)
    first = np.cumsum(counts) - counts
    whole = transformer_block(repeated, Weights(TENSORS), HEADS)[:, first]
    out, _ = block(once, 9, layers.merge_alike, SIZES[:1])
    assert_close(out, whole, 1e-11)
    plain, _ = block(once, 9, layers.merge_alike, SIZES[:1], proportional=False)
    assert np.abs(plain - whole).max() > 1e-3


@law
def test_prune_unlooked_drops_what_the_class_token_does_not_look_at():
    """Make one token's keys the very opposite of what the class token asks for: with
    one token to drop, it is that one."""
    queries, keys = random_arrays(5)(2, 1, 2, 6, 4)
    keys = keys * 0.1
    keys[:, :, 3] = -9 * queries[:, :, 0]
    tokens = np.arange(6.0).reshape(1, 6, 1)
    looked = layers.Looked(tokens, np.ones((1, 6)), queries, keys)
    kept, _ = layers.prune_unlooked(looked, 4)
    np.testing.assert_array_equal(kept.ravel(), [0, 1, 2, 4, 5])


@law
def test_thinning_block_keeps_the_dtype():
    """Half precision, too."""
    for thin in (layers.merge_alike, layers.prune_unlooked):
        check_dtype(lambda x, t=thin: block(x, 5, t)[0], X)


@oracle
@pytest.mark.parametrize("tokens, keep", [(10, 8), (10, 5), (17, 2)])
def test_merging_block_equals_token_merging_in_torch(compare, tokens, keep):
    """The paper's block: proportional attention, keys averaged over heads as metric,
    merged between the halves, three times where 2 of 16 are kept; values, and the
    gradients of all weights."""
    draw = random_arrays(4)
    given, d_out = draw(2, tokens, WIDTH), draw(2, 1 + keep, WIDTH)
    counts = np.random.default_rng(8).choice([1.0, 9.0], (2, tokens))

    def ask(torch):
        F = torch.nn.functional
        w = {n: torch.from_numpy(t).requires_grad_() for n, t in TENSORS.items()}
        x, size = torch.from_numpy(given), torch.from_numpy(counts)

        def norm(x, name):
            return F.layer_norm(x, (WIDTH,), w[name + ".weight"], w[name + ".bias"])

        def lin(x, name):
            return F.linear(x, w[name + ".weight"], w[name + ".bias"])

        normed = norm(x, "layer_norm1")
        q, k, v = (
            lin(normed, f"self_attn.{n}_proj").unflatten(-1, (HEADS, -1)) for n in "qkv"
        )
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        scores = q @ k.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5
        scores = scores + size.log()[:, None, None, :]
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        h = x + lin(mixed, "self_attn.out_proj")
        rows = []
        for one, s, metric in zip(h, size, k.mean(1).detach()):
            while len(one) > 1 + keep:
                r = min(len(one) - 1 - keep, (len(one) - 1) // 2)
                unit = F.normalize(metric, dim=-1)
                edges = unit[::2] @ unit[1::2].T
                edges[0] = -torch.inf
                best, partner = edges.max(-1)
                into = torch.eye(len(one), dtype=one.dtype)
                for a in best.argsort(descending=True)[:r].tolist():
                    into[2 * a, 2 * a] = 0
                    into[2 * partner[a] + 1, 2 * a] = 1
                into = into[into.sum(1) > 0] * s
                s = into.sum(1)
                one, metric = into @ one / s[:, None], into @ metric / s[:, None]
            rows.append(one)
        h = torch.stack(rows)
        out = h + lin(F.gelu(lin(norm(h, "layer_norm2"), "mlp.fc1")), "mlp.fc2")
        (out * torch.from_numpy(d_out)).sum().backward()
        answers = {f"gradient.{name}": t.grad.numpy() for name, t in w.items()}
        return {"output": out.detach().numpy(), **answers}

    answers = compare.answers(ask, (TENSORS, given, counts, d_out), of_one_scale=True)
    leaves = {name: Variable(tensor) for name, tensor in TENSORS.items()}
    out, _ = layers.thinning_block(
        given, counts, Weights(leaves), HEADS, keep, layers.merge_alike
    )
    assert_close(out.value, answers["output"], 1e-11)
    assert answers["output"].std() > 0.3
    gradients = backward(out, d_out)
    largest = max(np.abs(answers[f"gradient.{name}"]).max() for name in TENSORS)
    for name, leaf in leaves.items():
        error = np.abs(gradients[leaf] - answers[f"gradient.{name}"]).max()
        assert error < 1e-11 * largest, name
    single, _ = block(given.astype(np.float32), keep, layers.merge_alike, counts)
    assert_close(single.astype(np.float32), answers["output"].astype(np.float32), 1e-5)


@contract
def test_thinning_block_refuses_to_keep_more_than_there_are():
    """Nine beside the class token."""
    with pytest.raises(ValueError, match="keep is 10, but there are 9 tokens"):
        block(X, 10, layers.merge_alike)
    with pytest.raises(ValueError, match="keep must be a whole number of at least 1"):
        block(X, 0, layers.merge_alike)
