r"""Rules of sampling: scores in, scores out, and what is ruled out is -inf.

$P(y) = \operatorname{softmax}(s)_y$ is the probability that y is the next token. A rule
changes the scores s, so rules stand one behind the other; what they leave shares what
they take away, since softmax divides by the sum of what is there. `sample` comes last.
A row with nan has no likeliest token: rules leave its nan there, `sample` refuses it.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..kernels import computed_by
from ..kernels.nucleus import nucleus
from ..shapes import shapes
from . import demands


@shapes(demands.some_tokens, demands.a_temperature, logits="... v", returns="... v")
def temperature(logits, temperature):
    r"""Sharper below 1, flatter above:
    $P_\tau(y) = e^{s_y/\tau} \big/ \sum_{y'} e^{s_{y'}/\tau}$, softmax of $s/\tau$.

    Towards 0 only the likeliest token is left, as with `greedy`; a temperature so small
    that a score outgrows its dtype is refused.

    Source: [Cortes] 4.4. Oracle: transformers.TemperatureLogitsWarper.

    >>> ops.softmax(temperature(np.log([[1.0, 3.0]]), 0.5))  # 1 to the square of 3
    array([[0.1, 0.9]])
    """
    with np.errstate(all="ignore"):
        scores = logits / temperature
    demands.still_numbers("temperature", logits, scores, temperature)
    return scores


@shapes(demands.some_tokens, demands.at_least_one, logits="... v", returns="... v")
def top_k(logits, k, least=1):
    r"""Only the k likeliest: y stays where $s_y \ge s_{(k)}$, the k-th largest score.

    Whatever ties with the k-th stays, so there can be more. Of a vocabulary of fewer
    all stay, and `least` of them whatever k says.

    Source: [Fan2018]. Oracle: transformers.TopKLogitsWarper.

    >>> top_k(np.array([[1.0, 4.0, 2.0, 2.0]]), 2)
    array([[-inf,   4.,   2.,   2.]])
    """
    check_whole("top_k", least=1, k=k)
    k = min(max(k, least), logits.shape[-1])
    border = np.partition(logits, -k, axis=-1)[..., -k, None]
    return np.where(logits < border, -np.inf, logits)


@shapes(
    demands.some_tokens,
    demands.a_share,
    demands.at_least_one,
    logits="... v",
    returns="... v",
)
@computed_by(nucleus)
def top_p(logits, p, least=1):
    r"""The nucleus, the fewest likeliest tokens that hold p together: with the
    likeliest first, $y_i$ stays where $\sum_{j<i} P(y_j) < p$.

    Asked from the other end, as here: what goes is a token that holds, with all that
    stand behind it, no more than $1 - p$; where a sum is within a rounding of p, that
    decides.
    Of tokens that tie at the border the lower ids go first (in transformers, those that
    its sort puts first, which promises no order). `least` stay whatever p says.

    Source: [Cortes] 4.4. Oracle: transformers.TopPLogitsWarper.

    >>> top_p(np.log([[0.5, 0.3, 0.15, 0.05]]), 0.75) > -np.inf
    array([[ True,  True, False, False]])
    """
    order = np.argsort(logits, axis=-1, kind="stable")  # the least likely first
    likely = _probabilities(np.take_along_axis(logits, order, axis=-1))
    tail = np.cumsum(likely, axis=-1, dtype=np.float64).astype(logits.dtype)
    goes, is_out = tail <= 1 - p, np.zeros(logits.shape, bool)
    goes[..., -least:] = False
    np.put_along_axis(is_out, order, goes, axis=-1)
    return np.where(is_out, -np.inf, logits)


@shapes(
    demands.some_tokens,
    demands.a_share,
    demands.at_least_one,
    logits="... v",
    returns="... v",
)
def min_p(logits, p, least=1):
    r"""What is not far behind the likeliest: y stays where
    $P(y) \ge p \max_{y'} P(y')$.

    Where the model is sure few tokens stay, where it is not, many; and the `least`
    likeliest whatever p says, of equal ones the lower ids.

    Source: [Nguyen2024]. Oracle: transformers.MinPLogitsWarper.

    >>> min_p(np.log([[0.5, 0.25, 0.125, 0.125]]), 0.5) > -np.inf
    array([[ True,  True, False, False]])
    """
    likely = _probabilities(logits)
    is_out = likely < p * likely.max(axis=-1, keepdims=True)
    if least > 1:
        likeliest = ops.topk_indices(logits, min(least, logits.shape[-1]))
        np.put_along_axis(is_out, likeliest, False, axis=-1)
    return np.where(is_out, -np.inf, logits)


@shapes(
    demands.some_tokens,
    demands.ids_of_the_rows,
    demands.a_penalty,
    logits="... v",
    ids="...i t of integers",
    returns="... v",
)
def repetition_penalty(logits, ids, penalty):
    r"""What was said is less likely to be said again: of every y among the ids,
    $s_y / a$ where $s_y \ge 0$, else $a s_y$, with the penalty a.

    ids (..., t) are the tokens so far. However often one stands there, it is penalised
    once. An id below 0 is no token, and one beyond the vocabulary cannot be said.

    Source: [Keskar2019]. Oracle: transformers.RepetitionPenaltyLogitsProcessor.

    >>> repetition_penalty(np.array([[3.0, -1.0, 3.0]]), np.array([[0, 1, 0]]), 1.5)
    array([[ 2. , -1.5,  3. ]])
    """
    scores, ids = _with_room(logits, ids)
    said = np.take_along_axis(scores, ids, axis=-1)
    with np.errstate(all="ignore"):
        less = np.where(said < 0, said * penalty, said / penalty)
    demands.still_numbers("repetition_penalty", said, less, penalty)
    np.put_along_axis(scores, ids, less, axis=-1)
    return scores[..., :-1]


@shapes(
    demands.some_tokens,
    demands.ids_of_the_rows,
    logits="... v",
    ids="...i t of integers",
    returns="... v",
)
def no_repeat_ngram(logits, ids, size):
    """No n tokens in a row twice: y is out where the last n - 1 ids and y stand
    somewhere among the ids already; `size` is n.

    ids (..., t) are the tokens so far. An id below 0 is no token, and no n-gram reaches
    across it. Size 1 rules out all that was said.

    Source: [Paulus2018]. Oracle: transformers.NoRepeatNGramLogitsProcessor.

    >>> no_repeat_ngram(np.zeros((1, 4)), np.array([[2, 3, 1, 2]]), 2)  # 2 3 was there
    array([[  0.,   0.,   0., -inf]])
    """
    check_whole("no_repeat_ngram", least=1, size=size)
    if ids.shape[-1] < size:
        return logits.copy()
    grams = np.lib.stride_tricks.sliding_window_view(ids, size, axis=-1)
    last = ids[..., None, ids.shape[-1] - size + 1 :]
    again = (grams[..., :-1] == last).all(axis=-1) & (grams >= 0).all(axis=-1)
    scores, ends = _with_room(logits, np.where(again, grams[..., -1], -1))
    np.put_along_axis(scores, ends, -np.inf, axis=-1)
    return scores[..., :-1]


@shapes(
    demands.some_tokens,
    demands.stops_of_the_vocabulary,
    logits="... v",
    returns="... v",
)
def min_new_tokens(logits, new, least, stop_ids: Collection[int]):
    """No stop before there are `least` new tokens, of which there are `new`: until
    then, the stop ids are out.

    Source: transformers' generate. Oracle: transformers'
    MinNewTokensLengthLogitsProcessor.

    >>> min_new_tokens(np.zeros((1, 3)), new=1, least=2, stop_ids=[2])
    array([[  0.,   0., -inf]])
    """
    scores = logits.copy()
    if new < least:
        scores[..., list(stop_ids)] = -np.inf
    return scores


@shapes(
    demands.some_tokens,
    demands.a_chance,
    demands.a_generator_or_one_a_row,
    logits="... v",
)
def sample(logits, rng):
    r"""A token of each row, y with probability P(y): the first with
    $\sum_{y' \le y} P(y') > u$, where u is uniform in [0, 1).

    logits (..., v) -> ids (...). rng is a NumPy generator, which gives each row a u in
    turn, or a list of one for each row: a row then draws alone what it draws in a
    batch. Sums are in float64.

    Source: [Cortes] 4.4. Oracle: the probabilities themselves, by a chi-square test.

    >>> sample(np.log([[0.5, 0.5], [0.9, 0.1]]), np.random.default_rng(0))
    array([1, 0])
    """
    rows = logits.reshape(-1, logits.shape[-1])
    is_one = isinstance(rng, np.random.Generator)
    generators = [rng] * len(rows) if is_one else rng
    ids = [_drawn(row, each.random()) for row, each in zip(rows, generators)]
    return np.array(ids, np.int64).reshape(logits.shape[:-1])


def _probabilities(logits):
    """Softmax, and nan where none is the likeliest: `sample` says what is wrong."""
    with np.errstate(invalid="ignore"):
        return ops.softmax(logits)


def _drawn(row, u):
    """The token at which the running sum of a row first exceeds u of the whole."""
    tokens = np.flatnonzero(row > -np.inf)
    scores = row[tokens].astype(np.float64)
    running = np.cumsum(np.exp(scores - scores.max()))
    return tokens[np.searchsorted(running, u * running[-1], side="right")]


def _with_room(logits, ids):
    """A copy with one score more, for which stands every id that is no token."""
    room = np.zeros((*logits.shape[:-1], 1), logits.dtype)
    is_token = (ids >= 0) & (ids < logits.shape[-1])
    return np.concatenate([logits, room], axis=-1), np.where(is_token, ids, -1)
