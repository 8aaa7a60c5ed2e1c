"""What a slip gets: an error that names the function and the argument.

A list for an array, whole numbers for floating ones, an axis that is not there: none
may end in a wrong answer, nor in an error that speaks of the inside of a function.
"""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import Variable

from ..spec import contract, law

ROWS = np.ones((3, 5))
PICTURE = np.ones((1, 4, 6, 6))
FILTERS = np.ones((8, 4, 3, 3))

WRONG = {
    "conv2d: weight": lambda: ops.conv2d(PICTURE, None),
    "conv2d: groups": lambda: ops.conv2d(PICTURE, FILTERS, groups=2.0),
    "conv2d: stride": lambda: ops.conv2d(PICTURE, FILTERS, stride=-1),
    "conv2d: dilation": lambda: ops.conv2d(PICTURE, FILTERS, dilation=(1, 0)),
    "conv2d: padding": lambda: ops.conv2d(PICTURE, FILTERS, padding=((1, 1),)),
    "conv2d: a window": lambda: ops.conv2d(PICTURE[..., :2], FILTERS),
    "conv2d: x holds uint8": lambda: ops.conv2d(PICTURE.astype(np.uint8), FILTERS),
    "conv3d: weight": lambda: ops.conv3d(PICTURE, FILTERS),
    "conv_transpose2d: stride": lambda: ops.conv_transpose2d(
        np.ones((8, 6, 6)), FILTERS, stride=-1
    ),
    "conv_transpose2d: bias": lambda: ops.conv_transpose2d(
        np.ones((8, 6, 6)), FILTERS, bias=[1.0] * 4
    ),
    "unfold: kernel_size": lambda: ops.unfold(PICTURE, 0),
    "fold: output_size": lambda: ops.fold(ROWS, 0, 2),
    "max_pool2d: kernel_size": lambda: ops.max_pool2d(PICTURE, None),
    "avg_pool2d: stride": lambda: ops.avg_pool2d(PICTURE, 2, stride=-1),
    "adaptive_avg_pool2d: output_size": lambda: ops.adaptive_avg_pool2d(
        PICTURE, (1, 2, 3)
    ),
    "global_avg_pool2d: x": lambda: ops.global_avg_pool2d(PICTURE[..., :0]),
    "layer_norm: weight": lambda: ops.layer_norm(ROWS, (5,), [1.0] * 5),
    "group_norm: num_groups": lambda: ops.group_norm(PICTURE, 2.0),
    "batch_norm_statistics: running_mean": lambda: ops.batch_norm_statistics(
        ROWS, None, None
    ),
    "softmax: dim": lambda: ops.softmax(np.array(1.0), dim=1),
    "log_softmax: dim": lambda: ops.log_softmax(ROWS, dim="rows"),
    "logsumexp: dim": lambda: ops.logsumexp(ROWS, (0, 0)),
    "normalize: dim": lambda: ops.normalize(np.ones(3)),
    "normalize: p": lambda: ops.normalize(ROWS, p="two"),
    "cosine_similarity: dim": lambda: ops.cosine_similarity(ROWS, ROWS, dim=2),
    "cosine_similarity_matrix: b": lambda: ops.cosine_similarity_matrix(ROWS, [[1.0]]),
    "swish: beta": lambda: ops.swish(ROWS, np.ones(4)),
    "matmul: a": lambda: ops.matmul([1.0], ROWS),
    "linear: weight": lambda: ops.linear(ROWS, ROWS[:, :2]),
    "topk: k": lambda: ops.topk(ROWS, 1.5),
    "topk: dim": lambda: ops.topk(ROWS, 1, dim=7),
    "argmax: dim": lambda: ops.argmax(ROWS, dim=2),
    "gather: dim": lambda: ops.gather(ROWS, 5, np.zeros((3, 5), int)),
    "gather: x": lambda: ops.gather(ROWS, 1, np.zeros(3, int)),
    "masked_mean: dim": lambda: ops.masked_mean(ROWS, np.ones((3, 5)), 5),
    "masked_mean: a mask": lambda: ops.masked_mean(ROWS, np.full((3, 5), 0.5), 1),
    "dropout: rng must be a numpy.random.Generator": lambda: ops.dropout(ROWS, rng=0),
    "dropout_mask: dtype": lambda: ops.dropout_mask(
        np.random.default_rng(0), 3, dtype=int
    ),
    "attention_weights: attn_mask": lambda: ops.attention_weights(
        ROWS, ROWS, np.ones((3, 4), bool)
    ),
    "attention_weights: scale": lambda: ops.attention_weights(
        ROWS, ROWS, scale="small"
    ),
    "attention_weights: query": lambda: ops.attention_weights(ROWS[:, :0], ROWS[:, :0]),
    "causal_mask: offset": lambda: ops.causal_mask(2, 3, offset=0.5),
    "additive_mask: mask": lambda: ops.additive_mask([True]),
    "combine_masks: masks": lambda: ops.combine_masks(np.ones(3, int)),
    "position_frequencies: dim": lambda: ops.position_frequencies("four"),
    "sinusoidal_positions: length": lambda: ops.sinusoidal_positions(-3, 4),
    "add_positions: offset": lambda: ops.add_positions(ROWS, ROWS, offset=0.0),
    "rotary_angles: positions": lambda: ops.rotary_angles("here", 4),
    "apply_rotary: sin": lambda: ops.apply_rotary(ROWS[:, :4], ROWS[:, :2], None),
    "patchify: patch_size": lambda: ops.patchify(PICTURE, 0.5),
    "unpatchify: output_size": lambda: ops.unpatchify(ROWS, "all", 2),
    "patch_embedding: weight": lambda: ops.patch_embedding(PICTURE, ROWS),
    "flatten_maps: maps": lambda: ops.flatten_maps(ROWS),
    "prepend_tokens: prefix": lambda: ops.prepend_tokens(ROWS, ROWS[:, :2]),
    "interpolate_positions: new_size": lambda: ops.interpolate_positions(
        ROWS, (2, 2, 2)
    ),
}


