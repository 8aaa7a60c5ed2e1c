"""What every operator makes of numbers that are none, and of axes that are not there.

One law, of the calls of `CALLS`: into each array of floating numbers goes a NaN, an
infinity, the largest finite number, a row of -inf, a row of NaN, zeros; each axis is
made empty, and each array a single number (special_inputs.py). PyTorch says what comes
out, in value and in gradient (counterparts.py). Where it does so by chance, or we know
better, `PARTINGS` says why.
"""

import inspect
import math
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from refvlm import kernels, ops
from refvlm.autodiff import Variable, backward

from ..spec import Case, assert_close, cast, contract, house, random_arrays
from .counterparts import COUNTERPARTS, WITHOUT_COUNTERPART, functional
from .special_inputs import KINDS, arrays_of, changed, specials
from .test_every_operator import CALLS, COMPOSED, CONSTANTS

# Where we part from PyTorch, and why: operator -> reason -> what is put where.
A_NUMBER = "a number is no such array: PyTorch repeats it"
NOTHING = "nothing in is nothing out: PyTorch wants channels, or pixels, or a batch"
NO_WINDOW = "a window without places, or over no channels, sees nothing to sum"
NO_MEAN = "there is no mean of no numbers: PyTorch says nan"
NO_SHARE = "an infinity is no probability, and neither answer means anything"
INFINITE = "an infinity is refused: PyTorch does so for some shapes"
ORDER = "of three infinite terms their order decides"
PARTINGS = {
    "add_scaled": {A_NUMBER: ("no axes",)},
    "apply_rotary": {A_NUMBER: ("no axes in cos", "no axes in sin")},
    "avg_pool2d": {NOTHING: ("no axis 0",)},
    "batch_norm": {
        NOTHING: ("no axis",),
        "PyTorch folds weight and mean into one shift: infinity less infinity": (
            "inf in weight",
        ),
    },
    "ben_israel_cohen": {
        "it squares every number": ("largest in A",),
        INFINITE: ("inf in A, call 1",),
    },
    "binary_cross_entropy_with_logits": {
        "what cannot be, and is, costs infinity: PyTorch subtracts two": (
            "-inf in input",
        ),
        NO_SHARE: ("inf in target",),
    },
    "channel_layer_norm": {ORDER: ("inf in weight",)},
    "conv2d": {
        NO_WINDOW: ("no axis 0 in x", "no axis 1", "no axis 2 in w", "no axis 3")
    },
    "conv_transpose2d": {NOTHING: ("no axis 1 in weight", "no axis 0 in bias")},
    "cross_entropy": {
        "a row that is ignored is never read": (
            "a row of -inf in input",
            "a row of nan in input",
            "all of -inf in input",
        )
    },
    "fold": {NOTHING: ("no axis 0",)},
    "global_avg_pool2d": {NO_MEAN: ("no axis 1", "no axis 2")},
    "group_norm": {NO_MEAN: ("no axis 1",)},
    "hardswish": {
        "PyTorch passes a gradient at nan, or not, by where it lies in memory": (
            "a row of nan",
        )
    },
    "kl_div": {
        A_NUMBER: ("no axes",),
        "0 log 0 = 0, and its slope -inf: PyTorch multiplies 0 by infinity": (
            "-inf in target, call 0",
            "zeros in target, call 1",
        ),
        NO_SHARE: ("inf in target, call 1",),
    },
    "layer_norm": {ORDER: ("inf in weight",)},
    "linear": {A_NUMBER: ("no axes in bias",)},
    "logdet": {
        "what is no covariance is refused: PyTorch has a word for any matrix": (
            "nan in A",
            "inf in A",
            "largest in A",
            "zeros in A",
        )
    },
    "lstm": {
        A_NUMBER: ("no axes in bias_ih", "no axes in bias_hh"),
        "a sequence without steps has no states: PyTorch wants one": (
            "no axis 1 in x",
        ),
    },
    "max_pool2d": {NOTHING: ("no axis 0",)},
    "mse_loss": {A_NUMBER: ("no axes",)},
    "pinv": {INFINITE: ("inf in A, call 0",)},
    "scaled_dot_product_attention": {
        "what is hidden is not looked at: PyTorch adds -inf to it": (
            "in key, call 1",
            "in key, call 3",
            "-inf in query, call 3",
        ),
        "without features there is nothing to compare": ("no axis 1",),
    },
    "smooth_l1_loss": {A_NUMBER: ("no axes",)},
    "unfold": {NOTHING: ("no axis 1",)},
    "unpatchify": {NOTHING: ("no axis 1",)},
}

