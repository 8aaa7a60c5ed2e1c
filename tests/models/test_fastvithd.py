"""The spec of refvlm/models/fastvithd.py, its configuration and its table."""

from dataclasses import replace

import numpy as np
import pytest

from refvlm.autodiff import Variable, backward
from refvlm.blocks.training_mode import Training, is_statistic
from refvlm.checkpoint import Weights, expect
from refvlm.models import fastvithd
from refvlm.models.fastvithd import FastViTHDConfig, expected_shapes
from refvlm.models.fields import ConfigError

from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..timm_oracles import (
    TOLERANCE,
    assert_seen_alike,
    cotangent,
    flat,
    learning_answers,
    see_through,
    timm_module,
)
from ..weights import random_weights

REAL = FastViTHDConfig()

# Every kind of stage, odd depths, a stage without downsampling at the start and one at
# the end; the second stage keeps its number of channels and is halved nevertheless.
TINY = {
    "as FastViTHD": FastViTHDConfig(
        layers=(1, 3, 1, 1, 3), embed_dims=(4, 4, 8, 32, 64), inference_mode=False
    ),
    "last stage not halved": FastViTHDConfig(
        layers=(1, 1, 3, 1),
        embed_dims=(4, 8, 32, 32),
        mlp_ratios=(3, 2, 2, 1.5),
        token_mixers=("repmixer", "repmixer", "attention", "attention"),
        downsamples=(False, True, True, False),
        pos_embs=(False, False, True, True),
        stem_use_scale_branch=True,
        inference_mode=False,
    ),
}
SIZE = (70, 93)  # rounds up at every halving


@pytest.fixture(params=TINY.values(), ids=TINY.keys())
def tiny(request):
    """(config, weights with branches, pixels)."""
    config = request.param
    weights = Weights(random_weights(expected_shapes(config)))
    return config, weights, random_arrays(1)(2, 3, *SIZE, scale=0.3, shift=0.5)


def folded(config):
    return replace(config, inference_mode=True)


@example
def test_expected_shapes_count_the_published_parameters():
    """122,714,208 parameters, part by part as published; statistics do not count."""
    rows = fastvithd.trace_pieces(REAL, 1024, 1024)
    parts = {
        part: sum(row.parameters for row in rows if row.name.startswith(part))
        for part in ("stem", *(f"stages.{i}.blocks" for i in range(5)), "final_conv")
    }
    assert parts == {
        "stem": 12_960,
        "stages.0.blocks": 160_320,
        "stages.1.blocks": 3_693_312,
        "stages.2.blocks": 28_929_024,
        "stages.3.blocks": 28_498_944,
        "stages.4.blocks": 56_810_496,
        "final_conv": 1_213_632,
    }
    shapes = expected_shapes(REAL)
    counted = sum(int(np.prod(s)) for n, s in shapes.items() if not is_statistic(n))
    assert counted == sum(row.parameters for row in rows) == 122_714_208
    assert sum(name.endswith("mlp.conv.bn.weight") for name in shapes) == 44


@example
def test_trace_shapes_is_the_table_of_the_paper():
    """1024 x 1024 pixels become 16 x 16 tokens of 3072, for about 243 G products."""
    rows = fastvithd.trace_shapes(REAL, 1024, 1024)
    assert [(row.name, row.shape) for row in rows] == [
        ("stem", (96, 256, 256)),
        ("stages.0", (96, 256, 256)),
        ("stages.1", (192, 128, 128)),
        ("stages.2", (384, 64, 64)),
        ("stages.3", (768, 32, 32)),
        ("stages.4", (1536, 16, 16)),
        ("final_conv", (3072, 16, 16)),
    ]
    assert round(sum(row.flops for row in rows) / 2e9) == 243


@law
def test_trace_pieces_says_what_comes_out(tiny):
    """The table is right for each block, without running it."""
    config, weights, pixels = tiny
    ran = [
        (name, features.shape[1:])
        for name, features in fastvithd.pieces(pixels, weights, config)
    ]
    traced = fastvithd.trace_pieces(config, *SIZE)
    assert ran == [(row.name, row.shape) for row in traced]


