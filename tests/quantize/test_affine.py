"""The spec of refvlm/quantize/affine.py and of what it asks, demands/grids.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import quantize
from refvlm.shapes import ShapeError

from ..spec import (
    FLOATING,
    assert_close,
    contract,
    example,
    law,
    oracle,
    random_arrays,
    shapes_of,
    tensors,
)

WHOLE = [name for name in quantize.FORMATS if "float" not in name]
SMALL = [name for name in quantize.FORMATS if "float" in name]
of_whole = pytest.mark.parametrize("name", WHOLE)
of_all = pytest.mark.parametrize("name", quantize.FORMATS)
some = tensors(shapes_of(2), low=-100, high=100)


def grid_over(x, name):
    """The affine grid that spans an array."""
    return quantize.affine_parameters(x.min(), x.max(), name)


def there_and_back(x, grid, name, **options):
    """x on a grid, as numbers again."""
    codes = quantize.quantize_linear(x, *grid, output_dtype=name, **options)
    return quantize.dequantize_linear(codes, *grid, dtype=name, **options)


@example
def test_quantize_linear_counts_halves_from_ten():
    """Steps of 0.5, and 0 is the code 10: the middles 0.25 and 0.75 go to the even
    steps 0 and 2, and 9 is beyond the last of sixteen codes."""
    x = np.array([-1.0, 0.0, 0.25, 0.75, 9.0])
    codes = quantize.quantize_linear(
        x, np.array(0.5), np.uint8(10), output_dtype="uint4"
    )
    np.testing.assert_array_equal(codes, [8, 10, 10, 12, 15])
    assert codes.dtype == np.uint8


@example
def test_dequantize_linear_of_the_same_codes():
    """s (q - z): what was clipped stays clipped, and the middles have moved."""
    codes = np.array([8, 10, 10, 12, 15], np.uint8)
    numbers = quantize.dequantize_linear(codes, np.array(0.5), np.uint8(10))
    np.testing.assert_array_equal(numbers, [-1, 0, 0, 1, 2.5])


@example
def test_dynamic_quantize_linear_of_255_steps():
    """From -20 to 82 a step is 0.4 long, and 50 of them are below 0."""
    y, scale, zero_point = quantize.dynamic_quantize_linear(
        np.array([-20.0, 0.0, 82.0])
    )
    np.testing.assert_array_equal(y, [0, 50, 255])
    assert scale == 0.4 and zero_point == 50


@law
@of_whole
@given(some)
def test_quantize_linear_errs_by_half_a_step(name, x):
    """On a grid over its range nothing is off by more, beside the scale's own
    rounding."""
    grid = grid_over(x, name)
    error = np.abs(there_and_back(x, grid, name) - x)
    assert (error <= grid.scale * (0.5 + 1e-9)).all()


@law
@of_whole
@given(some)
def test_quantize_linear_keeps_zero(name, x):
    """0 is one of the numbers of every grid: what is padded stays padded."""
    zeros = there_and_back(np.zeros_like(x), grid_over(x, name), name)
    assert not zeros.any()


@law
@of_whole
@given(some)
def test_quantize_linear_keeps_the_order(name, x):
    """x <= y stays so."""
    x = np.sort(x, axis=None)
    codes = quantize.quantize_linear(x, *grid_over(x, name), output_dtype=name)
    assert (np.diff(codes.astype(int)) >= 0).all()


@law
@of_all
def test_quantize_linear_of_what_was_dequantized_is_the_code(name):
    """Every code is itself again, whatever the step."""
    known = quantize.number_format(name)
    if name in WHOLE:
        codes = np.arange(known.low, known.high + 1).astype(known.storage)
        zero_point = np.array((known.low + known.high) // 2, known.storage)
    else:
        codes = np.arange(2**known.bits, dtype=np.uint8)
        zero_point = None
    for scale in (np.float32(0.1), np.float32(3e-30), np.float64(7e20)):
        numbers = quantize.dequantize_linear(codes, scale, zero_point, dtype=name)
        number = np.isfinite(numbers)
        assert number.sum() >= len(codes) - 8 and numbers.dtype == scale.dtype
        again = quantize.quantize_linear(
            numbers[number], scale, zero_point, output_dtype=name
        )
        np.testing.assert_array_equal(again, codes[number])


@law
@of_whole
@pytest.mark.parametrize("dtype", FLOATING)
def test_quantize_linear_saturates(name, dtype):
    """What is beyond the last code becomes it, however far, and nothing wraps."""
    known = quantize.number_format(name)
    most = np.finfo(dtype).max
    x = np.array([most, -most, most / 2], dtype)
    codes = quantize.quantize_linear(x, dtype(0.25), output_dtype=name)
    np.testing.assert_array_equal(codes, [known.high, known.low, known.high])


@law
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@of_all
def test_quantize_linear_along_an_axis_is_that_of_each_slice(name, axis):
    """One scale and zero point for each place, there and back."""
    x = random_arrays(3)(3, 4, 5, scale=3.0)
    rest = tuple({0, 1, 2} - {axis % 3})
    if name in WHOLE:
        grid = quantize.affine_parameters(x.min(rest), x.max(rest), name)
    else:
        grid = quantize.symmetric_parameters(np.abs(x).max(rest), name)
    codes = quantize.quantize_linear(x, *grid, axis, output_dtype=name)
    back = quantize.dequantize_linear(codes, *grid, axis, dtype=name)
    for place in range(x.shape[axis]):
        one = [np.take(each, place, axis) for each in (x, codes, back)]
        own = [each[place] for each in grid]
        slice_codes = quantize.quantize_linear(one[0], *own, output_dtype=name)
        np.testing.assert_array_equal(slice_codes, one[1])
        slice_back = quantize.dequantize_linear(one[1], *own, dtype=name)
        np.testing.assert_array_equal(slice_back, one[2])


@law
@pytest.mark.parametrize("block_size", [1, 2, 3, 4, 7, 9])
@of_whole
def test_quantize_linear_in_blocks_is_that_of_each_block(name, block_size):
    """Seven places in blocks, of which the last may be short or the only one."""
    x = random_arrays(4)(2, 7, 3)
    count = -(-7 // block_size)
    cuts = [x[:, i * block_size :][:, :block_size] for i in range(count)]
    low = np.stack([cut.min(1) for cut in cuts], 1)
    high = np.stack([cut.max(1) for cut in cuts], 1)
    grid = quantize.affine_parameters(low, high, name)
    codes = quantize.quantize_linear(x, *grid, 1, block_size, name)
    back = quantize.dequantize_linear(codes, *grid, 1, block_size, name)
    for row, block, column in np.ndindex(2, count, 3):
        places = row, slice(block * block_size, (block + 1) * block_size), column
        own = [each[row, block, column] for each in grid]
        expected = quantize.quantize_linear(x[places], *own, output_dtype=name)
        np.testing.assert_array_equal(codes[places], expected)
        numbers = quantize.dequantize_linear(expected, *own, dtype=name)
        np.testing.assert_array_equal(back[places], numbers)


@law
@pytest.mark.parametrize("name", SMALL)
def test_quantize_linear_to_small_floats_is_their_rounding(name):
    """With a step of 1 the codes are the bits, saturating or not."""
    x = random_arrays(5)(40, scale=300.0)
    for saturate in (True, False):
        codes = quantize.quantize_linear(
            x, np.float64(1), output_dtype=name, saturate=saturate
        )
        if name == "float4_e2m1":
            expected = quantize.float4_bits(x)
        else:
            expected = quantize.float8_bits(x, name, saturate)
        np.testing.assert_array_equal(codes, expected)


@law
@pytest.mark.parametrize("name", SMALL)
def test_quantize_linear_with_a_zero_point_knows_one_zero(name):
    """Small floats have a -0; z is added to it as to every number, and -0 + 0 is 0."""
    nothing = np.array([-0.0, 0.0])
    without = quantize.quantize_linear(nothing, np.float64(1), output_dtype=name)
    codes = quantize.quantize_linear(
        nothing, np.float64(1), np.uint8(0), output_dtype=name
    )
    assert without[0] > 0 and not without[1] and not codes.any()


@law
@pytest.mark.parametrize("dtype", FLOATING)
def test_linear_of_nothing_and_of_one_number(dtype):
    """An empty batch gives an empty batch, and a number without axes one."""
    for shape in ((), (0,), (2, 0, 3)):
        x = np.ones(shape, dtype)
        codes = quantize.quantize_linear(x, dtype(0.5))
        assert codes.shape == shape and codes.dtype == np.uint8
        back = quantize.dequantize_linear(codes, dtype(0.5))
        assert back.shape == shape and back.dtype == dtype


@law
def test_linear_in_half_is_computed_in_single():
    """float16 in: the codes of float32, and numbers that were rounded once."""
    draw = random_arrays(6)
    x = draw(300, scale=30.0).astype(np.float16)
    scale, zero_point = quantize.affine_parameters(x.min(), x.max())
    codes = quantize.quantize_linear(x, scale, zero_point)
    wide = quantize.quantize_linear(x.astype("f4"), scale.astype("f4"), zero_point)
    np.testing.assert_array_equal(codes, wide)
    back = quantize.dequantize_linear(codes, scale, zero_point)
    single = quantize.dequantize_linear(codes, scale.astype("f4"), zero_point)
    np.testing.assert_array_equal(back, single.astype(np.float16))


@law
@given(some)
def test_dynamic_quantize_linear_is_the_grid_of_the_range(x):
    """affine_parameters, then quantize_linear; never off by more than half a step."""
    y, *grid = quantize.dynamic_quantize_linear(x)
    assert tuple(grid) == grid_over(x, "uint8")
    np.testing.assert_array_equal(y, quantize.quantize_linear(x, *grid))


@law
def test_dynamic_quantize_linear_of_tiny_halves_has_a_step():
    """A range that float16 cannot divide by 255."""
    x = np.full(3, 1e-6, np.float16)
    _, scale, zero_point = quantize.dynamic_quantize_linear(x)
    assert scale > 0 and scale.dtype == np.float16 and not zero_point


@law
def test_linear_takes_a_format_as_numpy_names_it():
    """A dtype says the same as its name, in any byte order."""
    x = random_arrays(13)(5, scale=9.0)
    for dtype in (np.dtype("int16"), np.dtype(">i2")):
        zero_point = np.array(-3, dtype)
        codes = quantize.quantize_linear(x, STEP, zero_point)
        named = quantize.quantize_linear(x, STEP, np.int16(-3), output_dtype="int16")
        np.testing.assert_array_equal(codes, named)
        back = quantize.dequantize_linear(codes.astype(dtype), STEP, zero_point)
        np.testing.assert_array_equal(
            back, quantize.dequantize_linear(named, STEP, np.int16(-3), dtype=dtype)
        )


@law
def test_linear_leaves_its_inputs_alone():
    """Nothing is written to."""
    x, scale = random_arrays(7)(3, 4), np.array([0.5, 0.25, 1.0])
    zero_point = np.array([1, 2, 3], np.uint8)
    before = [each.copy() for each in (x, scale, zero_point)]
    codes = quantize.quantize_linear(x, scale, zero_point, 0)
    kept = codes.copy()
    quantize.dequantize_linear(codes, scale, zero_point, 0)
    for now, then in zip((x, scale, zero_point, codes), (*before, kept)):
        np.testing.assert_array_equal(now, then)


def torch_dtype(torch, name):
    """torch's own name for whole numbers with a scale."""
    return {"uint8": torch.quint8, "int8": torch.qint8}[name]


