"""What quantisation asks of its arguments beyond what shapes can say.

As in `ops.demands`, each names the arguments that it needs, `function` first where it
speaks for several, and raises an error that a student can act on. Bodies and kernels
take for granted what is checked here.
"""

from .blocks import (
    a_matrix_of_four_bits,
    a_share_of_the_normal,
    levels_are_numbers,
    nested_scales_fit,
    room_for_blocks,
    scales_to_quantize,
    whole_blocks,
)
from .grids import (
    codes_can_be_had,
    codes_can_be_read,
    one_for_each,
    scales,
    stored_as,
    zero_point_of,
)
from .groups import (
    groups_are_known,
    half_is_held_in_single,
    ranges_have_a_scale,
    rows_are_groups,
    words_and_scales_fit,
)
from .learning import (
    a_count_and_levels,
    each_with_its_rounding,
    levels_are_a_range,
    numbers_are_finite,
    numbers_to_begin_with,
    one_step_for_each,
    steps_have_a_size,
    zero_and_factor_are_finite,
    zero_is_a_level,
)
from .numbers import (
    a_float_of_eight_bits,
    a_range_to_span,
    codes_that_say_something,
    each_with_what_was_stored,
    eight_bits_each,
    finite,
    four_bits_each,
    no_number_is_nan,
)
from .packing import (
    bits_are_there,
    codes_fit,
    nibbles_are_there,
    nibbles_fit,
    trits_are_there,
    values_are_trits,
)
from .products import (
    a_convolution,
    a_product,
    a_requantized_convolution,
    a_requantized_product,
)
from .samples import (
    a_bin_for_each_level,
    a_state_of_the_same_places,
    averaging_is_a_share,
    bins_of_the_state,
    percentile_leaves_a_half,
    samples_to_measure,
)
from .ternary import (
    a_weight_to_round,
    three_values_and_a_scale,
    weights_have_a_mean,
)