@law
def test_stages_end_where_the_table_says(tiny):
    """`stages` shows the map at the end of each row of `trace_shapes`."""
    config, weights, pixels = tiny
    seen = fastvithd.stages(pixels, weights, config)
    traced = fastvithd.trace_shapes(config, *SIZE)
    assert [(name, x.shape[1:]) for name, x in seen] == [
        (row.name, row.shape) for row in traced
    ]


@law
def test_fold_leaves_the_output(tiny):
    """Inference and training form are one function: equal to the last digits."""
    config, weights, pixels = tiny
    simple = fastvithd.fold(weights, config)
    assert simple.shapes() == dict(expected_shapes(folded(config)))
    assert_close(
        fastvithd.fastvithd(pixels, simple, folded(config)),
        fastvithd.fastvithd(pixels, weights, config),
        1e-12,
    )


@law
def test_fold_leaves_folded_weights_alone(tiny):
    """Folding twice is folding once."""
    config, weights, _ = tiny
    once = fastvithd.fold(weights, config)
    twice = fastvithd.fold(once, folded(config))
    assert all(twice[name] is once[name] for name in once)


@law
def test_prepare_leaves_the_output(tiny):
    """Without any batch norm the tower says the same; and the rest stays as it was."""
    config, weights, pixels = tiny
    whole = Weights({f"tower.{name}": weights[name] for name in weights}).add(
        {"lm_head.weight": np.ones(3)}
    )
    ready = fastvithd.prepare(whole, config, "tower")
    assert ready["lm_head.weight"] is whole["lm_head.weight"]
    assert not any(".bn." in name or is_statistic(name) for name in ready)
    assert_close(
        fastvithd.fastvithd(pixels, ready.scope("tower"), config),
        fastvithd.fastvithd(pixels, weights, config),
        1e-12,
    )


@law
def test_fastvithd_rows_of_a_batch_do_not_mix(tiny):
    """At inference each picture is on its own; while learning, statistics mix them."""
    config, weights, pixels = tiny
    together = fastvithd.fastvithd(pixels, weights, config)
    alone = fastvithd.fastvithd(pixels[1:], weights, config)
    assert_close(together[1:], alone, 1e-12)
    learning = fastvithd.fastvithd(pixels, weights, config, Training())
    assert np.abs(learning - together).max() > 0.1


@law
def test_fastvithd_keeps_the_dtype(tiny):
    """float32 in, float32 out, within what float32 can say."""
    config, weights, pixels = tiny
    single = Weights({name: weights[name].astype(np.float32) for name in weights})
    out = fastvithd.fastvithd(pixels.astype(np.float32), single, config)
    expected = fastvithd.fastvithd(pixels, weights, config)
    assert_close(out, expected.astype(np.float32), 1e-4)


@law
def test_fastvithd_reports_each_block(tiny):
    """A long encoding says how far it is: 1, 2, ... of as many blocks as there are."""
    config, weights, pixels = tiny
    seen = []
    fastvithd.fastvithd(
        pixels, weights, config, progress=lambda *step: seen.append(step)
    )
    blocks = len(fastvithd.trace_pieces(config, *SIZE))
    assert seen == [(done, blocks) for done in range(1, blocks + 1)]