@oracle
@pytest.mark.parametrize("name", ["uint8", "int8"])
def test_linear_equals_torch_per_tensor(compare, name):
    """Codes and numbers; a scale that is a power of two puts middles in front of both,
    the ends are clipped. (Zero points are even: see below.)"""
    middles = (np.arange(-300, 300) / 2).astype(np.float32)
    draw = random_arrays(8)(500, scale=30.0).astype(np.float32)
    cases = [(middles, 0.5, 4), (middles, 1.0, -2), (draw, 0.4142, 7)]
    cases = [(x, s, z + (name == "uint8") * 20) for x, s, z in cases]

    def ask(torch):
        found = {}
        for i, (x, scale, zero_point) in enumerate(cases):
            codes = torch.quantize_per_tensor(
                torch.from_numpy(x.copy()), scale, zero_point, torch_dtype(torch, name)
            )
            found[f"codes{i}"] = codes.int_repr().numpy()
            found[f"numbers{i}"] = codes.dequantize().numpy()
        return found

    answers = compare.answers(ask, (cases, name))
    for i, (x, scale, zero_point) in enumerate(cases):
        grid = np.float32(scale), np.array(zero_point, name)
        codes = quantize.quantize_linear(x, *grid)
        np.testing.assert_array_equal(codes, answers[f"codes{i}"])
        numbers = quantize.dequantize_linear(codes, *grid)
        np.testing.assert_array_equal(numbers, answers[f"numbers{i}"])


