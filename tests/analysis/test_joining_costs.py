"""The spec of refvlm/analysis/joining_costs.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.analysis import joining_costs

from ..spec import contract, example, law, oracle

WIDTH, INNER, HEADS, LAYERS = 12, 20, 3, 4
few = st.integers(0, 40)


@example
def test_spliced_flops_of_one_word():
    """A word alone: each of 4 d^2 + 2 d f weights once, a product and a sum, and one
    score and one average of d numbers."""
    out = joining_costs.spliced_flops(0, 1, width=2, layers=1, inner=3)
    assert out == 2 * (4 * 4 + 2 * 2 * 3) + 4 * 2


@example
def test_crossed_flops_of_one_word_and_one_patch():
    """The word alone; its query and way out, the patch's key and value; a score and an
    average."""
    alone = joining_costs.spliced_flops(0, 1, width=2, layers=1, inner=3)
    out = joining_costs.crossed_flops(1, 1, width=2, layers=1, inner=3)
    assert out == alone + 4 * 2 * 2**2 + 4 * 2


@example
def test_crossed_flops_meet_spliced_flops_at_five_words_a_patch():
    """With a feed-forward of 4 d a layer has 12 d^2 weights. From the side a patch
    needs 2 of them and a word 14: without scores, 12 (m + t) = 2 m + 14 t at
    t = 5 m."""
    wide = 1 << 20  # the scores vanish beside the matrices
    sizes = {"width": wide, "layers": 1, "inner": 4 * wide}
    ratios = [
        joining_costs.crossed_flops(10, words, **sizes)
        / joining_costs.spliced_flops(10, words, **sizes)
        for words in (49, 50, 51)
    ]
    assert ratios[0] < 1 < ratios[2] and abs(ratios[1] - 1) < 1e-3


@law
@given(first=few, more=few, picture=few)
def test_crossed_flops_of_more_words_look_anew_and_find_what_is_there(
    first, more, picture
):
    """Words read later cost what they would have cost at once: of the picture, keys and
    values are there."""
    sizes = {"width": WIDTH, "layers": LAYERS, "inner": INNER}

    def flops(words):
        return joining_costs.crossed_flops(picture, words, **sizes)

    matrices = 2 * more * (6 * WIDTH**2 + 2 * WIDTH * INNER)
    pairs = more * first + more * (more + 1) // 2 + more * picture
    assert flops(first + more) - flops(first) == LAYERS * (matrices + 4 * WIDTH * pairs)


@law
@given(words=few, picture=few)
def test_crossed_flops_of_no_layer_that_looks_are_those_of_the_words(words, picture):
    """And half the layers look for half the price."""
    sizes = {"width": WIDTH, "layers": LAYERS, "inner": INNER}
    none, half, every = (
        joining_costs.crossed_flops(picture, words, **sizes, looking=looking)
        for looking in (0, 2, 4)
    )
    assert none == joining_costs.spliced_flops(0, words, **sizes)
    assert every - half == half - none


def torchs_count(compare, kind, picture):
    """PyTorch's counter on layers of its own, which counts every pair of words where
    causality needs about half of them: what is counted, less that."""
    words = 7

    def ask(torch):
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode

        layers = [
            getattr(torch.nn, kind)(WIDTH, HEADS, INNER, dropout=0.0, batch_first=True)
            for _ in range(LAYERS)
        ]
        row, memory = torch.zeros(1, words, WIDTH), torch.zeros(1, picture, WIDTH)
        counter = FlopCounterMode(display=False)
        with sdpa_kernel(SDPBackend.MATH), counter:  # no other is counted on a CPU
            for layer in layers:
                row = layer(row, memory) if picture else layer(row)
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, (words, picture, kind))["flops"])
    return counted - LAYERS * 4 * WIDTH * (words * (words - 1) // 2)


@oracle
def test_spliced_flops_equal_torchs_count(compare):
    """nn.TransformerEncoderLayer, to which a picture's tokens are words."""
    counted = torchs_count(compare, "TransformerEncoderLayer", picture=0)
    assert joining_costs.spliced_flops(2, 5, WIDTH, LAYERS, INNER) == counted


@oracle
def test_crossed_flops_equal_torchs_count(compare):
    """nn.TransformerDecoderLayer, which has the picture for its memory."""
    counted = torchs_count(compare, "TransformerDecoderLayer", picture=5)
    assert joining_costs.crossed_flops(5, 7, WIDTH, LAYERS, INNER) == counted


@contract
def test_joining_costs_refuse_what_counts_nothing():
    """Half a word, and layers that are none."""
    with pytest.raises(ValueError, match="spliced_flops: words"):
        joining_costs.spliced_flops(4, 0.5, WIDTH, LAYERS, INNER)
    with pytest.raises(ValueError, match="crossed_flops: layers"):
        joining_costs.crossed_flops(4, 1, WIDTH, 0, INNER)
    with pytest.raises(ValueError, match="crossed_flops: looking"):
        joining_costs.crossed_flops(4, 1, WIDTH, LAYERS, INNER, looking=-1)


@law
@pytest.mark.parametrize("whole", [np.int32, np.uint16])
def test_costs_do_not_overflow_with_numpys_integers(whole):
    """12 milliards of operations have no room in 32 bits."""
    arguments = 196, 32, 512, 8, 2048
    for count in (joining_costs.spliced_flops, joining_costs.crossed_flops):
        assert count(*map(whole, arguments)) == count(*arguments) > 2**31
    looking = joining_costs.crossed_flops(*arguments, looking=whole(3))
    assert looking == joining_costs.crossed_flops(*arguments, looking=3)
