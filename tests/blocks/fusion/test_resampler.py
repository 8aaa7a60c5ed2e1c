"""The spec of refvlm/blocks/fusion/resampler.py."""

import math

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.blocks.attention_layers import attention_pool
from refvlm.blocks.fusion.resampler import (
    latent_queries,
    perceiver_resampler,
    perceiver_resampler_shapes,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...oracles import import_torchvision
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

DIM, LATENTS, DEPTH, HEADS, SIZE = 6, 3, 2, 2, 4
SHAPES = perceiver_resampler_shapes(DIM, LATENTS, DEPTH, HEADS * SIZE)
NORMS = {
    f"blocks.{i}.0.{n}_layer_norm.{k}": (SIZE,)
    for i in range(DEPTH)
    for n in "qk"
    for k in ("weight", "bias")
}
TENSORS = random_weights(SHAPES, seed=1)
WEIGHTS = Weights(TENSORS)
PICTURE = random_arrays(2)(2, 7, DIM)
PLAIN = {
    "latents": (LATENTS, DIM),
    "attention.q_proj_weight": (DIM, DIM),
    "attention.k_proj_weight": (DIM, 5),
    "attention.v_proj_weight": (DIM, 5),
    "attention.in_proj_bias": (3 * DIM,),
    "attention.out_proj.weight": (DIM, DIM),
    "attention.out_proj.bias": (DIM,),
}


def resample(picture=PICTURE, weights=WEIGHTS, **options):
    return perceiver_resampler(picture, weights, HEADS, DEPTH, **options)


@example
def test_perceiver_resampler_shapes_count_idefics():
    """IDEFICS-9B's: 64 latents of 1280, 6 blocks, 16 heads of 96."""
    shapes = perceiver_resampler_shapes(1280, 64, 6, 16 * 96)
    block = 4 * 1280 * 1536 + 8 * 1280**2 + 6 * 1280
    total = 64 * 1280 + 6 * block + 2 * 1280
    assert sum(math.prod(shape) for shape in shapes.values()) == total


@law
@pytest.mark.parametrize("tokens", [0, 1, 7, 40])
def test_perceiver_resampler_answers_with_as_many_tokens_as_latents(tokens):
    """However many tokens the picture has, even none: the latents have each other."""
    out = resample(random_arrays(3)(2, tokens, DIM))
    assert out.shape == (2, LATENTS, DIM) and np.isfinite(out).all()
    assert resample(PICTURE[:0]).shape == (0, LATENTS, DIM)


@law
def test_perceiver_resampler_does_not_know_the_order_of_the_picture():
    """Latents have names, the picture's tokens are a set."""
    assert_close(resample(PICTURE[:, [3, 1, 6, 0, 2, 5, 4]]), resample())


@law
def test_perceiver_resampler_of_a_hidden_token_is_that_of_a_shorter_picture():
    """The latents stay in sight, whatever of the picture is hidden."""
    mask = np.array([True] * 5 + [False] * 2)[None]
    assert_close(resample(picture_mask=mask), resample(PICTURE[:, :5]))


@law
def test_latent_queries_are_attention_pooling():
    """The source's resampler is a pool with several probes; there is nothing else."""
    shapes = {n: s for n, s in PLAIN.items() if "_proj_weight" not in n}
    shapes["attention.in_proj_weight"] = (3 * DIM, DIM)
    tensors = random_weights(shapes)
    out = latent_queries(PICTURE, Weights(tensors), HEADS)
    pool = Weights(tensors | {"probe": tensors["latents"][None]})
    np.testing.assert_array_equal(out, attention_pool(PICTURE, pool, HEADS))


@law
def test_perceiver_resampler_keeps_the_dtype():
    """float32 in, float32 out, with the answer of float64."""
    weights = Weights({n: a.astype(np.float32) for n, a in TENSORS.items()})
    out = resample(PICTURE.astype(np.float32), weights)
    assert_close(out, resample().astype(np.float32))


def idefics(torch, tensors, normed):
    import_torchvision()
    from transformers import IdeficsConfig
    from transformers.models.idefics.perceiver import IdeficsPerceiverResampler

    config = IdeficsConfig(
        vision_config={"embed_dim": DIM},
        perceiver_config={"qk_layer_norms_perceiver": normed},
    )
    module = IdeficsPerceiverResampler(config, DIM, DEPTH, HEADS, SIZE, LATENTS)
    module = module.double()
    module.load_state_dict({n: torch.from_numpy(a.copy()) for n, a in tensors.items()})
    return module


@oracle
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "normed heads"])
def test_perceiver_resampler_equals_idefics(compare, normed):
    """transformers' IdeficsPerceiverResampler, in its names, every parameter random."""
    tensors = random_weights(SHAPES | (NORMS if normed else {}), seed=4)

    def ask(torch):
        out = idefics(torch, tensors, normed)(torch.from_numpy(PICTURE))
        return {"out": out.detach().numpy()}

    expected = compare.answers(ask, (tensors, PICTURE))["out"]
    assert expected.std(axis=0).mean() > 0.1  # the two pictures tell themselves apart
    assert_close(resample(weights=Weights(tensors)), expected)


