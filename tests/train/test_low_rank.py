"""The spec of refvlm/train/low_rank.py."""

import json
import math

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import CheckpointError, MissingTensorError, Weights, save
from refvlm.models.qwen2 import Qwen2Config, expected_shapes, qwen2
from refvlm.train import low_rank
from refvlm.train.optimizers import AdamW

from ..spec import assert_close, contract, derivative, example, law, oracle
from ..spec import random_arrays as arrays
from ..weights import random_weights

CONFIG = Qwen2Config(
    vocab_size=11,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
)
PATTERNS = ("*.q_proj.weight", "*.v_proj.weight", "*.down_proj.weight")


def a_decoder(seed=1):
    """The weights of a Qwen2 of two layers."""
    return Weights(random_weights(expected_shapes(CONFIG), seed))


def run(weights, tokens=5):
    """Its final hidden states for random embeddings."""
    return qwen2(arrays(2)(2, tokens, CONFIG.hidden_size), weights, CONFIG)


def adapters_for(weights, rank=2, used=True):
    """Adapters of q, v and down; where `used`, B has moved away from zero."""
    adapters = low_rank.add_lora(weights, PATTERNS, rank, np.random.default_rng(0))
    draw = arrays(3)
    return {
        name: draw(*array.shape, scale=0.3) if used and ".lora_B." in name else array
        for name, array in adapters.items()
    }


@example
def test_add_lora_of_one_matrix():
    """3 x 5 gets an A of 2 x 5 and a B of 3 x 2: 16 numbers beside 15. Only where
    matrices are large is it a bargain."""
    weights = {"head.weight": np.ones((3, 5)), "head.bias": np.ones(3)}
    rng = np.random.default_rng(0)
    adapters = low_rank.add_lora(weights, ["*.weight"], 2, rng)
    assert {name: array.shape for name, array in adapters.items()} == {
        "head.lora_A.weight": (2, 5),
        "head.lora_B.weight": (3, 2),
    }


@example
def test_with_lora_of_one_matrix():
    """W is 0 0, B A is (1, 3), and alpha / r is 2: (2, 6). The bias is not touched."""
    weights = {"head.weight": np.zeros((1, 2)), "head.bias": np.array([7.0])}
    adapters = {
        "head.lora_A.weight": np.array([[1.0, 3.0]]),
        "head.lora_B.weight": np.array([[1.0]]),
    }
    adapted = low_rank.with_lora(weights, adapters, alpha=2)
    np.testing.assert_array_equal(adapted["head.weight"], [[2.0, 6.0]])
    assert adapted["head.bias"] is weights["head.bias"]


@law
def test_add_lora_changes_nothing_at_first():
    """Every bit of a whole decoder's answer is as before."""
    weights = a_decoder()
    fresh = adapters_for(weights, used=False)
    np.testing.assert_array_equal(
        run(low_rank.with_lora(weights, fresh, 4.0)), run(weights)
    )


@law
def test_add_lora_counts_r_times_both_sides():
    """r (n_in + n_out) for every matrix; here 2 layers of q, v and down."""
    adapters = adapters_for(a_decoder(), rank=3)
    numbers = sum(array.size for array in adapters.values())
    assert numbers == 2 * 3 * ((8 + 8) + (8 + 4) + (12 + 8))


@law
def test_add_lora_draws_a_as_its_inputs_ask():
    """A's deviation is one over the root of n_in, so that A x is as large as x."""
    weights = {"weight": np.zeros((64, 400), np.float32)}
    adapters = low_rank.add_lora(weights, ["*"], 50, np.random.default_rng(0))
    a = adapters["lora_A.weight"]
    assert a.dtype == np.float32 and abs(a.std() * math.sqrt(400) - 1) < 0.02
    assert not adapters["lora_B.weight"].any()


@law
def test_with_lora_changes_the_adapted_matrices_and_no_others():
    """Everything else is the same array, not a copy of it."""
    weights = a_decoder()
    adapters = adapters_for(weights)
    adapted = low_rank.with_lora(weights, adapters, 4.0)
    changed = {name for name in weights if adapted[name] is not weights[name]}
    assert changed == set(low_rank.pairs(adapters)) and len(changed) == 6
    assert list(adapted) == list(weights)


