"""Demands: what an operator asks of its arguments beyond what shapes can say.

Each is a check that names the arguments it needs, and raises an error that a student
can act on: `@shapes(demands.heads_fit, query="... q d", ...)`. Bodies and kernels take
for granted what is checked here. A demand that several operators make asks for
`function` first: the name of the one that it speaks of.
"""

from .choices import (
    as_many_as_there_are,
    entries_to_choose_from,
    floating_dtype,
    generator,
    length_has_a_power,
    mask_flags_entries,
    noise_has_a_source,
    places_are_there,
    probability,
)
from .features import (
    a_form_of_gelu,
    a_source_of_statistics,
    a_step_of_statistics,
    beta_that_fits,
    channels_with_spread,
    eps_is_a_size,
    eps_is_a_size_or_none,
    groups_of_channels,
    ids_of_rows,
    padding_of_a_row,
    sides_that_fit,
)
from .groups import groups_are_there
from .longer import (
    a_base_above_one,
    a_positive_attention_factor,
    a_positive_factor,
    a_positive_mscale,
    an_original_length,
    betas_of_yarn,
    lengths_are_counts,
    low_turns_are_below_high,
    more_than_one_pair,
)
from .matrices import (
    a_number_of_steps,
    a_relative_cutoff,
    a_scale_that_converges,
    a_symmetric_matrix,
    a_tolerance,
    finite_numbers,
    squares_in_range,
)
from .places import (
    a_positive_base,
    a_positive_theta,
    every_pair_has_an_angle,
    features_in_pairs,
    length_is_a_count,
    places_are_learnt,
    positions_are_a_grid,
    positions_are_numbers,
)
from .recurrence import a_direction, four_gates, lengths_of_rows
from .sight import (
    a_scale_of_scores,
    attn_mask_fits,
    dropout_mask_fits,
    heads_fit,
    lengths_fit,
    mask_is_no_bias,
    masks_combine,
    queries_and_keys_are_counts,
    text_is_behind_a_prefix,
    values_fit,
)
from .targets import (
    a_probability_for_each,
    a_target_for_each,
    a_target_for_each_row,
    border_is_a_size,
    smoothing_is_a_share,
    weights_repeat_over_scores,
)
from .walks import (
    a_convolution,
    a_filter_that_fits,
    a_grid_of_windows,
    a_mode_of_overlap,
    a_way_back,
    an_order_of_patches,
    columns_of_windows,
    patches_that_fit,
    pixels_to_average,
    rows_of_patches,
    window_of_max,
    window_of_mean,
    windows_that_fit,
)