@oracle
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["uint8", "int8"])
def test_linear_equals_torch_per_channel(compare, name, axis):
    """A scale and a zero point for each place along an axis."""
    x = random_arrays(9)(3, 5, 4, scale=9.0).astype(np.float32)
    scale = (2.0 ** -np.arange(x.shape[axis]) * 0.3).astype(np.float32)
    zero_point = (np.arange(x.shape[axis]) * 7 + 3).astype(name)

    def ask(torch):
        codes = torch.quantize_per_channel(
            torch.from_numpy(x.copy()),
            torch.from_numpy(scale.copy()).double(),
            torch.from_numpy(zero_point.astype(np.int64)),
            axis,
            torch_dtype(torch, name),
        )
        numbers = codes.dequantize()
        return {"codes": codes.int_repr().numpy(), "numbers": numbers.numpy()}

    answers = compare.answers(ask, (x, scale, zero_point, axis))
    codes = quantize.quantize_linear(x, scale, zero_point, axis)
    np.testing.assert_array_equal(codes, answers["codes"])
    numbers = quantize.dequantize_linear(codes, scale, zero_point, axis)
    assert_close(numbers, answers["numbers"], 1e-6)


@oracle
@pytest.mark.parametrize("zero_point", [0, 1])
def test_quantize_linear_parts_from_torch_at_middles(compare, zero_point):
    """ONNX takes round(x / s) + z, PyTorch round(x (1/s) + z). The rounding of 1/s
    moves some middles, and with an odd zero point the even code is the odd step: a code
    apart at middles, and nowhere else."""
    scale = np.float32(0.3)
    steps = np.arange(-100, 100)
    x = np.concatenate([steps + 0.5, steps + 0.4, steps + 0.6]) * scale

    def ask(torch):
        codes = torch.quantize_per_tensor(
            torch.from_numpy(x.copy()), float(scale), zero_point, torch.qint8
        )
        return {"codes": codes.int_repr().numpy()}

    x = x.astype(np.float32)
    theirs = compare.answers(ask, (x, scale, zero_point))["codes"].astype(int)
    ours = quantize.quantize_linear(x, scale, np.int8(zero_point)).astype(int)
    apart = ours != theirs
    assert apart[:200].any() and not apart[200:].any()
    assert np.abs(ours - theirs).max() == 1
    multiplied = np.rint(x * (np.float32(1) / scale) + np.float32(zero_point))
    np.testing.assert_array_equal(multiplied, theirs)