# Arguments that have no gradient, in PyTorch or here.
CONSTANT = CONSTANTS | {
    "apply_rotary": {"cos", "sin"},
    "binary_cross_entropy_with_logits": {"weight", "pos_weight"},
    "cross_entropy": {"weight"},
    "nll_loss": {"weight"},
}


def learnt(name, arrays):
    """The places of the arrays that have a gradient."""
    names = list(inspect.signature(getattr(ops, name)).parameters)
    return [
        key
        for key, array in arrays.items()
        if array.dtype.kind == "f"
        and (names[key] if isinstance(key, int) else key) not in CONSTANT.get(name, ())
    ]


def of_torch(torch, name, special):
    """[value, gradients ...], or None where it refuses."""
    case = Case(special.args, special.options)
    tensors = {key: torch.from_numpy(np.array(a)) for key, a in arrays_of(case).items()}
    for key, tensor in tensors.items():
        whole = not tensor.is_floating_point() and tensor.dtype != torch.bool
        tensors[key] = tensor.long() if whole else tensor
    leaves = [tensors[key].requires_grad_() for key in learnt(name, arrays_of(case))]
    args, options = changed(case, tensors)
    try:
        out = COUNTERPARTS.get(name, functional(name))(torch)(*args, **options)
        out = out[0] if isinstance(out, tuple) else out
        if out.requires_grad:
            out.backward(torch.from_numpy(of_one(out.shape)))
    except (RuntimeError, IndexError, ValueError, TypeError):
        return None
    leaves = () if special.kind == "largest" else leaves
    return [out.detach().numpy(), *[gradient_of(leaf) for leaf in leaves]]


def gradient_of(leaf):
    return (leaf.grad if leaf.grad is not None else leaf.detach() * 0).numpy()


def of_ours(name, special, dtype=np.float64):
    """The same of the package's operator, without gradients where it has none."""
    case = Case(special.args, special.options)
    case = changed(case, {k: cast(a, dtype) for k, a in arrays_of(case).items()})
    operator = getattr(ops, name)
    out = first_of(operator(*case.args, **case.options))
    keys = learnt(name, arrays_of(case))
    traceable = getattr(operator, "derivative", None) is not None or name in COMPOSED
    if not traceable or not keys:
        return [out]
    leaves = {key: Variable(arrays_of(case)[key]) for key in keys}
    args, options = changed(case, leaves)
    traced = first_of(operator(*args, **options))
    gradients = backward(traced, of_one(out.shape).astype(dtype))
    return [out, *[gradients[leaves[key]] for key in keys]]


def first_of(out):
    return out[0] if isinstance(out, tuple) else out


def of_one(shape):
    """The gradient that comes back: random numbers, the same for both."""
    return np.asarray(random_arrays(99)(*shape))


def packed(answers):
    """Answers as one row, for one small record: of each array its number of axes, its
    shape and its numbers; of a refusal -1."""
    pieces = []
    for answer in answers:
        if answer is None:
            pieces.append([-1])
        for array in answer or ():
            pieces += [[array.ndim, *array.shape], array.ravel()]
        pieces.append([-2])
    return np.concatenate([np.zeros(0), *pieces])


def unpacked(row):
    """`packed` undone."""
    answers, answer, place = [], [], 0
    while place < len(row):
        head = int(row[place])
        place += 1
        if head == -2:
            answers.append(answer)
            answer = []
        elif head == -1:
            answer = None
        else:
            shape = tuple(row[place : place + head].astype(int))
            end = place + head + math.prod(shape)
            answer.append(row[place + head : end].reshape(shape))
            place = end
    return answers


def speakers(name):
    """Whose name a refusal begins with: of what is composed, one of its parts."""
    return CALLS if name in COMPOSED else (name,)


