"""The spec of refvlm/blocks/layerwise.py."""

import tracemalloc

import numpy as np
import pytest

from refvlm import checkpoint
from refvlm.blocks.layerwise import layerwise_forward, loader_of
from refvlm.blocks.transformer import transformer_block, transformer_block_shapes
from refvlm.checkpoint import MissingTensorError

from ..spec import contract, example, law
from ..spec import random_arrays as arrays
from ..weights import random_weights

NAMES = [f"layers.{i}" for i in range(4)]


def block(x, weights):
    """A transformer block with two heads."""
    return transformer_block(x, weights, num_heads=2)


def stored(tmp_path, width, hidden, dtype):
    """A checkpoint of four blocks, and its path."""
    shapes = {
        f"{name}.{tensor}": shape
        for name in NAMES
        for tensor, shape in transformer_block_shapes(width, hidden).items()
    }
    path = tmp_path / "model.safetensors"
    tensors = random_weights(shapes)
    checkpoint.save(path, {n: a.astype(dtype) for n, a in tensors.items()})
    return path


@example
def test_layerwise_forward_doubles_and_adds():
    """(3 * 2) * 5: the layers in the order of their names."""
    weights = {"a": 2.0, "b": 5.0}
    assert layerwise_forward(lambda x, w: x * w, 3.0, ["a", "b"], weights.get) == 30.0


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_layerwise_forward_is_the_whole_forward(tmp_path, dtype):
    """The same bits as with all weights in memory."""
    path = stored(tmp_path, 8, 16, dtype)
    x = arrays(1)(2, 5, 8).astype(np.float32)
    weights, expected = checkpoint.load(path), x
    for name in NAMES:
        expected = block(expected, weights.scope(name))
    found = layerwise_forward(block, x, NAMES, loader_of(path))
    np.testing.assert_array_equal(found, expected)


@law
def test_layerwise_forward_loads_in_order_and_keeps_nothing():
    """When a layer is asked for, the one before it is gone."""
    alive, log = set(), []

    class Layer:
        def __init__(self, name):
            self.name = name
            alive.add(name)

        def __del__(self):
            alive.discard(self.name)

    def load(name):
        log.append((name, len(alive)))
        return Layer(name)

    layerwise_forward(lambda x, layer: x, None, "abc", load)
    assert log == [("a", 0), ("b", 0), ("c", 0)]
    assert not alive


@law
def test_layerwise_forward_peaks_at_one_layer(tmp_path):
    """A checkpoint of float16 is decoded to float32: all four layers at once when they
    come from one mapping, one at a time when each is let go."""
    path = stored(tmp_path, 96, 384, np.float16)
    x = arrays(2)(1, 4, 96).astype(np.float32)
    layer = 4 * sum(
        int(np.prod(shape)) for shape in transformer_block_shapes(96, 384).values()
    )

    def peak(load):
        tracemalloc.start()
        try:
            layerwise_forward(block, x, NAMES, load)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(loader_of(path))
    whole = checkpoint.load(path)
    assert 4 * layer < peak(whole.scope) < 5 * layer
    assert layer < peak(loader_of(path)) < 1.8 * layer


@contract
def test_loader_of_names_a_layer_that_is_not_there(tmp_path):
    """A missing layer is a missing tensor, said by its whole name."""
    path = stored(tmp_path, 8, 16, np.float32)
    x = np.ones((1, 2, 8), np.float32)
    with pytest.raises(MissingTensorError, match=r"layers\.9\.layer_norm1\.weight"):
        layerwise_forward(block, x, ["layers.0", "layers.9"], loader_of(path))
