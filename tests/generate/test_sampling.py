"""The spec of refvlm/generate/sampling.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import generate, kernels, ops

from ..oracles import import_torchvision
from ..spec import FLOATING, contract, example, law, oracle, random_arrays, tensors

OUT = -np.inf


def rng(seed=0):
    return np.random.default_rng(seed)


def stays(logits):
    """The tokens of a row that are not ruled out."""
    return [np.flatnonzero(row > OUT).tolist() for row in logits]


class Given(np.random.Generator):
    """A generator whose uniform numbers are these."""

    def __init__(self, numbers):
        super().__init__(np.random.PCG64())
        self.numbers = iter(numbers)

    def random(self, size=None):
        if size is None:
            return next(self.numbers)
        return np.array([next(self.numbers) for _ in range(size)])


# Every rule with something that it has to do, for the laws that hold for all of them.
RULES = {
    "temperature": lambda logits: generate.temperature(logits, 0.7),
    "top_k": lambda logits: generate.top_k(logits, 3),
    "top_p": lambda logits: generate.top_p(logits, 0.6),
    "min_p": lambda logits: generate.min_p(logits, 0.3),
    "repetition_penalty": lambda logits: generate.repetition_penalty(
        logits, np.broadcast_to([1, 4, -1], (*logits.shape[:-1], 3)), 1.7
    ),
    "no_repeat_ngram": lambda logits: generate.no_repeat_ngram(
        logits, np.broadcast_to([1, 4, 1], (*logits.shape[:-1], 3)), 2
    ),
    "min_new_tokens": lambda logits: generate.min_new_tokens(logits, 1, 2, {5}),
}
every_rule = pytest.mark.parametrize("name", RULES)
CUTS = {
    "top_k": generate.top_k,
    "top_p": generate.top_p,
    "min_p": generate.min_p,
}


@example
def test_temperature_of_one_half_squares_the_odds():
    """1 : 3 becomes 1 : 9; at temperature 2 it is 1 : the root of 3."""
    scores = np.log([[1.0, 3.0]])
    for heat, odds in ((0.5, 9.0), (1.0, 3.0), (2.0, 3**0.5)):
        likely = ops.softmax(generate.temperature(scores, heat))
        np.testing.assert_allclose(likely[0, 1] / likely[0, 0], odds)


@example
def test_top_k_keeps_all_that_tie_with_the_last():
    """Two of 4, 2, 2, 1: the second is a tie, and nobody could say which to leave."""
    logits = np.array([[2.0, 1.0, 4.0, 2.0]])
    np.testing.assert_array_equal(generate.top_k(logits, 2), [[2.0, OUT, 4.0, 2.0]])
    np.testing.assert_array_equal(generate.top_k(logits, 1), [[OUT, OUT, 4.0, OUT]])
    np.testing.assert_array_equal(generate.top_k(logits, 99), logits)
    np.testing.assert_array_equal(generate.top_k(logits, 1, least=4), logits)


@example
def test_top_p_keeps_the_fewest_that_hold_p():
    """5 + 3 of ten are less than 0.85, so the third stays, and the fourth goes."""
    logits = np.log([[0.05, 0.5, 0.15, 0.3]])
    for share, kept in (
        (0.01, [1]),
        (0.6, [1, 3]),
        (0.85, [1, 2, 3]),
        (0.96, [0, 1, 2, 3]),
    ):
        assert stays(generate.top_p(logits, share)) == [kept]
    assert stays(generate.top_p(logits, 0.01, least=2)) == [[1, 3]]


@example
def test_top_p_stops_where_p_is_reached_exactly():
    """Two of four equal tokens hold 0.5, and 0.5 is enough; of equals the higher ids
    stay. Powers of two are exact, so no rounding decides."""
    assert stays(generate.top_p(np.zeros((1, 4)), 0.5)) == [[2, 3]]
    assert stays(generate.top_p(np.zeros((1, 4)), 0.5 + 1e-9)) == [[1, 2, 3]]
    assert stays(generate.top_p(np.zeros((1, 2048)), 0.5)) == [list(range(1024, 2048))]


@example
def test_min_p_keeps_what_is_not_far_behind():
    """A fifth of 0.5 is 0.1: 0.05 is behind it, 0.15 is not."""
    logits = np.log([[0.05, 0.5, 0.15, 0.3]])
    assert stays(generate.min_p(logits, 0.2)) == [[1, 2, 3]]
    assert stays(generate.min_p(logits, 1.0)) == [[1]]
    assert stays(generate.min_p(logits, 1.0, least=3)) == [[1, 2, 3]]
    assert stays(generate.min_p(np.zeros((1, 3)), 1.0)) == [[0, 1, 2]]


@example
def test_repetition_penalty_divides_above_zero_and_multiplies_below():
    """Both ways the score goes down; a second mention changes nothing more, and -1 is
    no mention of the last token, nor 9 of any."""
    logits = np.array([[4.0, -4.0, 4.0, 0.0]])
    ids = np.array([[0, 1, 1, -1, 3, 9]])
    out = generate.repetition_penalty(logits, ids, 2.0)
    np.testing.assert_array_equal(out, [[2.0, -8.0, 4.0, 0.0]])


@example
def test_no_repeat_ngram_closes_what_was_said():
    """After 1 2 3 1 2 no third of 1 2 may be 3 again; nor 1 or 2 or 3, for size 1."""
    ids, logits = np.array([[1, 2, 3, 1, 2]]), np.zeros((1, 5))
    assert stays(generate.no_repeat_ngram(logits, ids, 3)) == [[0, 1, 2, 4]]
    assert stays(generate.no_repeat_ngram(logits, ids, 4)) == [[0, 1, 2, 3, 4]]
    assert stays(generate.no_repeat_ngram(logits, ids, 1)) == [[0, 4]]
    assert stays(generate.no_repeat_ngram(logits, ids[:, :2], 3)) == [[0, 1, 2, 3, 4]]


@example
def test_min_new_tokens_lets_nobody_stop_early():
    """With one token of two, stops 0 and 3 are out; with two, nothing is."""
    logits = np.ones((2, 4))
    assert stays(generate.min_new_tokens(logits, 1, 2, {0, 3})) == [[1, 2]] * 2
    assert stays(generate.min_new_tokens(logits, 2, 2, {0, 3})) == [[0, 1, 2, 3]] * 2


@example
def test_sample_takes_where_the_sum_first_exceeds_u():
    """0.2, 0.5, 0.3 up to 0.2, 0.7, 1: each u falls between two of the sums."""

    logits = np.log([[0.2, 0.5, 0.3]])
    for u, token in (
        (0.0, 0),
        (0.19, 0),
        (0.21, 1),
        (0.69, 1),
        (0.71, 2),
        (1 - 2**-53, 2),
    ):
        assert generate.sample(logits, Given([u])).tolist() == [token]
    # Of nothing, none; and half is the first of the second.
    logits = np.array([[-1e9, 1.0], [2.0, 2.0]])
    assert generate.sample(logits, Given([0.0, 0.5])).tolist() == [1, 1]


@example
def test_sample_takes_scores_of_any_size():
    """Only differences count: the exponential of 1,000 is beyond float64, and that of
    -1,000 is 0, but of two that are equal each has a half, and the third nothing."""
    logits = np.array([[1000.0, 1000.0, 0.0], [-1000.0, -1000.0, -2000.0]])
    for u, token in ((0.25, 0), (0.75, 1), (1 - 2**-53, 1)):
        assert generate.sample(logits, Given([u, u])).tolist() == [token, token]


@law
@every_rule
@given(logits=tensors((2, 3, 7)))
def test_rules_keep_dtype_shape_and_input(name, logits):
    """Leading axes are free, every row is ruled alone, and nothing is written to."""
    rule = RULES[name]
    for dtype in FLOATING:
        given = logits.astype(dtype)
        before, out = given.copy(), rule(given)
        assert out.dtype == dtype and out.shape == given.shape
        assert not np.shares_memory(out, given)
        np.testing.assert_array_equal(given, before)
        for place in np.ndindex(2, 3):
            np.testing.assert_array_equal(out[place], rule(given[place]))


@law
@pytest.mark.parametrize("name", CUTS)
@given(logits=tensors((3, 7)), number=st.integers(1, 9), least=st.integers(1, 9))
def test_cuts_leave_the_likeliest_as_they_were(name, logits, number, least):
    """What stays has its score, is no less likely than what goes, is no fewer than
    `least`, and is the same if the rule is applied to the rest once more."""
    cut, number = CUTS[name], number if name == "top_k" else number / 9
    out = cut(logits, number, least)
    for row, kept in zip(logits, out > OUT):
        assert kept.sum() >= min(least, 7)
        assert row[kept].min() >= row[~kept].max(initial=OUT)
    np.testing.assert_array_equal(out[out > OUT], logits[out > OUT])
    if name != "top_p":  # what holds p of the whole is more of itself
        np.testing.assert_array_equal(cut(out, number, least), out)


@law
@given(tensors((3, 7)), st.floats(0.01, 0.99))
def test_top_p_is_the_smallest_set(logits, share):
    """What stays holds p, and no longer does without its least likely token; the sums
    are those of the formula, from the likeliest down."""
    likely, kept = ops.softmax(logits), generate.top_p(logits, share) > OUT
    for row, some in zip(likely, kept):
        held = np.sort(row[some])[::-1]
        assert held.sum() > share - 1e-12
        assert held[:-1].sum() < share + 1e-12


@law
@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0, 30.0])
def test_top_p_is_sooner_but_the_same(dtype, spread):
    """The kernel that sorts few of many tokens leaves what the definition leaves, be
    the border among the likeliest or far down, among equals or among -inf."""
    scores = random_arrays(3)(3, 4001, scale=spread)
    scores[1] = np.round(scores[1])
    scores[2, 30:] = OUT
    scores = scores.astype(dtype)
    for share in (1e-9, 0.1234, 0.567, 0.9123, 1 - 1e-6, 1.0):
        for least in (1, 1500):
            sooner = generate.top_p(scores, share, least)
            with kernels.definitions():
                defined = generate.top_p(scores, share, least)
            np.testing.assert_array_equal(sooner, defined)


@law
@every_rule
def test_rules_take_rows_of_which_one_token_is_left(name):
    """Where others have ruled out all but one, it stays; but a stop before its time."""
    rule = RULES[name]
    logits = np.full((1, 9), OUT)
    logits[0, 3] = -2.0
    assert stays(rule(logits)) == [[3]]


@law
@every_rule
@pytest.mark.filterwarnings("error")
def test_rules_leave_rows_that_sample_refuses(name):
    """A row of nothing but -inf, and one with nan, are still that afterwards, long
    rows too: no rule makes of them something that looks like scores."""
    rule = RULES[name]
    for width in (9, 3000):
        logits = np.zeros((2, width))
        logits[0], logits[1, 2] = OUT, np.nan
        out = rule(logits)
        assert (out[0] == OUT).all() and np.isnan(out[1, 2])
        with pytest.raises(ValueError, match="sample: row 0 has no token left"):
            generate.sample(out, rng())
        with pytest.raises(ValueError, match="sample: row 0 holds nan"):
            generate.sample(out[1:], rng())


@law
@given(tensors((2, 9)), st.integers(0, 99))
def test_towards_zero_temperature_is_greedy(logits, seed):
    """Scores that differ by 1e-3 are, at T = 1e-5, as e^100 to 1."""
    logits = np.round(logits, 3)
    cold = generate.temperature(logits, 1e-5)
    ids = generate.sample(cold, rng(seed))
    assert (logits[[0, 1], ids] == logits.max(axis=-1)).all()
    np.testing.assert_array_equal(generate.greedy(cold), generate.greedy(logits))


@law
@given(tensors((1, 9)), st.floats(0.1, 5), st.floats(1.1, 3))
def test_hotter_is_more_even(logits, heat, more):
    """The entropy of softmax(s / T) grows with T."""

    def entropy(scores):
        return -(ops.softmax(scores) * ops.log_softmax(scores)).sum()

    cooler, hotter = (generate.temperature(logits, t) for t in (heat, heat * more))
    assert entropy(hotter) >= entropy(cooler) - 1e-12


@law
@given(st.lists(st.integers(0, 2), min_size=1, max_size=9), st.integers(1, 4))
def test_no_repeat_ngram_says_no_ngram_twice(start, size):
    """Whatever is chosen of what stays, the new n-gram was not there before; and what
    goes would have been there."""
    ids = np.array([start])
    allowed = generate.no_repeat_ngram(np.zeros((1, 3)), ids, size)[0] > OUT
    said = {tuple(start[i : i + size]) for i in range(len(start) - size + 1)}
    for token in range(3):
        gram = (*start[len(start) - size + 1 :], token)
        assert allowed[token] == (gram not in said or len(start) < size - 1)


@law
@pytest.mark.parametrize("size", [1, 2, 3])
def test_padding_is_no_token(size):
    """A row behind padding is ruled as the row alone; across a picture reaches no
    n-gram, and -1 is never the last token."""
    draw = random_arrays(4)
    alone, logits = np.array([[5, 6, 0, 5, 6]]), draw(1, 7)
    padded = np.array([[-1, -1, -1, 5, 6, 0, 5, 6]])
    for rule in (
        lambda ids: generate.no_repeat_ngram(logits, ids, size),
        lambda ids: generate.repetition_penalty(logits, ids, 1.3),
    ):
        np.testing.assert_array_equal(rule(padded), rule(alone))
    across = np.array([[5, 6, -1, 6, 5, -1]])
    if size > 1:
        out = generate.no_repeat_ngram(logits, across, size)
        np.testing.assert_array_equal(out, logits)


@law
def test_sample_has_the_frequencies_of_its_probabilities():
    """Pearson's chi-square over 20,000 draws of a dozen tokens: at a level of 0.001 it
    exceeds 31.26 of 11 degrees of freedom in one of a thousand seeds; this one is
    fixed. A sampler that is wrong by a twentieth of a probability is far beyond."""
    logits = random_arrays(5)(12)
    draws, likely = 20_000, ops.softmax(logits)
    ids = generate.sample(np.broadcast_to(logits, (draws, 12)), rng(7))
    expected = draws * likely
    counts = np.bincount(ids, minlength=12)
    assert ((counts - expected) ** 2 / expected).sum() < 31.26
    wrong = draws * ops.softmax(generate.temperature(logits, 1.1))
    assert ((counts - wrong) ** 2 / wrong).sum() > 31.26


@law
@given(tensors((4, 9)), st.integers(0, 999))
def test_sample_never_takes_what_is_ruled_out(logits, seed):
    """Nor what has no probability in float64."""
    logits = np.where(rng(seed).random((4, 9)) < 0.5, OUT, logits)
    logits[:, 3], logits[:, 5] = 0.0, -1e9
    ids = generate.sample(logits, rng(seed))
    assert (logits[np.arange(4), ids] > -1e8).all()


@law
def test_sample_gives_the_same_for_the_same_seed():
    """And other ids for another; a list of generators gives each row what it draws
    alone, whoever is beside it."""
    logits = random_arrays(6)(5, 50)
    first, again, other = (generate.sample(logits, rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    together = generate.sample(logits, [rng(s) for s in range(5)])
    for row in range(5):
        alone = generate.sample(logits[row : row + 1], [rng(row)])
        np.testing.assert_array_equal(alone, together[row : row + 1])


@law
def test_sample_draws_one_number_a_row():
    """So that what follows in the stream does not hang on the vocabulary."""
    shared, counted = rng(3), rng(3)
    generate.sample(np.zeros((4, 9)), shared)
    counted.random(4)
    assert shared.random() == counted.random()
    assert generate.sample(np.zeros((0, 9)), shared).shape == (0,)


# What transformers is asked: rows that differ in kind, in float64 and in float32. Its
# `generate` gives its processors float32 whatever the model has, and half precision is
# that here.
def odd_rows(dtype, width=13):
    """Random, sharp, flat, equal by the handful, mostly -inf, and one token left."""
    draw = random_arrays(11)
    rows = np.concatenate([draw(2, width), draw(1, width, scale=9), draw(1, width) / 9])
    tied = np.round(draw(3, width))
    sparse = draw(2, width)
    sparse[0, 3:11], sparse[1, 1:] = OUT, OUT
    return np.concatenate([rows, tied, sparse]).astype(dtype)


IDS = np.random.RandomState(12).randint(0, 4, (9, 24))
PROCESSORS = {
    "temperature": [
        ("TemperatureLogitsWarper", (t,), generate.temperature, (t,))
        for t in (0.3, 1.0, 1.7)
    ],
    "top_k": [
        ("TopKLogitsWarper", (k,), generate.top_k, (k,)) for k in (1, 2, 5, 13, 50)
    ],
    "top_p": [
        ("TopPLogitsWarper", (p,), generate.top_p, (p,))
        for p in (1e-6, 0.3, 0.5, 0.77, 0.95, 0.999, 1.0)
    ]
    + [
        ("TopPLogitsWarper", (p, OUT, n), generate.top_p, (p, n))
        for p in (0.3, 0.9)
        for n in (2, 20)
    ],
    "min_p": [
        ("MinPLogitsWarper", (p,), generate.min_p, (p,)) for p in (1e-3, 0.1, 0.5, 1.0)
    ],
    "repetition_penalty": [
        (
            "RepetitionPenaltyLogitsProcessor",
            (x,),
            generate.repetition_penalty,
            (IDS, x),
        )
        for x in (0.8, 1.0, 1.5)
    ],
    "no_repeat_ngram": [
        ("NoRepeatNGramLogitsProcessor", (n,), generate.no_repeat_ngram, (IDS, n))
        for n in (1, 2, 3, 30)
    ],
    "min_new_tokens": [
        (
            "MinNewTokensLengthLogitsProcessor",
            (20, least, [2, 5]),
            generate.min_new_tokens,
            (4, least, [2, 5]),
        )
        for least in (0, 4, 5)
    ],
}


def processed(torch, name, arguments, logits):
    """What transformers' processor of this name makes of the logits."""
    import_torchvision()
    from transformers.generation import logits_process

    made = getattr(logits_process, name)(*arguments)
    return made(torch.from_numpy(IDS), torch.from_numpy(logits.copy())).numpy()


