"""The spec of refvlm/blocks/fusion/decoder_layers.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.fusion.decoder_layers import (
    cross_decoder_layer,
    cross_decoder_layer_shapes,
    look,
)
from refvlm.blocks.kv_cache import KVCache
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ...weights import random_weights

DIM, HIDDEN, HEADS = 6, 10, 3
TENSORS = random_weights(cross_decoder_layer_shapes(DIM, HIDDEN), seed=1)
WEIGHTS = Weights(TENSORS)
DRAW = random_arrays(2)
WORDS, PICTURE = DRAW(2, 5, DIM), DRAW(2, 4, DIM)
norms = pytest.mark.parametrize("norm_first", [True, False], ids=["pre", "post"])


def layer(hidden=WORDS, picture=PICTURE, weights=WEIGHTS, heads=HEADS, **options):
    return cross_decoder_layer(hidden, picture, weights, heads, **options)


@example
def test_cross_decoder_layer_shapes_count_a_layer():
    """16 d^2 + 19 d: two attentions of 4 d^2, a feed-forward of 8 d^2, three norms."""
    shapes = cross_decoder_layer_shapes(512, 4 * 512).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 16 * 512**2 + 19 * 512


@law
def test_cross_decoder_layer_before_norms_adds_to_what_it_reads():
    """With all three ways out closed, a pre-norm layer hands its words on."""
    ends = ("self_attn.out_proj", "multihead_attn.out_proj", "linear2")
    closed = {n: np.zeros_like(a) for n, a in TENSORS.items() if n.startswith(ends)}
    out = layer(weights=Weights(TENSORS | closed))
    np.testing.assert_array_equal(out, WORDS)


@law
@norms
def test_cross_decoder_layer_hides_later_words_and_shows_all_of_the_picture(norm_first):
    """A word moves itself and what follows it; a picture's token moves every word."""
    before = layer(norm_first=norm_first)
    later, other = WORDS.copy(), PICTURE.copy()
    later[:, 3] += DRAW(2, DIM)
    other[:, 2] += DRAW(2, DIM)
    moved = np.abs(layer(later, norm_first=norm_first) - before).max(axis=(0, 2))
    assert (moved[:3] == 0).all() and (moved[3:] > 1e-3).all()
    moved = np.abs(layer(picture=other, norm_first=norm_first) - before).max(axis=2)
    assert (moved > 1e-3).all()


@law
def test_cross_decoder_layer_does_not_know_the_order_of_the_picture():
    """The picture is a set to it: places have to be in its tokens."""
    assert_close(layer(picture=PICTURE[:, [2, 0, 3, 1]]), layer())


@law
@norms
def test_cross_decoder_layer_with_a_cache_equals_all_words_at_once(norm_first):
    """Word by word, and two at once, with the picture looked at a single time."""
    cache = KVCache(1, 2, HEADS, 5, DIM // HEADS, np.float64)
    seen = look(PICTURE, WEIGHTS, HEADS)
    parts = []
    for start, end in ((0, 2), (2, 3), (3, 5)):
        words = WORDS[:, start:end]
        parts.append(layer(words, seen, norm_first=norm_first, keep=(cache, 0)))
        cache.advance(end - start)
    assert_close(np.concatenate(parts, axis=1), layer(norm_first=norm_first))


@law
def test_cross_decoder_layer_never_sees_what_its_masks_hide():
    """Padding of the text and of the picture may hold anything."""
    kept = np.array([[True] * 5, [False, True, True, True, True]])[:, None, None]
    shown = np.array([[True] * 4, [True, True, False, False]])[:, None, None]
    masks = {"attn_mask": kept, "picture_mask": shown}
    words, picture = WORDS.copy(), PICTURE.copy()
    words[1, 0], picture[1, 2:] = 99.0, -99.0
    before, after = layer(**masks), layer(words, picture, **masks)
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1, 1:], before[1, 1:])