@oracle
def test_latent_queries_equal_torch(compare):
    """nn.MultiheadAttention asked by a parameter, some of the picture hidden."""
    tensors = random_weights(PLAIN, seed=5)
    picture = random_arrays(6)(2, 7, 5)
    kept = np.arange(7) < np.array([[7], [4]])

    def ask(torch):
        module = torch.nn.MultiheadAttention(
            *(DIM, HEADS), kdim=5, vdim=5, batch_first=True
        ).double()
        state = {n: torch.from_numpy(a.copy()) for n, a in tensors.items()}
        latents = state.pop("latents").expand(2, -1, -1)
        module.load_state_dict({n.partition(".")[2]: a for n, a in state.items()})
        seen = torch.from_numpy(picture)
        hides = torch.from_numpy(~kept)
        out, _ = module(latents, seen, seen, key_padding_mask=hides)
        return {"out": out.detach().numpy()}

    expected = compare.answers(ask, (tensors, picture, kept))["out"]
    mask = kept[:, None, None]
    assert_close(latent_queries(picture, Weights(tensors), HEADS, mask), expected)


@derivative
def test_perceiver_resampler_derivative(compare):
    """Every weight's gradient, the latents' and the picture's: torch.autograd's."""

    def ask(torch):
        module, seen = idefics(torch, TENSORS, False), torch.from_numpy(PICTURE.copy())
        seen.requires_grad_()
        (module(seen) ** 3).sum().backward()
        named = dict(module.named_parameters()) | {"picture": seen}
        return {name: tensor.grad.numpy() for name, tensor in named.items()}

    answers = compare.answers(ask, (TENSORS, PICTURE), of_one_scale=True)

    def loss(leaves):
        return (resample(leaves["picture"], Weights(leaves)) ** 3).sum()

    found = value_and_grad(loss)(TENSORS | {"picture": PICTURE})[1]
    scale = max(np.abs(answer).max() for answer in answers.values())
    for name, answer in answers.items():
        assert np.abs(found[name] - answer).max() <= 1e-12 * scale, name


@contract
def test_resamplers_refuse_what_does_not_fit():
    """Widths, heads, depth and masks, each by its name."""
    with pytest.raises(
        ShapeError, match=r"picture is \(2, 7, 5\), but latents reads 6"
    ):
        resample(PICTURE[..., :5])
    with pytest.raises(ShapeError, match="8 features do not split into 3 heads"):
        perceiver_resampler(PICTURE, WEIGHTS, 3, DEPTH)
    with pytest.raises(ValueError, match="depth must be a whole number"):
        perceiver_resampler(PICTURE, WEIGHTS, HEADS, -1)
    with pytest.raises(ShapeError, match=r"picture_mask is \(2, 3\)"):
        resample(picture_mask=np.ones((2, 3), bool))
    plain = Weights(random_weights(PLAIN))
    with pytest.raises(ShapeError, match=r"latent_queries: picture is \(2, 7, 6\)"):
        latent_queries(PICTURE, plain, HEADS)
    with pytest.raises(ShapeError, match="latent_queries: 6 features .* 4 heads"):
        latent_queries(PICTURE[..., :5], plain, 4)
    with pytest.raises(ShapeError, match=r"latent_queries: picture_mask is \(2, 7\)"):
        latent_queries(PICTURE[..., :5], plain, HEADS, np.ones((2, 7), bool))