@oracle
@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("dtype", FLOATING)
def test_rules_equal_transformers(compare, name, dtype):
    """Every processor on every kind of row: the same tokens stay, with the same
    scores."""
    calls, logits = PROCESSORS[name], odd_rows(dtype)
    wide = logits.astype(np.promote_types(dtype, np.float32))

    def ask(torch):
        return {
            str(i): processed(torch, kind, arguments, wide)
            for i, (kind, arguments, _, _) in enumerate(calls)
        }

    asked = [(kind, arguments) for kind, arguments, _, _ in calls]
    answers = compare.answers(ask, (wide, asked))
    for i, (_, _, ours, arguments) in enumerate(calls):
        out, expected = ours(logits, *arguments), answers[str(i)]
        np.testing.assert_array_equal(out > OUT, expected > OUT)
        np.testing.assert_allclose(
            out[out > OUT],
            expected[expected > OUT].astype(dtype),
            rtol=1e-3 if dtype == np.float16 else 1e-6,
        )


@oracle
@pytest.mark.parametrize("name", CUTS)
def test_cuts_of_many_equals_keep_as_many_as_transformers(compare, name):
    """Beyond sixteen entries the order of equals in torch's sort is anyone's guess. As
    many of them stay, with the same scores."""
    logits = np.round(random_arrays(13)(9, 500, scale=2.0))
    kind, number = PROCESSORS[name][0][0], 20 if name == "top_k" else 0.43

    def ask(torch):
        return {"out": np.sort(processed(torch, kind, (number,), logits))}

    answer = compare.answers(ask, (logits, name))["out"]
    np.testing.assert_array_equal(np.sort(CUTS[name](logits, number)), answer)


