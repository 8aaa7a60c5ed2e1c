"""The spec of refvlm/blocks/fusion/gated_cross_attention.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.autodiff import value_and_grad
from refvlm.blocks.fusion.gated_cross_attention import (
    gated_cross_attention,
    gated_cross_attention_shapes,
    preceding_picture_mask,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...oracles import all_double, import_torchvision
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

DIM, SEEN, HIDDEN, HEADS = 6, 5, 10, 3
SHAPES = gated_cross_attention_shapes(DIM, SEEN, HIDDEN)
NORMS = {f"cross_attn.{n}_layer_norm.weight": (DIM // HEADS,) for n in "qk"}
GATES = {"alpha_cross_attn": np.array([0.75]), "alpha_dense": np.array([-0.5])}
TENSORS = random_weights(SHAPES, seed=1) | GATES
DRAW = random_arrays(2)
WORDS, PICTURE = DRAW(2, 5, DIM), DRAW(2, 4, SEEN)
MARKS = np.array([[0, 1, 0, 0, 1], [1, 0, 0, 0, 0]], bool)


def layer(words=WORDS, picture=PICTURE, tensors=TENSORS, mask=None, heads=HEADS):
    weights = Weights(tensors)
    return gated_cross_attention(words, picture, weights, heads, mask, eps=1e-3)


@example
def test_gated_cross_attention_adds_half_of_what_it_sees():
    """tanh(0.5493) = 0.5: one word of one number looks at a picture of 8, hears 4, and
    its own thought, behind a closed gate, adds nothing."""
    shapes = gated_cross_attention_shapes(1, 1, 1)
    tensors = {name: np.ones(shape) for name, shape in shapes.items()}
    tensors |= {"alpha_cross_attn": np.arctanh([0.5]), "alpha_dense": np.zeros(1)}
    seen = np.array([[[8.0]]])
    out = layer(np.array([[[1.0]]]), seen, tensors, heads=1)
    assert_close(out, np.array([[[5.0]]]))


@law
@given(st.integers(0, 100))
def test_gated_cross_attention_at_gate_zero_is_the_identity(seed):
    """tanh 0 = 0: the decoder says what it said before it could see, to the bit."""
    closed = {name: np.zeros_like(gate) for name, gate in GATES.items()}
    picture = random_arrays(seed)(2, 4, SEEN, scale=100.0)
    np.testing.assert_array_equal(
        layer(picture=picture, tensors=TENSORS | closed), WORDS
    )


@law
def test_gated_cross_attention_at_gate_zero_still_learns():
    """The gates' gradients are there, though nothing behind them has one yet."""
    closed = {name: np.zeros_like(gate) for name, gate in GATES.items()}

    def loss(weights):
        return (layer(tensors=weights) ** 3).sum()

    found = value_and_grad(loss)(TENSORS | closed)[1]
    for name, gradient in found.items():
        assert (np.abs(gradient).max() > 1e-3) == (name in GATES), name


@law
def test_gated_cross_attention_of_a_word_that_may_look_nowhere():
    """No picture before it: none moves it, and its own thought goes on."""
    mask = preceding_picture_mask(MARKS, 2)
    before = layer(mask=mask)
    after = layer(picture=PICTURE + 1, mask=mask)
    np.testing.assert_array_equal(after[0, 0], before[0, 0])
    assert (np.abs(after[0, 1:] - before[0, 1:]).max(axis=-1) > 1e-3).all()
    assert np.abs(before[0, 0] - WORDS[0, 0]).max() > 1e-3


@law
def test_preceding_picture_mask_shows_each_word_one_picture():
    """The last one before it: a later picture moves nobody earlier, and an earlier one
    nobody who has a later."""
    mask = preceding_picture_mask(MARKS, 2)
    assert mask.shape == (2, 1, 5, 4)
    assert mask.sum(axis=-1)[:, 0].tolist() == [[0, 2, 2, 2, 2], [2, 2, 2, 2, 2]]
    first = PICTURE.copy()
    first[:, :2] += 1
    moved = np.abs(layer(picture=first, mask=mask) - layer(mask=mask)).max(axis=-1)
    assert (moved[0] > 1e-3).tolist() == [False, True, True, True, False]


@law
def test_preceding_picture_mask_without_pictures():
    """A text of words alone has no columns, and the layer needs no picture."""
    mask = preceding_picture_mask(np.zeros((2, 5), bool), 2)
    assert mask.shape == (2, 1, 5, 0)
    none = PICTURE[:, :0]
    assert_close(layer(picture=none, mask=mask), layer(picture=none))


@law
@pytest.mark.parametrize("gate", GATES)
def test_gated_cross_attention_adds_a_millionth_to_a_small_variance(gate):
    """IDEFICS' share: at a mean square of 1e-6 the square that divides is twice as
    large, so what a norm hands on is that of large words, over the root of two."""
    closed = {name: np.zeros_like(array) for name, array in GATES.items()}
    ones = {name: np.ones(DIM) for name in SHAPES if "layernorm" in name}
    tensors = TENSORS | closed | {gate: GATES[gate]} | ones
    small = np.full((2, 5, DIM), 1e-3)
    same = {name: tensors[name] / np.sqrt(2.0) for name in ones}
    out = gated_cross_attention(small, PICTURE, Weights(tensors), HEADS)
    large = gated_cross_attention(
        np.ones_like(small), PICTURE, Weights(tensors | same), HEADS, eps=0.0
    )
    assert_close(out - small, large - 1)
    assert np.abs(large - 1).max() > 1e-2


