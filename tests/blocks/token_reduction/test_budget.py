"""The spec of refvlm/blocks/token_reduction/budget.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks.token_reduction import budget

from ...oracles import import_torchvision
from ...spec import contract, example, law, oracle


@example
@pytest.mark.parametrize("stride, tokens", [(64, 256), (32, 1024), (16, 4096)])
def test_n_tokens_of_1024_pixels(stride, tokens):
    """Halve the stride, and there are four times as many."""
    assert budget.n_tokens(1024, stride) == tokens


@example
@pytest.mark.parametrize(
    "name, tokens",
    [
        ("FastViTHD at 1024", 256),
        ("CLIP ViT-L/14 at 224", 257),
        ("CLIP ViT-L/14 at 336", 577),
        ("SigLIP-SO400M/14 at 384", 729),
        ("fastvlm-tiny", 16),
        ("clip-tiny", 65),
    ],
)
def test_n_tokens_of_known_towers(name, tokens):
    """As their papers and their config files say."""
    side, stride, beside = budget.TOWERS[name]
    assert budget.n_tokens(side, stride, beside) == tokens


@law
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40))
def test_n_tokens_counts_patches(height, width, stride):
    """Whole ones, or those that begin inside of the picture."""
    begun = len(range(0, height, stride)) * len(range(0, width, stride))
    assert budget.n_tokens((height, width), stride, partial=True) == begun
    if min(height, width) >= stride:
        ends = [len(range(stride, side + 1, stride)) for side in (height, width)]
        assert budget.n_tokens((height, width), stride, 2) == ends[0] * ends[1] + 2


@oracle
@pytest.mark.parametrize("name, beside", [("CLIP", 1), ("Siglip", 0)])
@pytest.mark.parametrize("side, patch", [(28, 14), (33, 14), (24, 8)])
def test_n_tokens_equals_transformers(compare, name, beside, side, patch):
    """What its towers give out; SigLIP's patch embedding drops what is left, too."""

    def ask(torch):
        import_torchvision()
        import transformers

        config = getattr(transformers, f"{name}VisionConfig")(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=side,
            patch_size=patch,
        )
        model = getattr(transformers, f"{name}VisionModel")(config).eval()
        with torch.no_grad():
            seen = model(torch.zeros(1, 3, side, side)).last_hidden_state
        return {"tokens": np.array(seen.shape[1])}

    answers = compare.answers(ask, (name, side, patch))
    assert budget.n_tokens(side, patch, beside) == answers["tokens"]


@oracle
@pytest.mark.parametrize("tokens, width, hidden", [(5, 8, 24), (64, 16, 64)])
def test_layer_flops_equal_torchs_count(compare, tokens, width, hidden):
    """PyTorch's counter, of a layer's products one by one."""

    def ask(torch):
        from torch.utils.flop_counter import FlopCounterMode

        x = torch.zeros(tokens, width)
        square, wide = torch.zeros(width, width), torch.zeros(width, hidden)
        with FlopCounterMode(display=False) as counter:
            queries, keys, values = x @ square, x @ square, x @ square
            mixed = (queries @ keys.T) @ values @ square
            _ = (mixed @ wide) @ wide.T
        return {"flops": np.array(counter.get_total_flops())}

    answers = compare.answers(ask, (tokens, width, hidden))
    assert budget.layer_flops(tokens, width, hidden) == answers["flops"]


@contract
def test_n_tokens_refuses_what_makes_none():
    """A picture smaller than a patch, and numbers that are no sizes."""
    with pytest.raises(ValueError, match="n_tokens: a picture of 8 x 20 has no whole"):
        budget.n_tokens((8, 20), 14)
    assert budget.n_tokens((8, 20), 14, partial=True) == 2
    with pytest.raises(ValueError, match="n_tokens: stride must be a whole number"):
        budget.n_tokens(224, 0)
    with pytest.raises(ValueError, match="n_tokens: size must be"):
        budget.n_tokens((224, 224, 3), 14)
    with pytest.raises(ValueError, match="n_tokens: beside must be a whole number"):
        budget.n_tokens(224, 14, -1)
    with pytest.raises(ValueError, match="layer_flops: tokens must be a whole number"):
        budget.layer_flops(0, 8, 8)


@law
@pytest.mark.parametrize("whole", [np.int32, np.uint16])
def test_counts_do_not_overflow_with_numpys_integers(whole):
    """15.9 milliards of operations have no room in 32 bits."""
    arguments = 576, 1024, 4096
    assert budget.layer_flops(*map(whole, arguments)) == 15854469120
    assert budget.n_tokens((60000, 60000), whole(1), whole(1)) == 60000**2 + 1