@oracle
def test_rules_of_a_large_vocabulary_equal_transformers(compare):
    """A peaked row and a flat one of Qwen2's 151,936 scores: where the kernel works."""
    draw = random_arrays(14)
    logits = np.concatenate([draw(1, 151_936, scale=4.0), draw(1, 151_936)])
    calls = [
        ("TopPLogitsWarper", generate.top_p, 0.9),
        ("TopPLogitsWarper", generate.top_p, 0.1),
        ("MinPLogitsWarper", generate.min_p, 0.05),
        ("TopKLogitsWarper", generate.top_k, 50),
    ]

    def ask(torch):
        return {
            str(i): np.packbits(processed(torch, name, (number,), logits) > OUT)
            for i, (name, _, number) in enumerate(calls)
        }

    answers = compare.answers(ask, logits)
    for i, (_, ours, number) in enumerate(calls):
        out = ours(logits, number)
        np.testing.assert_array_equal(np.packbits(out > OUT), answers[str(i)])


@contract
@pytest.mark.parametrize("number", [0, 0.0, -0.5, np.nan, np.inf, "1", None, True])
def test_temperature_refuses_what_is_no_temperature(number):
    """A temperature of 0 is another rule, and the message says which."""
    with pytest.raises(ValueError, match=r"above 0, not .*choose greedily"):
        generate.temperature(np.zeros((1, 3)), number)