@law
def test_cross_decoder_layer_without_a_picture_adds_only_its_bias():
    """No token to look at is as if the attention had found zeros; no text is none."""
    none = layer(picture=PICTURE[:, :0])
    blank = TENSORS | {"multihead_attn.out_proj.weight": np.zeros((DIM, DIM))}
    assert_close(none, layer(weights=Weights(blank)))
    assert layer(WORDS[:, :0]).shape == (2, 0, DIM)
    assert layer(WORDS[:0], PICTURE[:0]).shape == (0, 5, DIM)


@law
@norms
def test_cross_decoder_layer_of_the_last_words_is_the_end_of_the_whole(norm_first):
    """The others are read by the last, and need not look or think themselves."""
    whole, watch = layer(norm_first=norm_first), []
    assert_close(layer(norm_first=norm_first, last=2, watch=watch), whole[:, -2:])
    (looked,) = watch
    assert_close(looked.sum(-1), np.ones((2, HEADS, 2)))


@law
@norms
def test_cross_decoder_layer_keeps_the_dtype(norm_first):
    """float32 words, picture and weights give float32, through a cache too."""
    weights = Weights({n: a.astype(np.float32) for n, a in TENSORS.items()})
    words, picture = WORDS.astype(np.float32), PICTURE.astype(np.float32)
    keep = KVCache(1, 2, HEADS, 5, DIM // HEADS), 0
    out = layer(words, picture, weights, norm_first=norm_first, keep=keep)
    assert out.dtype == np.float32
    assert_close(out, layer(norm_first=norm_first).astype(np.float32))


def torch_layer(torch, tensors, norm_first, activation="gelu"):
    module = torch.nn.TransformerDecoderLayer(
        *(DIM, HEADS, HIDDEN),
        dropout=0.0,
        activation=activation,
        batch_first=True,
        norm_first=norm_first,
    ).double()
    picture = tensors.get("multihead_attn.k_proj_weight")
    if picture is not None:
        module.multihead_attn = torch.nn.MultiheadAttention(
            *(DIM, HEADS),
            kdim=picture.shape[1],
            vdim=picture.shape[1],
            batch_first=True,
        ).double()
    module.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in tensors.items()})
    return module


@oracle
@norms
@pytest.mark.parametrize("width", [DIM, 5])
def test_cross_decoder_layer_equals_torch(compare, norm_first, width):
    """nn.TransformerDecoderLayer, causal, every parameter random, padding hidden; and
    for a picture of another width, with the attention that torch has for it."""
    tensors = random_weights(cross_decoder_layer_shapes(DIM, HIDDEN, width), seed=3)
    picture = random_arrays(4)(2, 4, width)
    shown = np.array([[True] * 4, [True, True, True, False]])

    def ask(torch):
        module = torch_layer(torch, tensors, norm_first)
        causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)  # True hides
        out = module(
            *(torch.from_numpy(WORDS), torch.from_numpy(picture)),
            tgt_mask=causal,
            memory_key_padding_mask=torch.from_numpy(~shown),
        )
        return {"out": out.detach().numpy()}

    expected = compare.answers(ask, (tensors, WORDS, picture, shown, norm_first))["out"]
    assert expected.std() > 0.3
    mask = shown[:, None, None]
    options = {"norm_first": norm_first, "picture_mask": mask}
    assert_close(layer(WORDS, picture, Weights(tensors), **options), expected)
    single = Weights({n: a.astype(np.float32) for n, a in tensors.items()})
    out = layer(*(a.astype(np.float32) for a in (WORDS, picture)), single, **options)
    assert_close(out, expected.astype(np.float32))


@oracle
def test_cross_decoder_layer_that_is_not_causal_equals_torch(compare):
    """Without a mask every word sees every word; a ReLU in place of the GELU."""

    def ask(torch):
        module = torch_layer(torch, TENSORS, True, "relu")
        out = module(torch.from_numpy(WORDS), torch.from_numpy(PICTURE))
        return {"out": out.detach().numpy()}

    answers = compare.answers(ask, (TENSORS, WORDS, PICTURE))
    assert_close(layer(is_causal=False, activation=ops.relu), answers["out"])