@oracle
@of_all
@pytest.mark.parametrize("lying", ["one", "axis", "blocks", "short"])
def test_linear_equals_onnx(compare, name, lying):
    """ONNX's reference: every format, one scale or one for each place or block, of
    which the last may be short."""
    draw = random_arrays(11)
    known = quantize.number_format(name)
    x = draw(3, 6, 4, scale=known.high / 16).astype(np.float32)
    shape, axis, block_size = {
        "one": ((), 1, 0),
        "axis": ((4,), -1, 0),
        "blocks": ((3, 2, 4), 1, 3),
        "short": ((3, 2, 4), -2, 4),
    }[lying]
    scale = np.exp(draw(*shape) / 2).astype(np.float32) * np.float32(0.3)
    zero_point = None
    if name in WHOLE:
        near = np.clip(np.rint(draw(*shape)), known.low, known.high)
        zero_point = np.asarray(near).astype(known.storage)
    attributes = {"axis": axis} | ({"block_size": block_size} if block_size else {})

    def ask(torch):
        return onnx_linear(name, x, scale, zero_point, attributes)

    inputs = (name, x, scale, zero_point, attributes)
    answers = compare.answers(ask, inputs, library="onnx")
    codes = quantize.quantize_linear(
        x, scale, zero_point, output_dtype=name, **attributes
    )
    np.testing.assert_array_equal(codes, answers["codes"])
    numbers = quantize.dequantize_linear(
        codes, scale, zero_point, dtype=name, **attributes
    )
    np.testing.assert_array_equal(numbers, answers["numbers"])