@contract
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rules_refuse_numbers_that_leave_no_numbers(dtype):
    """Scores that become infinite, or nan by a division by what rounds to 0."""
    logits = np.array([[0.0, 90.0]], dtype)
    for number in (1e-300, 5e-324):
        with pytest.raises(ValueError, match="temperature: .* beyond float"):
            generate.temperature(logits / 1e-7, number)
        with pytest.raises(ValueError, match="repetition_penalty: .* beyond float"):
            generate.repetition_penalty(logits / 1e-7, np.array([[1]]), number)


@contract
@pytest.mark.parametrize("rule", [generate.top_p, generate.min_p])
@pytest.mark.parametrize("share", [0, 0.0, -0.1, 1.0001, 90, np.nan, "0.9", None, True])
def test_shares_are_above_0_and_at_most_1(rule, share):
    """90 is meant as 0.9, and 0 would leave nothing."""
    with pytest.raises(ValueError, match=f"{rule.__name__}: p is a share above 0"):
        rule(np.zeros((1, 3)), share)


@contract
@pytest.mark.parametrize("count", [0, -1, 2.0, np.nan, "5", None, True])
def test_counts_are_whole_and_at_least_1(count):
    """Of k, of n-grams and of the least that stays."""
    logits, ids = np.zeros((1, 3)), np.zeros((1, 4), int)
    with pytest.raises(ValueError, match="top_k: k must be a whole number"):
        generate.top_k(logits, count)
    with pytest.raises(ValueError, match="no_repeat_ngram: size must be a whole"):
        generate.no_repeat_ngram(logits, ids, count)
    for cut in CUTS.values():
        with pytest.raises(ValueError, match=f"{cut.__name__}: least must be a whole"):
            cut(logits, 1, least=count)