@law
def test_merge_lora_says_what_weights_and_adapters_say():
    """Plain weights for any model that never heard of adapters."""
    weights = a_decoder()
    adapters = adapters_for(weights)
    merged = low_rank.merge_lora(weights, adapters, 4.0)
    assert all(type(array) is np.ndarray for array in merged.values())
    together = run(low_rank.with_lora(weights, adapters, 4.0))
    np.testing.assert_array_equal(run(Weights(merged)), together)
    assert np.abs(together - run(weights)).max() > 0.1


@law
def test_with_lora_gives_gradients_to_the_adapters_alone():
    """One for each A and B; the frozen weights stay arrays that nobody wrote to."""
    weights = a_decoder()
    before = {name: weights[name].copy() for name in weights}
    adapters = adapters_for(weights)

    def loss(adapters):
        adapted = low_rank.with_lora(weights, adapters, 4.0)
        return (run(adapted) ** 2).mean()

    _, gradients = value_and_grad(loss)(adapters)
    assert gradients.keys() == adapters.keys()
    assert all(np.abs(gradient).max() > 0 for gradient in gradients.values())
    for name, array in before.items():
        np.testing.assert_array_equal(weights[name], array)


@law
def test_with_lora_learns_what_a_thin_change_can():
    """A target that is a rank-2 change away is reached with r = 2 and not with 1."""
    draw = arrays(4)
    weight, x = draw(6, 7), draw(40, 7)
    target = x @ (weight + draw(6, 2) @ draw(2, 7)).T
    losses = {}
    for rank in (1, 2):
        adapters = low_rank.add_lora(
            {"weight": weight}, ["*"], rank, np.random.default_rng(1)
        )
        optimizer = AdamW(weight_decay=0.0)
        state = optimizer.init(adapters)
        step = value_and_grad(
            lambda adapters: (
                (
                    ops.linear(
                        x, low_rank.with_lora({"weight": weight}, adapters, 2)["weight"]
                    )
                    - target
                )
                ** 2
            ).mean()
        )
        for _ in range(400):
            losses[rank], gradients = step(adapters)
            adapters, state = optimizer.step(adapters, gradients, state, 0.03)
    assert losses[2] < 1e-4 and losses[1] > 0.1


@law
def test_load_lora_brings_back_what_save_lora_wrote(tmp_path):
    """Names, bits and alpha; and other readers find PEFT's names in the file."""
    adapters = adapters_for(a_decoder())
    low_rank.save_lora(tmp_path / "new", adapters, alpha=16)
    found, alpha = low_rank.load_lora(tmp_path / "new")
    assert alpha == 16 and found.keys() == adapters.keys()
    for name, array in adapters.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@oracle
def test_save_lora_writes_the_names_of_peft(compare, tmp_path):
    """`base_model.model.` before each name, read by the safetensors library."""
    adapters = adapters_for(a_decoder())
    low_rank.save_lora(tmp_path, adapters, alpha=16)

    def ask(torch):
        from safetensors.torch import load_file

        tensors = load_file(tmp_path / low_rank.TENSORS)
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    answers = compare.answers(ask, adapters)
    name = "base_model.model.layers.0.self_attn.q_proj.lora_A.weight"
    assert name in answers
    assert {low_rank.PREFIX + name for name in adapters} == answers.keys()
    config = json.loads((tmp_path / low_rank.CONFIG).read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 2, 16)
    assert "layers.1.mlp.down_proj" in config["target_modules"]


@oracle
def test_with_lora_equals_torch(compare):
    """A network of two maps, each with its thin one beside it, by functional_call:
    the loss and the gradients of every A and B."""
    draw = arrays(5)
    weights = {"0.weight": draw(6, 5), "0.bias": draw(6), "2.weight": draw(3, 6)}
    x, alpha = draw(4, 5), 3.0
    adapters = {
        name.replace("weight", f"lora_{side}.weight"): draw(*shape)
        for name in ("0.weight", "2.weight")
        for side, shape in zip(
            "AB", ((2, weights[name].shape[1]), (weights[name].shape[0], 2))
        )
    }

    def ask(torch):
        tensors = {n: torch.tensor(a) for n, a in weights.items()}
        leaves = {n: torch.tensor(a, requires_grad=True) for n, a in adapters.items()}
        for stem in "02":
            a, b = (leaves[f"{stem}.lora_{side}.weight"] for side in "AB")
            tensors[f"{stem}.weight"] = tensors[f"{stem}.weight"] + alpha / 2 * b @ a
        network = torch.nn.Sequential(
            torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3, bias=False)
        ).double()
        out = torch.func.functional_call(network, tensors, torch.tensor(x))
        loss = (out**2).mean()
        loss.backward()
        gradients = {n: leaf.grad.numpy() for n, leaf in leaves.items()}
        return {"loss": loss.detach().numpy(), **gradients}

    def ours(adapters):
        adapted = low_rank.with_lora(weights, adapters, alpha)
        hidden = ops.tanh(ops.linear(x, adapted["0.weight"], adapted["0.bias"]))
        return (ops.linear(hidden, adapted["2.weight"]) ** 2).mean()

    answers = compare.answers(ask, (weights, adapters, x, alpha))
    loss, gradients = value_and_grad(ours)(adapters)
    assert_close(loss, answers["loss"])
    for name, gradient in gradients.items():
        assert_close(gradient, answers[name])