def assert_close_beside_1(my, their, tolerance):
    """Of what is zero on paper, no rounding is compared."""
    assert my.shape == their.shape, f"{my.shape} is not {their.shape}"
    assert_close(
        *(np.append(each, 1).astype(my.dtype) for each in (my, their)), tolerance
    )


def difference(name, special, theirs):
    """What is not as it should be, in a few words; nothing where all is."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            mine = of_ours(name, special)
    except ValueError as error:
        if not str(error).startswith(tuple(f"{own}: " for own in speakers(name))):
            return f"{type(error).__name__}: {error}"
        return None if theirs is None else f"refused: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if theirs is None:
        return f"answered {mine[0].shape} where PyTorch refuses"
    if special.kind == "largest":  # the order of a sum says which are infinite
        there = np.isfinite(theirs[0])
        mine, theirs = [mine[0][there]], [theirs[0][there]]
    for part, (my, their) in enumerate(zip(mine, theirs)):
        try:
            assert_close_beside_1(my, their, 1e-6)
        except AssertionError as error:
            what = f"gradient {part}" if part else "value"
            return f"{what}: " + " ".join(str(error).split())[:200]
    return None


@contract
@pytest.mark.parametrize("name", sorted(set(CALLS) - set(WITHOUT_COUNTERPART)))
def test_operators_take_what_is_special_as_torch_does(compare, name):
    """The same values, NaN in the same places, the same gradients, and what PyTorch
    refuses is refused by the operator's name; `PARTINGS` are all there are."""
    asked = list(specials(name))
    assert len(asked) >= len(KINDS), "nothing is asked: SMALL wants a call"
    large = [each.kind == "largest" for each in asked]

    def ask(torch):
        answers = [of_torch(torch, name, each) for each in asked]
        return {
            "of_large": packed(a for a, is_large in zip(answers, large) if is_large),
            "of_others": packed(
                a for a, is_large in zip(answers, large) if not is_large
            ).astype(np.float32),
        }

    answers = compare.answers(ask, asked, 1e-6)
    of_large, of_others = map(iter, map(unpacked, answers.values()))
    wrong, parted = [], set()
    partings = {
        key: why for why, keys in PARTINGS.get(name, {}).items() for key in keys
    }
    for each, is_large in zip(asked, large):
        says = difference(name, each, next(of_large if is_large else of_others))
        label = f"{each.kind} in {each.where}, call {each.number}"
        known = {key for key in partings if key in label}
        parted |= known if says else set()
        if says and not known:
            wrong.append(f"{label}: {says}")
    assert not wrong, "\n".join([f"{name} ({len(wrong)} of {len(asked)})", *wrong])
    assert parted == set(partings), f"PyTorch agrees: {set(partings) - parted}"


@house
def test_an_operator_that_torch_does_not_have_wants_a_line():
    """Whoever adds one is told where to say what it is compared with."""
    torch = SimpleNamespace(nn=SimpleNamespace(functional=SimpleNamespace()))
    with pytest.raises(LookupError, match="trace a line in tests/ops/counterparts"):
        functional("trace")(torch)


@house
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", sorted(set(CALLS) - set(WITHOUT_COUNTERPART)))
def test_operators_take_what_is_special_by_kernel_as_defined(name, dtype):
    """Value and gradient; of numbers near the largest the order of a sum decides."""
    wrong = []
    for each in specials(name):
        if each.kind == "largest":
            continue
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            try:
                sooner = of_ours(name, each, dtype)
            except ValueError:
                with kernels.definitions(), pytest.raises(ValueError):
                    of_ours(name, each, dtype)
                continue
            with kernels.definitions():
                defined = of_ours(name, each, dtype)
        for part, (my, their) in enumerate(zip(sooner, defined)):
            try:
                assert_close_beside_1(my, their, 1e-12 if dtype == np.float64 else 2e-5)
            except AssertionError as error:
                what = f"gradient {part}" if part else "value"
                says = " ".join(str(error).split())[:160]
                wrong.append(
                    f"{each.kind} in {each.where}, {each.number}: {what} {says}"
                )
                break
    assert not wrong, "\n".join([name, *wrong])