@contract
@pytest.mark.parametrize("penalty", [0, -1.0, np.nan, np.inf, "2", None, True])
def test_repetition_penalty_refuses_what_is_no_penalty(penalty):
    """0 would divide by nothing, and a negative one reward."""
    with pytest.raises(ValueError, match="penalty is a number above 0, not"):
        generate.repetition_penalty(np.zeros((1, 3)), np.zeros((1, 2), int), penalty)


@contract
@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda x: generate.min_new_tokens(x, 0, 1, [3]),
            "stop id 3 is not in a vocab",
        ),
        (lambda x: generate.min_new_tokens(x, 0, 1, [-1]), "stop id -1 is not in"),
        (lambda x: generate.min_new_tokens(x, 0, 1, 2), "a list, even of one, not 2"),
        (lambda x: generate.min_new_tokens(x, -1, 1, [2]), "new must be a whole"),
        (lambda x: generate.min_new_tokens(x, 0, 1.5, [2]), "least must be a whole"),
        (
            lambda x: generate.top_k(x[:, :0], 1),
            r"top_k: logits \(1, 0\) have no tokens",
        ),
        (lambda x: generate.sample(x[:, :0], rng()), r"logits \(1, 0\) have no tokens"),
        (lambda x: generate.top_k(x.astype(int), 1), "holds int64, but needs floating"),
        (
            lambda x: generate.repetition_penalty(x, np.zeros((2, 4), int), 2.0),
            r"ids \(2, 4\) are not the tokens of the rows of logits \(1, 3\)",
        ),
        (
            lambda x: generate.no_repeat_ngram(x, np.zeros((1, 4)), 2),
            "ids holds float64",
        ),
    ],
)
def test_rules_name_what_does_not_fit(call, message):
    """Nothing is broadcast, and nothing is counted from the end."""
    with pytest.raises(ValueError, match=message):
        call(np.zeros((1, 3)))


@contract
@pytest.mark.parametrize(
    "given", [0, None, np.random.RandomState(0), np.random, [0, 1], [rng(), 5]]
)
def test_sample_wants_generators(given):
    """A seed would give the same token at every step; RandomState is another stream."""
    with pytest.raises(ValueError, match=r"np\.random\.default_rng\(seed\)"):
        generate.sample(np.zeros((2, 3)), given)


@contract
def test_sample_wants_a_generator_for_each_row():
    """Of three rows none is left without."""
    with pytest.raises(ValueError, match="2 generators for 3 rows"):
        generate.sample(np.zeros((3, 4)), [rng(0), rng(1)])


@contract
@pytest.mark.parametrize(
    "score, message",
    [
        (np.nan, "row 1 holds nan: look"),
        (np.inf, "row 1 holds inf, a score beyond its dtype"),
        (-np.inf, "row 1 has no token left, .* loosen the rules"),
    ],
)
def test_sample_names_the_row_without_a_chance(score, message):
    """And leaves the generator where it was."""
    logits, given = np.zeros((2, 3)), rng(1)
    logits[1] = score
    with pytest.raises(ValueError, match=message):
        generate.sample(logits, given)
    assert given.random() == rng(1).random()
