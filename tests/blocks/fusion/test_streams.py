"""The spec of refvlm/blocks/fusion/streams.py, and of one loss through every joint."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.attention_layers import multi_head_attention
from refvlm.blocks.fusion.merging import (
    gated_fusion,
    late_mlp,
    late_product,
    late_sum,
    seen_prefix_mask,
)
from refvlm.blocks.fusion.streams import (
    dual_stream,
    single_stream,
    single_stream_shapes,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, derivative, law, oracle, random_arrays
from ...weights import random_weights

DIM, HIDDEN, DEPTH, HEADS = 6, 10, 2, 3
TENSORS = random_weights(single_stream_shapes(DIM, HIDDEN, DEPTH), seed=1)
WEIGHTS = Weights(TENSORS)
DRAW = random_arrays(2)
VISION, TEXT = DRAW(2, 4, DIM), DRAW(2, 3, DIM)


def stream(vision=VISION, text=TEXT, weights=WEIGHTS, depth=DEPTH, **options):
    return single_stream(
        vision, text, weights=weights, num_heads=HEADS, depth=depth, **options
    )


@law
def test_dual_stream_says_the_same_of_a_picture_whatever_is_asked():
    """The towers' answers can be stored: pictures and texts that were read apart, each
    once, join to what every pair would have said."""
    tower, reader = DRAW(DIM, 5), DRAW(DIM, 5)
    pixels, words = DRAW(3, DIM), DRAW(4, DIM)

    def join(v, t):
        return late_product(v, t).sum(-1)

    stored = np.tanh(pixels @ tower) @ np.tanh(words @ reader).T
    for i, picture in enumerate(pixels):
        for j, text in enumerate(words):
            answer = dual_stream(
                *(picture, text),
                lambda x: np.tanh(x @ tower),
                lambda x: np.tanh(x @ reader),
                join,
            )
            assert abs(answer - stored[i, j]) < 1e-12


@law
def test_single_stream_reads_every_token_in_the_light_of_all():
    """One word more moves what is said of each patch, and one patch each word."""
    before = stream()
    for vision, text in (
        (VISION, TEXT + DRAW(2, 3, DIM)),
        (VISION + DRAW(2, 4, DIM), TEXT),
    ):
        moved = np.abs(stream(vision, text) - before).max(axis=-1)
        assert (moved > 1e-3).all()


@law
def test_single_stream_knows_sides_by_their_types_alone():
    """Without types it is a function of one set of tokens; with them, it is not."""
    untyped = Weights({n: a for n, a in TENSORS.items() if n != "types"})
    out = stream(weights=untyped)
    turned = stream(TEXT, VISION, untyped)
    assert_close(np.concatenate([turned[:, 3:], turned[:, :3]], axis=1), out)
    typed = stream(TEXT, VISION)
    assert (
        np.abs(np.concatenate([typed[:, 3:], typed[:, :3]], 1) - stream()).max() > 0.1
    )


@law
def test_single_stream_with_a_seen_prefix_leaves_the_picture_alone():
    """The picture does not see the words, so what it became can be kept in a cache."""
    mask = seen_prefix_mask(4, 3)
    before, after = (stream(text=text, attn_mask=mask) for text in (TEXT, TEXT[::-1]))
    np.testing.assert_array_equal(after[:, :4], before[:, :4])
    assert (np.abs(after[:, 4:] - before[:, 4:]).max(axis=-1) > 1e-3).all()


@law
def test_pictures_may_ask_the_text():
    """Text-guided vision is cross-attention the other way round: each patch hears of
    the words it asks for, a word moves all patches, and patches do not meet."""
    weights = random_weights(MHA, seed=3)

    def guided(vision, text):
        return vision + multi_head_attention(vision, text, text, weights, HEADS)

    before = guided(VISION, TEXT)
    assert (np.abs(guided(VISION, TEXT + 1) - before).max(axis=-1) > 1e-3).all()
    other = VISION.copy()
    other[:, 2] += 1
    moved = np.abs(guided(other, TEXT) - before).max(axis=(0, 2)) > 1e-3
    assert moved.tolist() == [False, False, True, False]


@oracle
@pytest.mark.parametrize("norm_first", [True, False], ids=["pre", "post"])
def test_single_stream_equals_torch(compare, norm_first):
    """nn.TransformerEncoder of torch.cat, every parameter random."""

    def ask(torch):
        layer = torch.nn.TransformerEncoderLayer(
            *(DIM, HEADS, HIDDEN, 0.0, "gelu"), batch_first=True, norm_first=norm_first
        )
        module = torch.nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        module = module.double()
        module.load_state_dict(torch_names(torch, TENSORS))
        types = torch.from_numpy(TENSORS["types"].copy())
        both = [torch.from_numpy(x) + t for x, t in zip((VISION, TEXT), types)]
        return {"out": module(torch.cat(both, dim=1)).detach().numpy()}

    answers = compare.answers(ask, (TENSORS, VISION, TEXT, norm_first))
    assert answers["out"].std() > 0.3
    assert_close(stream(norm_first=norm_first), answers["out"])


NAMES = {
    "self_attn.out_proj": "self_attn.out_proj",
    "mlp.fc1": "linear1",
    "mlp.fc2": "linear2",
    "layer_norm1": "norm1",
    "layer_norm2": "norm2",
}


def torch_names(torch, tensors):
    state = {}
    for i in range(DEPTH):
        layer = {n: a for n, a in tensors.items() if n.startswith(f"layers.{i}.")}
        for kind in ("weight", "bias"):
            stacked = [layer[f"layers.{i}.self_attn.{n}_proj.{kind}"] for n in "qkv"]
            state[f"layers.{i}.self_attn.in_proj_{kind}"] = np.concatenate(stacked)
            for ours, theirs in NAMES.items():
                state[f"layers.{i}.{theirs}.{kind}"] = layer[
                    f"layers.{i}.{ours}.{kind}"
                ]
    return {name: torch.from_numpy(array.copy()) for name, array in state.items()}


MHA = {
    "in_proj_weight": (3 * DIM, DIM),
    "in_proj_bias": (3 * DIM,),
    "out_proj.weight": (DIM, DIM),
    "out_proj.bias": (DIM,),
}
JOINTS = {
    "late_mlp.fc1.weight": (7, 2 * DIM),
    "late_mlp.fc1.bias": (7,),
    "late_mlp.fc2.weight": (DIM, 7),
    "late_mlp.fc2.bias": (DIM,),
    "gated.weight": (DIM, 2 * DIM),
    "gated.bias": (DIM,),
    **{f"cross.{name}": shape for name, shape in MHA.items()},
}
TOWERS = {"look.weight": (DIM, 5), "read.weight": (11, DIM)}
PIXELS, IDS = DRAW(2, 4, 5), np.array([[1, 4, 10], [0, 4, 4]])


def joined(way, vision, text, weights):
    """One vector a row from tokens of both sides: by means, or by tokens that meet."""
    v, t = vision.mean(axis=1), text.mean(axis=1)
    if way == "late_mlp":
        return late_mlp(v, t, weights=weights.scope("late_mlp"))
    if way == "gated":
        return gated_fusion(v, t, weights.scope("gated"))
    if way == "cross":
        scope = weights.scope("cross")
        return multi_head_attention(text, vision, vision, scope, HEADS).mean(axis=1)
    if way == "early":
        return single_stream(
            vision, text, weights=weights, num_heads=HEADS, depth=DEPTH
        ).mean(axis=1)
    return {"sum": late_sum, "product": late_product}[way](v, t)


@derivative
@pytest.mark.parametrize(
    "way", ["sum", "product", "late_mlp", "gated", "cross", "early"]
)
def test_joint_optimisation_reaches_both_towers(compare, way):
    """One loss, and the gradient of each tower as torch.autograd has it: none is zero,
    whichever way the two are joined."""
    tensors = random_weights(TOWERS | JOINTS, seed=4) | TENSORS

    def ask(torch):
        x = {n: torch.tensor(tensors[n], requires_grad=True) for n in TOWERS}
        rest = {n: torch.from_numpy(a.copy()) for n, a in tensors.items()}
        vision = torch.tanh(torch.from_numpy(PIXELS) @ x["look.weight"].T)
        text = x["read.weight"][torch.from_numpy(IDS)]
        (torch_joined(torch, way, vision, text, rest) ** 3).sum().backward()
        return {name: tensor.grad.numpy() for name, tensor in x.items()}

    answers = compare.answers(ask, (tensors, PIXELS, IDS, way))

    def loss(towers):
        weights = Weights(tensors | dict(towers))

        def look(pixels):
            return ops.tanh(ops.linear(pixels, weights["look.weight"]))

        def read(ids):
            return ops.embedding(ids, weights["read.weight"])

        def join(vision, text):
            return joined(way, vision, text, weights)

        return (dual_stream(PIXELS, IDS, look, read, join) ** 3).sum()

    found = value_and_grad(loss)({name: tensors[name] for name in TOWERS})[1]
    for name, answer in answers.items():
        assert np.abs(answer).max() > 1e-3
        assert_close(found[name], answer, 1e-11)


def torch_joined(torch, way, vision, text, tensors):
    functional = torch.nn.functional
    v, t = vision.mean(1), text.mean(1)
    both = torch.cat([v, t], -1)
    if way == "late_mlp":
        fc1, fc2 = (
            (tensors[f"late_mlp.{n}.weight"], tensors[f"late_mlp.{n}.bias"])
            for n in ("fc1", "fc2")
        )
        wide = functional.gelu(functional.linear(both, *fc1))
        return functional.linear(wide, *fc2)
    if way == "gated":
        gate = functional.linear(both, tensors["gated.weight"], tensors["gated.bias"])
        return torch.sigmoid(gate) * v + torch.sigmoid(-gate) * t
    if way == "cross":
        module = torch.nn.MultiheadAttention(DIM, HEADS, batch_first=True).double()
        state = {n.removeprefix("cross."): a for n, a in tensors.items()}
        module.load_state_dict({n: state[n] for n in MHA})
        return module(text, vision, vision)[0].mean(1)
    if way == "early":
        layer = torch.nn.TransformerEncoderLayer(
            *(DIM, HEADS, HIDDEN, 0.0, "gelu"), batch_first=True, norm_first=True
        )
        module = torch.nn.TransformerEncoder(layer, DEPTH, enable_nested_tensor=False)
        module.double().load_state_dict(torch_names(torch, TENSORS))
        types = tensors["types"]
        return module(torch.cat([vision + types[0], text + types[1]], 1)).mean(1)
    return v + t if way == "sum" else v * t


@contract
def test_single_stream_refuses_what_does_not_fit():
    """Depth, heads and widths, each by its name."""
    with pytest.raises(ValueError, match="single_stream: depth must be a whole number"):
        stream(depth=-1)
    with pytest.raises(ShapeError, match=r"early_fusion: .* \(2, 4, 6\), \(2, 3, 5\)"):
        stream(text=TEXT[..., :5])
    with pytest.raises(ShapeError, match="6 features do not split into 4 heads"):
        single_stream(VISION, TEXT, weights=WEIGHTS, num_heads=4, depth=1)
    with pytest.raises(ShapeError, match="attn_mask"):
        stream(attn_mask=np.ones((4, 4), bool))