@law
def test_gated_cross_attention_keeps_the_dtype():
    """float32 in, float32 out, with the answer of float64."""
    tensors = {n: a.astype(np.float32) for n, a in TENSORS.items()}
    out = layer(WORDS.astype(np.float32), PICTURE.astype(np.float32), tensors)
    assert_close(out, layer().astype(np.float32))


def idefics(torch, tensors):
    import_torchvision()
    from transformers import IdeficsConfig
    from transformers.models.idefics.modeling_idefics import (
        IdeficsGatedCrossAttentionLayer,
    )

    config = IdeficsConfig(
        hidden_size=DIM,
        intermediate_size=HIDDEN,
        num_attention_heads=HEADS,
        rms_norm_eps=1e-3,
        qk_layer_norms="cross_attn.q_layer_norm.weight" in tensors,
        alpha_type="vector" if tensors["alpha_dense"].ndim == 3 else "float",
        vision_config={"embed_dim": SEEN},
        attn_implementation="eager",
    )
    module = IdeficsGatedCrossAttentionLayer(config, layer_idx=0).double().eval()
    state = {n: torch.from_numpy(a.copy()) for n, a in tensors.items()}
    left = module.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    assert all("rotary" in name for name in left.missing_keys)
    return module


def answered(torch, module, words, picture, mask):
    """What IDEFICS says: a gate for words that look nowhere, lowest numbers to hide."""
    hides = torch.zeros(mask.shape, dtype=torch.float64)
    hides = hides.masked_fill(~torch.from_numpy(mask), torch.finfo(hides.dtype).min)
    return module(
        words,
        image_hidden_states=picture,
        image_attention_mask=hides,
        cross_attention_gate=torch.from_numpy(mask.any(axis=-1)[:, 0]),
    )


@oracle
@pytest.mark.parametrize(
    "kind", ["one gate", "a gate for each feature", "normed heads"]
)
def test_gated_cross_attention_equals_idefics(compare, kind):
    """transformers' IdeficsGatedCrossAttentionLayer, in its names, every parameter
    random, the gates too, and one word that may look nowhere."""
    gate = (1, 1, DIM) if kind == "a gate for each feature" else (1,)
    shapes = gated_cross_attention_shapes(DIM, SEEN, HIDDEN, gate)
    shapes |= NORMS if kind == "normed heads" else {}
    tensors = random_weights(shapes, seed=3)
    if gate == (1,):
        tensors |= GATES
    mask = preceding_picture_mask(MARKS, 2)

    def ask(torch):
        with all_double(torch):
            module = idefics(torch, tensors)
            given = (torch.from_numpy(a) for a in (WORDS, PICTURE))
            return {"out": answered(torch, module, *given, mask).detach().numpy()}

    expected = compare.answers(ask, (tensors, WORDS, PICTURE, mask))["out"]
    assert np.abs(expected - WORDS).std() > 0.1
    assert_close(layer(tensors=tensors, mask=mask), expected)


@derivative
def test_gated_cross_attention_derivative(compare):
    """Every weight's gradient, the words' and the picture's: torch.autograd's."""
    mask = preceding_picture_mask(MARKS, 2)

    def ask(torch):
        with all_double(torch):
            module = idefics(torch, TENSORS)
            words, picture = (
                torch.from_numpy(a.copy()).requires_grad_() for a in (WORDS, PICTURE)
            )
            (answered(torch, module, words, picture, mask) ** 3).sum().backward()
        named = dict(module.named_parameters()) | {"words": words, "picture": picture}
        return {name: tensor.grad.numpy() for name, tensor in named.items()}

    answers = compare.answers(ask, (TENSORS, WORDS, PICTURE), of_one_scale=True)

    def loss(leaves):
        out = layer(leaves["words"], leaves["picture"], leaves, mask)
        return (out**3).sum()

    found = value_and_grad(loss)(TENSORS | {"words": WORDS, "picture": PICTURE})[1]
    scale = max(np.abs(answer).max() for answer in answers.values())
    for name, answer in answers.items():
        assert np.abs(found[name] - answer).max() <= 1e-12 * scale, name


@contract
def test_gated_cross_attention_refuses_what_does_not_fit():
    """Heads, widths, batches and masks, each by its name."""
    with pytest.raises(ShapeError, match="6 features do not split into 4 heads"):
        layer(heads=4)
    with pytest.raises(
        ShapeError, match=r"y is \(2, 4, 3\), but k_proj.weight reads 5"
    ):
        layer(picture=PICTURE[..., :3])
    with pytest.raises(ShapeError, match=r"picture is \(1, 4, 5\), but b = 2"):
        layer(picture=PICTURE[:1])
    with pytest.raises(ShapeError, match=r"attn_mask is \(2, 1, 5, 6\)"):
        layer(mask=preceding_picture_mask(MARKS, 3))
    with pytest.raises(ValueError, match="tokens must be a whole number of at least 1"):
        preceding_picture_mask(MARKS, 0)
    with pytest.raises(ValueError, match="marks"):
        preceding_picture_mask(MARKS.astype(int), 2)