def onnx_linear(name, x, scale, zero_point, attributes):
    """QuantizeLinear, and DequantizeLinear of its codes, by ONNX's reference."""
    import onnx
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    kind = onnx.TensorProto.DataType.Value(name.replace("_", "").upper())
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    zero = [] if zero_point is None else ["zero"]
    nodes = [
        helper.make_node(
            "QuantizeLinear",
            ["x", "scale", *zero],
            ["q"],
            output_dtype=kind,
            **attributes,
        ),
        helper.make_node(
            "DequantizeLinear", ["q", "scale", *zero], ["y"], **attributes
        ),
    ]
    single = onnx.TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("x", single, x.shape),
        helper.make_tensor_value_info("scale", single, scale.shape),
    ]
    fed = {"x": x, "scale": scale}
    if zero:
        inputs.append(helper.make_tensor_value_info("zero", kind, zero_point.shape))
        fed["zero"] = zero_point.astype(dtype)
    outputs = [
        helper.make_tensor_value_info("q", kind, x.shape),
        helper.make_tensor_value_info("y", single, x.shape),
    ]
    graph = helper.make_graph(nodes, "linear", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])
    q, y = ReferenceEvaluator(model).run(None, fed)
    storage = quantize.number_format(name).storage
    codes = q.view(np.uint8) if name in SMALL else q.astype(storage)
    return {"codes": np.array(codes), "numbers": np.array(y)}


@oracle
@pytest.mark.parametrize("range_of", ["both", "above", "below", "constant"])
def test_dynamic_quantize_linear_equals_onnx(compare, range_of):
    """ONNX's reference: the bits of the scale, the zero point and the codes."""
    x = random_arrays(12)(5, 9, scale=3.0, shift=1.0).astype(np.float32)
    x = {"both": x, "above": abs(x), "below": -abs(x), "constant": x * 0 + 3}[range_of]

    def ask(torch):
        from onnx.reference.ops.op_dynamic_quantize_linear import DynamicQuantizeLinear

        names = "y", "scale", "zero_point"
        return dict(zip(names, map(np.array, DynamicQuantizeLinear._run(None, x))))

    answers = compare.answers(ask, (x,), library="onnx")
    found = quantize.dynamic_quantize_linear(x)
    for ours, name in zip(found, ("y", "scale", "zero_point"), strict=True):
        assert ours.dtype == answers[name].dtype
        np.testing.assert_array_equal(ours, answers[name], name)


X, STEP = np.ones((2, 3)), np.float64(0.5)
CODES = np.ones((2, 3), np.int8)


@contract
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_quantize_linear_refuses_what_is_no_number(bad):
    """No code of whole numbers stands for it."""
    with pytest.raises(
        ValueError, match="quantize_linear: x holds 1 number that is NaN"
    ):
        quantize.quantize_linear(np.array([1.0, bad]), STEP)
    with pytest.raises(ValueError, match="y_scale holds 1 number that is NaN"):
        quantize.quantize_linear(X, np.float64(bad))
    with pytest.raises(ValueError, match="dynamic_quantize_linear: x holds 1 number"):
        quantize.dynamic_quantize_linear(np.array([1.0, bad]))