@oracle
@norms
def test_a_layer_that_does_not_look_equals_torchs_encoder_layer(compare, norm_first):
    """nn.TransformerEncoderLayer, causal: its names, and two norms."""
    shapes = cross_decoder_layer_shapes(DIM, HIDDEN, looks=False)
    tensors = random_weights(shapes, seed=5)

    def ask(torch):
        module = torch.nn.TransformerEncoderLayer(
            *(DIM, HEADS, HIDDEN),
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=norm_first,
        ).double()
        state = {n: torch.from_numpy(a.copy()) for n, a in tensors.items()}
        module.load_state_dict(state)
        causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
        out = module(torch.from_numpy(WORDS), src_mask=causal)
        return {"out": out.detach().numpy()}

    expected = compare.answers(ask, (tensors, WORDS, norm_first))["out"]
    assert expected.std() > 0.3
    out = layer(picture=None, weights=Weights(tensors), norm_first=norm_first)
    assert_close(out, expected)


@derivative
@norms
def test_cross_decoder_layer_derivative(compare, norm_first):
    """Every weight's gradient, the words' and the picture's: torch.autograd's."""

    def ask(torch):
        module = torch_layer(torch, TENSORS, norm_first)
        words, picture = (
            torch.from_numpy(a.copy()).requires_grad_() for a in (WORDS, PICTURE)
        )
        hides = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
        (module(words, picture, tgt_mask=hides) ** 3).sum().backward()
        named = dict(module.named_parameters()) | {"words": words, "picture": picture}
        return {name: tensor.grad.numpy() for name, tensor in named.items()}

    answers = compare.answers(
        ask, (TENSORS, WORDS, PICTURE, norm_first), of_one_scale=True
    )

    def loss(leaves):
        weights = Weights({n: v for n, v in leaves.items() if n in TENSORS})
        out = layer(leaves["words"], leaves["picture"], weights, norm_first=norm_first)
        return (out**3).sum()

    inputs = {"words": WORDS, "picture": PICTURE}
    found = value_and_grad(loss)(TENSORS | inputs)[1]
    scale = max(np.abs(answer).max() for answer in answers.values())
    for name, answer in answers.items():
        assert np.abs(found[name] - answer).max() <= 1e-12 * scale, name


@contract
def test_cross_decoder_layer_refuses_what_does_not_fit():
    """Heads, widths, batches and caches, each by its name and with a remedy."""
    with pytest.raises(ShapeError, match="decoder_layer: 6 features .* into 4 heads"):
        layer(heads=4)
    with pytest.raises(ShapeError, match=r"look: picture is \(2, 4, 5\).* 6 features"):
        layer(picture=np.zeros((2, 4, 5)))
    with pytest.raises(ShapeError, match=r"hidden is \(2, 5, 9\), but norm1"):
        layer(np.zeros((2, 5, 9)))
    with pytest.raises(ShapeError, match="hidden has 2 rows and picture has 3"):
        layer(picture=np.zeros((3, 4, DIM)))
    with pytest.raises(ShapeError, match="picture"):
        layer(picture=PICTURE[0])
    cache = KVCache(1, 2, 2, 5, 3, np.float64)
    with pytest.raises(ShapeError, match="made for 2 texts and 2 heads of 3"):
        layer(keep=(cache, 0))


@contract
def test_cross_decoder_layer_refuses_masks_of_another_size():
    """A mask over three tokens says nothing about a picture of four."""
    with pytest.raises(ShapeError, match=r"_layer: picture_mask is \(2, 1, 1, 3\)"):
        layer(picture_mask=np.ones((2, 1, 1, 3), bool))
    with pytest.raises(ShapeError, match=r"attn_mask .* scores are \(2, 3, 5, 5\)"):
        layer(attn_mask=np.ones((2, 1, 5, 4), bool))
