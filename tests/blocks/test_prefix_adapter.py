"""The spec of refvlm/blocks/prefix_adapter.py."""

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.prefix_adapter import (
    prefix_adapter,
    prefix_adapter_shapes,
    prefix_tokens,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, oracle, random_arrays
from ..weights import random_weights

WIDTH, HIDDEN, INNER, TOKENS, HEADS = 5, 12, 18, 4, 3
WAYS = {"plain": None, "heads": HEADS}
TENSORS = {
    way: random_weights(
        prefix_adapter_shapes(WIDTH, HIDDEN, INNER, TOKENS, heads), seed=3
    )
    for way, heads in WAYS.items()
}
PATCHES = random_arrays(4)(2, 7, WIDTH)

ways = pytest.mark.parametrize("way", WAYS)


def adapted(way, patches=PATCHES, **options):
    return prefix_adapter(patches, Weights(TENSORS[way]), WAYS[way], **options)


@example
def test_prefix_adapter_of_full_size_counts_its_parameters():
    """The table's 3.4 million are those of the formula; the published code has 6.6."""

    def count(*options):
        shapes = prefix_adapter_shapes(192, 896, 1792, 25, *options)
        return sum(int(np.prod(shape)) for shape in shapes.values())

    assert count(None, False) == 3_431_680
    assert count(4) == 6_648_320
    assert count(4) - count(None) == 4 * 896**2 + 4 * 896


@example
def test_prefix_adapter_of_one_patch_is_the_patch():
    """Who can look at one thing only says that, whatever the question: the positions
    are all that tells the tokens apart."""
    tensors = {n: t for n, t in TENSORS["plain"].items() if "norm" not in n}
    prefix = prefix_adapter(PATCHES[:, :1], Weights(tensors))
    bare = prefix - tensors["prefix_pos_embeddings"]
    assert_close(bare, np.broadcast_to(bare[:, :1], bare.shape))


@law
@ways
def test_prefix_adapter_makes_a_bag_of_the_patches(way):
    """Move the patches, and no token changes; more of them make no more tokens."""
    order = np.random.RandomState(1).permutation(7)
    assert_close(adapted(way, PATCHES[:, order]), adapted(way))
    assert adapted(way, PATCHES[:, :3]).shape == (2, TOKENS, HIDDEN)


@law
@ways
def test_prefix_adapter_looks_at_pictures_one_by_one(way):
    """The other pictures of a batch change nothing."""
    assert_close(adapted(way, PATCHES[1:]), adapted(way)[1:])


@law
@ways
def test_prefix_adapter_watches_where_its_queries_look(way):
    """Each token's shares of the patches sum to one in every head, and where a patch
    has all of them, that patch alone is heard."""
    watch = []
    adapted(way, watch=watch)
    assert watch[0].shape == (2, WAYS[way] or 1, TOKENS, 7)
    assert_close(watch[0].sum(axis=-1), np.ones(watch[0].shape[:-1]))
    assert watch[0].std() > 0.01


@law
def test_prefix_adapter_that_watches_sees_what_it_took():
    """With the formula's own pooling, the shares times the patches are the tokens."""
    tensors = {n: t for n, t in TENSORS["plain"].items() if "norm" not in n}
    watch = []
    prefix = prefix_adapter(PATCHES, Weights(tensors), watch=watch)
    alone = [
        prefix_adapter(PATCHES[:, i : i + 1], Weights(tensors))[:, 0] for i in range(7)
    ]
    said = np.stack(alone, axis=1) - tensors["prefix_pos_embeddings"][0]
    expected = watch[0][:, 0] @ said + tensors["prefix_pos_embeddings"]
    assert_close(prefix, expected)


@law
@ways
def test_prefix_adapter_keeps_float32(way):
    """float32 in, float32 out, close to what float64 says."""
    single = {name: a.astype(np.float32) for name, a in TENSORS[way].items()}
    prefix = prefix_adapter(PATCHES.astype(np.float32), Weights(single), WAYS[way])
    assert_close(prefix, adapted(way).astype(np.float32), 1e-5)


@law
def test_prefix_tokens_are_an_eighth_within_bounds():
    """196 patches make 25, 7.84 each; few pictures have 8 at least, large ones 64."""
    assert [prefix_tokens(n) for n in (1, 64, 65, 196, 512, 4096)] == [
        8, 8, 9, 25, 64, 64,
    ]  # fmt: skip


def composed(torch, way, tensors, patches):
    """The adapter of torch's own modules."""
    functional = torch.nn.functional

    def linear(x, name):
        return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    seen = linear(
        functional.gelu(linear(linear(patches, "projection"), "mlp.0")), "mlp.2"
    )
    queries = tensors["pooling_queries"].expand(len(patches), -1, -1)
    if WAYS[way] is None:
        pooled = functional.scaled_dot_product_attention(queries, seen, seen)
    else:
        module = torch.nn.MultiheadAttention(HIDDEN, HEADS, batch_first=True).double()
        own = {
            name.removeprefix("pooling_attn."): tensor
            for name, tensor in tensors.items()
            if name.startswith("pooling_attn.")
        }
        pooled, _ = torch.func.functional_call(module, own, (queries, seen, seen))
    prefix = pooled + tensors["prefix_pos_embeddings"]
    norm = tensors["layer_norm.weight"], tensors["layer_norm.bias"]
    return functional.layer_norm(prefix, (HIDDEN,), *norm)


@oracle
@ways
def test_prefix_adapter_equals_torch(compare, way):
    """Linear, GELU, attention with and without matrices, LayerNorm; and the gradient
    of every tensor and of the patches."""
    tensors = TENSORS[way]

    def ask(torch):
        leaves = {
            name: torch.from_numpy(array.copy()).requires_grad_()
            for name, array in (tensors | {"patches": PATCHES}).items()
        }
        given = {name: leaf for name, leaf in leaves.items() if name != "patches"}
        prefix = composed(torch, way, given, leaves["patches"])
        (prefix**3).sum().backward()
        gradients = {n: leaf.grad.numpy().copy() for n, leaf in leaves.items()}
        return {"prefix": prefix.detach().numpy(), **gradients}

    answers = compare.answers(ask, (tensors, PATCHES, way), of_one_scale=True)
    expected = answers.pop("prefix")
    assert expected.std(axis=1).min() > 0.05
    assert_close(adapted(way), expected)

    def loss(weights):
        return (prefix_adapter(weights["patches"], weights, WAYS[way]) ** 3).sum()

    _, gradients = value_and_grad(loss)(Weights(tensors | {"patches": PATCHES}))
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, answer in answers.items():
        assert np.abs(gradients[name] - answer).max() < 1e-12 * largest, name


@contract
@ways
def test_prefix_adapter_refuses_patches_of_another_width(way):
    """The tower's width is the adapter's."""
    with pytest.raises(ShapeError):
        adapted(way, PATCHES[..., :4])


@contract
def test_prefix_adapter_refuses_heads_that_do_not_split_the_width():
    """12 features do not make 5 heads; and no picture has no patches."""
    with pytest.raises(ShapeError, match="12 features do not split into 5 heads"):
        prefix_adapter(PATCHES, Weights(TENSORS["heads"]), 5)
    with pytest.raises(ValueError, match="prefix_tokens: patches"):
        prefix_tokens(0)