@contract
def test_linear_refuses_a_step_of_nothing():
    """A missing scale is told from one that is 0."""
    with pytest.raises(ValueError, match="y_scale holds 0, by which nothing"):
        quantize.quantize_linear(X, np.array([0.5, 0.0]), axis=0)
    with pytest.raises(ValueError, match="x_scale holds 0, by which nothing"):
        quantize.dequantize_linear(CODES, np.float64(0))
    with pytest.raises(TypeError, match="y_scale must be an array, not NoneType"):
        quantize.quantize_linear(X, None)


@contract
@pytest.mark.parametrize(
    "shape, options, message",
    [
        ((3,), {"axis": 0}, r"y_scale is \(3,\), but x \(2, 3\) has \(2,\) places"),
        ((2, 3), {}, r"y_scale is \(2, 3\), but x \(2, 3\) has \(3,\) places"),
        ((2, 3), {"block_size": 2}, r"has \(2, 2\) blocks of 2 along axis 1"),
        ((3,), {"block_size": 2}, r"has \(2, 2\) blocks of 2 along axis 1"),
        ((3,), {"axis": 2}, "axis is 2, but x"),
        ((3,), {"axis": 1.0}, "axis must be a whole number"),
        ((3,), {"block_size": -1}, "block_size must be a whole number of at least 0"),
    ],
)
def test_linear_refuses_scales_that_do_not_fit(shape, options, message):
    """Each message says how many there should be."""
    with pytest.raises(ValueError, match=message):
        quantize.quantize_linear(X, np.full(shape, 0.5), **options)
    with pytest.raises(ValueError, match=message.replace("y_scale", "x_scale")):
        quantize.dequantize_linear(CODES, np.full(shape, 0.5), **options)


@contract
def test_linear_refuses_zero_points_that_do_not_fit():
    """As many as scales, of the codes' dtype, and codes themselves."""
    with pytest.raises(ShapeError, match=r"y_zero_point is \(2,\), but x .* \(3,\) pl"):
        quantize.quantize_linear(X, STEP, np.zeros(2, np.int8))
    with pytest.raises(
        ValueError, match="holds int8, but a code of uint4 is stored as u"
    ):
        quantize.quantize_linear(X, STEP, np.int8(1), output_dtype="uint4")
    with pytest.raises(ValueError, match="holds codes from 16 to 16, but uint4 has 0"):
        quantize.quantize_linear(X, STEP, np.uint8(16), output_dtype="uint4")
    with pytest.raises(
        ValueError, match="x_zero_point holds uint8, but a code of int8"
    ):
        quantize.dequantize_linear(CODES, STEP, np.uint8(1))
    with pytest.raises(ValueError, match="must be 0: float8_e5m2 has no other zero"):
        quantize.quantize_linear(X, STEP, np.uint8(1), output_dtype="float8_e5m2")
    with pytest.raises(
        ValueError, match="y_zero_point: there is no number format 'int64'"
    ):
        quantize.quantize_linear(X, STEP, np.array(3))


@contract
def test_dequantize_linear_refuses_codes_out_of_range():
    """Packed bytes that were not taken apart, or codes of another format."""
    codes = np.array([-9, 7], np.int8)
    with pytest.raises(ValueError, match="codes from -9 to 7, but int4 has -8 to 7"):
        quantize.dequantize_linear(codes, STEP, dtype="int4")
    with pytest.raises(ValueError, match="x holds int8, but a code of float8_e4m3fn"):
        quantize.dequantize_linear(codes, STEP, dtype="float8_e4m3fn")
    with pytest.raises(ValueError, match="x holds float64, but needs integers"):
        quantize.dequantize_linear(X, STEP)


@contract
def test_dynamic_quantize_linear_refuses_nothing():
    """An empty array has no range."""
    with pytest.raises(ValueError, match="x is empty, and has no range"):
        quantize.dynamic_quantize_linear(np.ones((0, 3)))