@law
def test_fastvithd_learns_the_same_with_the_same_generator(tiny):
    """Stochastic depth is noise from the generator, and from nowhere else."""
    config, weights, pixels = tiny
    deep = replace(config, drop_path_rate=0.5)
    first, again, other = (
        fastvithd.fastvithd(
            pixels, weights, deep, Training(np.random.default_rng(seed))
        )
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@law
def test_drop_rates_rise_evenly():
    """The first block is never dropped, the last with the rate that is asked for."""
    config = FastViTHDConfig(drop_path_rate=0.3)
    rates = np.concatenate(config.drop_rates())
    assert_close(rates, np.linspace(0, 0.3, 44))
    assert [len(stage) for stage in config.drop_rates()] == [2, 12, 24, 4, 2]


def build(config):
    """The same tower as a timm module, which gives maps."""

    def with_features(fastvit):
        encoding, norm = fastvit.RepConditionalPosEnc, fastvit.LayerNorm2d
        tower = fastvit.FastVit(
            layers=config.layers,
            token_mixers=config.token_mixers,
            embed_dims=config.embed_dims,
            mlp_ratios=config.mlp_ratios,
            downsamples=config.downsamples,
            se_downsamples=(False,) * len(config.layers),
            pos_embs=tuple(encoding if wanted else None for wanted in config.pos_embs),
            lkc_use_act=config.lkc_use_act,
            stem_use_scale_branch=config.stem_use_scale_branch,
            norm_layer=lambda dim, **options: norm(dim, eps=1e-5, **options),
            num_classes=0,
        )
        tower.forward = tower.forward_features
        return tower

    return with_features


@pytest.fixture
def ask_timm(compare, tiny):
    """What timm's tower with the same tensors says, to a question (torch, module)."""
    config, weights, pixels = tiny
    tensors = dict(weights)

    def ask_timm(question):
        def ask(torch):
            return question(torch, timm_module(torch, build(config), tensors).eval())

        return compare.answers(ask, (tensors, pixels), TOLERANCE)

    return ask_timm


@oracle
def test_fastvithd_equals_timm(tiny, ask_timm):
    """Every kind of stage, every parameter random: 1e-9 in float64, 1e-4 in float32."""
    config, weights, pixels = tiny

    def question(torch, module):
        with torch.no_grad():
            features = module(torch.from_numpy(pixels))
        return {"features": features.flatten(2).mT.numpy().copy()}

    expected = ask_timm(question)["features"]
    assert expected.std() > 0.1, "an oracle that says nothing proves nothing"
    out = fastvithd.fastvithd(pixels, weights, config)
    assert_close(out, expected, TOLERANCE)
    single = Weights({name: weights[name].astype(np.float32) for name in weights})
    out = fastvithd.fastvithd(pixels.astype(np.float32), single, config)
    assert_close(out, expected.astype(np.float32), 1e-4)


@oracle
def test_fold_equals_timm(tiny, ask_timm):
    """timm's reparameterised model has the same weights under the same names."""
    config, weights, _ = tiny

    def question(torch, module):
        from timm.utils import reparameterize_model

        state = reparameterize_model(module).state_dict()
        names = [name for name in state if not name.endswith("num_batches_tracked")]
        return {"seen": see_through({name: state[name].numpy() for name in names})}

    simple = fastvithd.fold(weights, config)
    assert_seen_alike(see_through(dict(simple)), ask_timm(question)["seen"])


@derivative
def test_fastvithd_learns_as_timm_does(tiny, ask_timm):
    """In train mode: the features, the gradient of each parameter, new statistics."""
    config, weights, pixels = tiny
    answers = ask_timm(
        lambda torch, module: learning_answers(torch, module, dict(weights), pixels)
    )
    learnt = {n: Variable(weights[n]) for n in weights if not is_statistic(n)}
    leaves, training = learnt | {"x": Variable(pixels)}, Training()
    out = fastvithd.fastvithd(leaves["x"], weights.replace(learnt), config, training)
    expected = answers["train"]
    assert_close(
        out.value, expected.reshape(*expected.shape[:2], -1).swapaxes(1, 2), TOLERANCE
    )
    d_map = cotangent(expected.shape)
    found = backward(out, d_map.reshape(*d_map.shape[:2], -1).swapaxes(1, 2))
    gradients = {name: found[leaf] for name, leaf in leaves.items()}
    assert_seen_alike(see_through(gradients), answers["gradients"], 1e-7)
    assert_close(flat(training.statistics), answers["statistics"], TOLERANCE)
    assert set(training.statistics) == {n for n in weights if is_statistic(n)}


@oracle
def test_trace_shapes_counts_as_pytorch_does(compare):
    """PyTorch's FlopCounterMode on the folded tower counts the same."""
    config = folded(TINY["as FastViTHD"])

    def ask(torch):
        from torch.utils.flop_counter import FlopCounterMode

        branches = random_weights(expected_shapes(TINY["as FastViTHD"]))
        module = timm_module(torch, build(config), branches).eval()
        from timm.utils import reparameterize_model

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            reparameterize_model(module)(torch.zeros(1, 3, *SIZE, dtype=torch.float64))
        return {"flops": np.array([counter.get_total_flops()])}

    (counted,) = compare.answers(ask, SIZE)["flops"]
    assert sum(row.flops for row in fastvithd.trace_shapes(config, *SIZE)) == counted


@example
def test_from_json_reads_what_transformers_writes():
    """`fastvit_mci3` is the default; `model_args` says what differs from it."""
    written = {
        "model_type": "timm_wrapper",
        "architecture": "fastvit_mci3",
        "do_pooling": True,
        "hidden_size": 3072,
        "model_args": {"inference_mode": True},
    }
    assert FastViTHDConfig.from_json(written) == REAL
    small = FastViTHDConfig.from_json(
        {
            "architecture": "fastvit_mci3.apple_mclip2_dfndr2b",
            "model_args": {"layers": [2, 2], "embed_dims": [8, 16]},
        }
    )
    assert small.layers == (2, 2) and small.pos_embs == (False, False)
    assert small.width == 32 and not small.inference_mode


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"architecture": "resnet50"}, "architecture is 'resnet50'"),
        ({"hidden_size": 100}, "hidden_size is 100, but .* 3072"),
        ({"model_args": 3}, "model_args must be an object"),
        ({"model_args": {"layers": []}}, "layers must be a list"),
        ({"model_args": {"layers": [0, 1, 1, 1, 1]}}, "layers must be a whole number"),
        ({"model_args": {"layers": [1] * 6}}, "embed_dims must be a list"),
        ({"model_args": {"layers": [1000] * 5}}, "5000 blocks are more than 1024"),
        ({"model_args": {"token_mixers": ["pool"] * 5}}, "token_mixers is 'pool'"),
        ({"model_args": {"se_downsamples": [True]}}, "se_downsamples is not"),
        ({"model_args": {"pos_embs": ["x"]}}, "pos_embs is not implemented"),
        ({"model_args": {"fork_feat": True}}, "'fork_feat', which is not"),
        ({"model_args": {"layer_scale_init_value": None}}, "layer_scale_init_value"),
        ({"model_args": {"embed_dims": [4, 6, 8, 32, 64]}}, "4 channels .* become 6"),
        ({"model_args": {"embed_dims": [4, 8, 8, 8, 8]}}, "8 channels .* heads of 32"),
        ({"model_args": {"cls_ratio": 1.3}}, "cls_ratio must be a whole number"),
        ({"model_args": {"repmixer_kernel_size": 4}}, "odd size"),
        ({"model_args": {"in_chans": 1}}, "in_chans is 1"),
    ],
)
def test_from_json_refuses_what_it_cannot_build(change, message):
    """Each wrong entry is named, with what was expected."""
    written = {"architecture": "fastvit_mci3", "model_args": {"inference_mode": True}}
    with pytest.raises(ConfigError, match=message):
        FastViTHDConfig.from_json(written | change)


@contract
def test_fastvithd_refuses_pictures_of_another_kind(tiny):
    """A greyscale batch, or one picture without a batch, is a clear error."""
    config, weights, pixels = tiny
    with pytest.raises(ValueError, match="pixels is .* needs 3"):
        fastvithd.fastvithd(pixels[:, :1], weights, config)
    with pytest.raises(ValueError, match="pixels is .* 4 axes"):
        fastvithd.fastvithd(pixels[0], weights, config)


@contract
def test_expected_shapes_find_a_missing_branch(tiny):
    """Folded weights do not fit a configuration that says they are not."""
    config, weights, _ = tiny
    with pytest.raises(ValueError, match="missing"):
        expect(fastvithd.fold(weights, config), expected_shapes(config))