@derivative
def test_with_lora_derivative_in_a_whole_decoder():
    """A step along each A and B changes the loss as its gradient says."""
    weights = a_decoder()
    adapters = adapters_for(weights)

    def loss(adapters):
        return (run(low_rank.with_lora(weights, adapters, 4.0), 3) ** 2).mean()

    _, gradients = value_and_grad(loss)(adapters)
    draw, step = arrays(6), 1e-6
    for name, array in adapters.items():
        along = draw(*array.shape)
        ahead = loss({**adapters, name: array + step * along})
        behind = loss({**adapters, name: array - step * along})
        expected = (ahead - behind) / (2 * step)
        assert abs((gradients[name] * along).sum() - expected) < 1e-6, name


@contract
def test_add_lora_refuses_what_is_no_matrix():
    """A bias is cheap to learn as it is, a convolution is no matrix."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"head.bias is \(3,\) of float64"):
        low_rank.add_lora({"head.bias": np.ones(3)}, ["*"], 1, rng)
    with pytest.raises(ValueError, match="no parameter is named like"):
        low_rank.add_lora(a_decoder(), ["*.q_porj.weight"], 1, rng)


@contract
@pytest.mark.parametrize("rank", [0, 4])
def test_add_lora_refuses_a_rank_that_is_none(rank):
    """A rank of 4 beside 3 x 5 is not thin; of 0, nothing."""
    with pytest.raises(ValueError, match="ranks of 1 to 3"):
        low_rank.add_lora(
            {"weight": np.ones((3, 5))}, ["*"], rank, np.random.default_rng(0)
        )


@contract
def test_with_lora_refuses_adapters_of_another_model():
    """A name that the model lacks, and an A without its B."""
    adapters = adapters_for(a_decoder())
    with pytest.raises(MissingTensorError, match="there is no tensor"):
        low_rank.with_lora({"weight": np.ones((2, 2))}, adapters, 1.0)
    name = next(iter(adapters))
    with pytest.raises(ValueError, match="is alone"):
        low_rank.with_lora(a_decoder(), {name: adapters[name]}, 1.0)


@contract
@pytest.mark.parametrize(
    "change, said",
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"lora_alpha": "16"}, "lora_alpha must be a number"),
        ({"r": 3}, "the config says rank 3"),
        ({"use_rslora": True}, "use_rslora is not implemented"),
    ],
)
def test_load_lora_refuses_what_it_would_misread(tmp_path, change, said):
    """Another scale or another method in a file that looks alike is one clear error."""
    low_rank.save_lora(tmp_path, adapters_for(a_decoder()), alpha=16)
    path = tmp_path / low_rank.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=said):
        low_rank.load_lora(tmp_path)


@contract
def test_load_lora_refuses_half_a_pair(tmp_path):
    """A file that holds an A without its B was cut, or is something else."""
    adapters = adapters_for(a_decoder())
    low_rank.save_lora(tmp_path, adapters, alpha=16)
    name = next(iter(adapters))
    save(tmp_path / low_rank.TENSORS, {low_rank.PREFIX + name: adapters[name]})
    with pytest.raises(ValueError, match="is alone"):
        low_rank.load_lora(tmp_path)


@contract
def test_save_lora_refuses_two_ranks(tmp_path):
    """The config has room for one."""
    rng = np.random.default_rng(0)
    adapters = {}
    for rank, name in enumerate("ab", 1):
        weights = {f"{name}.weight": np.ones((4, 4))}
        adapters |= low_rank.add_lora(weights, ["*"], rank, rng)
    with pytest.raises(ValueError, match=r"one rank for all adapters, not \[1, 2\]"):
        low_rank.save_lora(tmp_path, adapters, alpha=1)
