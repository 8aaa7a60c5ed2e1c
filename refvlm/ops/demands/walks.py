"""Of what walks a window over a picture: convolution, patches, pooling."""

from __future__ import annotations

from ...arguments import check_whole, per_axis
from ...kernels.windows import geometry, geometry_back
from ...shapes import ShapeError


def a_convolution(function, x, weight, stride, padding, dilation, groups):
    """Groups of channels as the weight reads them, and a window that fits."""
    axes = weight.ndim - 2
    c_in, (c_out, c_group) = x.shape[-axes - 1], weight.shape[:2]
    check_whole(function, least=1, groups=groups)
    if not c_out or c_out % groups or c_group * groups != c_in:
        raise ShapeError(
            f"{function}: weight {weight.shape} in {groups} groups reads "
            f"{c_group * groups} channels and makes {c_out}, "
            f"but x {x.shape} has {c_in}"
        )
    walk = stride, padding, dilation
    geometry(x.shape[-axes:], weight.shape[2:], *walk, name=function)


def a_mode_of_overlap(function, mode):
    """One of the three sizes that a convolution can have."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'{function}: mode is "full", "same" or "valid", not {mode!r}')


def a_way_back(
    function, x, weight, bias, stride, padding, output_padding, groups, dilation
):
    """Groups that divide the channels, a bias for each that is made, some result."""
    c_in, c_out = len(weight), weight.shape[1] * groups
    check_whole(function, least=1, groups=groups)
    if not c_in or c_in % groups:
        raise ShapeError(
            f"{function}: {c_in} channels of x do not divide into {groups} groups"
        )
    if bias is not None and bias.shape != (c_out,):
        raise ShapeError(
            f"{function}: bias is {bias.shape}, but weight {weight.shape} in {groups} "
            f"groups makes {c_out} channels"
        )
    walk = stride, padding, output_padding, dilation
    geometry_back(x.shape[-2:], weight.shape[2:], *walk, name=function)


def windows_that_fit(function, x, kernel_size, dilation, padding, stride):
    """A window, with the room that it needs."""
    geometry(x.shape[-2:], kernel_size, stride, padding, dilation, name=function)


def columns_of_windows(
    function, columns, output_size, kernel_size, dilation, padding, stride
):
    """As many columns as places, of as many rows as windows have."""
    size = per_axis(output_size, 2, f"{function}: output_size", least=1)
    walk = geometry(size, kernel_size, stride, padding, dilation, name=function)
    rows, places = columns.shape[-2:]
    (kh, kw), (height, width) = walk.kernel, walk.out
    if rows % (kh * kw) or places != height * width:
        raise ShapeError(
            f"{function}: columns is {columns.shape}, but windows of {walk.kernel} "
            f"over {size} have a multiple of {kh * kw} rows and {height * width} places"
        )


def patches_that_fit(function, x, patch_size):
    """A patch of some size, at least one of which the picture holds."""
    _patch(function, x.shape[-2:], patch_size, f"x {x.shape}")


def rows_of_patches(function, patches, output_size, patch_size):
    """As many rows as patches lie in the picture, of some channels each."""
    height, width = per_axis(output_size, 2, f"{function}: output_size", least=1)
    high, wide = _patch(function, (height, width), patch_size, "output_size")
    places, numbers = patches.shape[-2:]
    count = (height // high) * (width // wide)
    if places != count or numbers % (high * wide):
        raise ShapeError(
            f"{function}: patches is {patches.shape}, but a picture of {height} x "
            f"{width} in patches of {high} x {wide} has {count} rows, of a multiple of "
            f"{high * wide} numbers"
        )


def an_order_of_patches(function, order):
    """One of the two in which the numbers of a patch are laid out."""
    if order not in ("chw", "hwc"):
        raise ValueError(f'{function}: order is "chw" or "hwc", not {order!r:.60}')


def a_filter_that_fits(function, x, weight):
    """A patch of the size of the filters."""
    _patch(function, x.shape[-2:], weight.shape[2:], f"x {x.shape}")


def _patch(function, size, patch_size, where):
    """(height, width) of a patch that fits into a picture of `size`."""
    high, wide = per_axis(patch_size, 2, f"{function}: patch_size", least=1)
    if high > size[0] or wide > size[1]:
        raise ShapeError(
            f"{function}: a patch of {high} x {wide} does not fit into {where}, a "
            f"picture of {size[0]} x {size[1]}"
        )
    return high, wide


def window_of_max(function, x, kernel_size, stride, padding, dilation, ceil_mode):
    """A window that fits, and nowhere lies wholly in the padding."""
    walk = kernel_size if stride in (None, ()) else stride, padding, dilation, ceil_mode
    _pooling_window(function, x, kernel_size, *walk)


def window_of_mean(
    function, x, kernel_size, stride, padding, ceil_mode, divisor_override
):
    """The same, and something to divide by."""
    walk = kernel_size if stride in (None, ()) else stride, padding, 1, ceil_mode
    _pooling_window(function, x, kernel_size, *walk)
    if divisor_override == 0:
        raise ValueError(f"{function}: divisor_override must not be 0")


def _pooling_window(function, x, kernel_size, stride, padding, dilation, ceil_mode):
    options = stride, padding, dilation, ceil_mode
    walk = geometry(x.shape[-2:], kernel_size, *options, function)
    widths = per_axis(padding, 2, f"{function}: padding")
    reach = tuple(d * (k - 1) + 1 for k, d in zip(walk.kernel, walk.dilation))
    if any(2 * width > r for width, r in zip(widths, reach)):
        raise ValueError(
            f"{function}: padding {widths} is more than half of the window {reach}, "
            "which could then lie wholly outside the picture"
        )


def a_grid_of_windows(function, x, output_size):
    """Pixels, and at least one window for them along each axis."""
    if 0 in x.shape[-2:]:
        raise ShapeError(f"{function}: a picture without pixels has no mean")
    is_one = not isinstance(output_size, (tuple, list))
    sizes = (output_size,) * 2 if is_one else output_size
    if len(sizes) != 2:
        raise ValueError(
            f"{function}: output_size must be one number or 2: {output_size}"
        )
    named = [1 if size is None else size for size in sizes]
    per_axis(named, 2, f"{function}: output_size", least=1)


def pixels_to_average(function, x):
    """At least one."""
    if 0 in x.shape[-2:]:
        raise ShapeError(f"{function}: x {x.shape} has no pixels to average")