@contract
@pytest.mark.parametrize("says", WRONG)
def test_operators_name_the_function_and_the_argument(says):
    """The first words of the message are where to look."""
    with pytest.raises((ValueError, TypeError), match=f"^{says}"):
        WRONG[says]()


@contract
def test_scaled_dot_product_attention_says_what_does_not_fit():
    """Heads, masks and noise: each is refused by its name."""
    attend = ops.scaled_dot_product_attention
    heads = np.ones((1, 4, 3, 5))
    for says, call in {
        "do not broadcast": lambda: attend(heads, heads[:, :2], heads[:, :2]),
        "no multiple of": lambda: attend(
            heads[:, :3], heads[:, :2], heads[:, :2], enable_gqa=True
        ),
        "heads of value": lambda: attend(
            heads[:, :3], heads[:, :1], heads[:, :2], enable_gqa=True
        ),
        "dropout_p needs its mask": lambda: attend(ROWS, ROWS, ROWS, dropout_p=0.5),
        "dropout_mask is": lambda: attend(ROWS, ROWS, ROWS, dropout_mask=ROWS),
        "attn_mask is": lambda: attend(ROWS, ROWS, ROWS, np.ones((2, 1, 3), bool)),
    }.items():
        with pytest.raises(
            ValueError, match=f"^scaled_dot_product_attention: .*{says}"
        ):
            call()


@law
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_nothing_is_nothing(name):
    """A row without scores has no probabilities; there is nothing to refuse."""
    assert getattr(ops, name)(np.ones((3, 0))).shape == (3, 0)
    assert ops.logsumexp(np.ones((3, 0)), -1).tolist() == [-np.inf] * 3


@contract
def test_operators_refuse_a_variable_as_they_refuse_an_array():
    """The tape takes another way through an operator, and the checks stand on both."""
    with pytest.raises(ValueError, match="softmax: dim is 2"):
        ops.softmax(Variable(ROWS), dim=2)
    with pytest.raises(TypeError, match="conv2d: weight must be an array"):
        ops.conv2d(Variable(PICTURE), None)


@law
@pytest.mark.parametrize(
    "call",
    [
        lambda x, number: ops.swish(x, beta=number),
        lambda x, number: ops.normalize(x, eps=number),
        lambda x, number: ops.cosine_similarity(x, x, eps=number),
        lambda x, number: ops.attention_weights(x, x, scale=number),
        lambda x, number: ops.scaled_dot_product_attention(x, x, x, scale=number),
        lambda x, number: ops.layer_norm(x, (5,), eps=number),
        lambda x, number: ops.rms_norm(x, (5,), eps=number),
        lambda x, number: ops.batch_norm(x, x[0], x[0], eps=number),
        lambda x, number: ops.dropout(x, number, rng=np.random.default_rng(0)),
    ],
)
def test_operators_are_not_widened_by_a_number_of_numpy(call):
    """np.float64(2) times a float32 array would be float64; 2.0 times it is not."""
    assert call(ROWS.astype(np.float32), np.float64(0.5)).dtype == np.float32
