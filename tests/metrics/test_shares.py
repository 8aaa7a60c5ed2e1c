"""The spec of refvlm/metrics/shares.py."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refvlm.metrics.shares import Share, share_above, share_of, table

from ..spec import example, law


@example
def test_table_has_a_line_for_each_heading():
    """Shares in percent, one under the other, each with its count."""
    shares = {"captions": Share(3, 4), "size": Share(0, 0)}
    assert table(shares) == ["captions   75.0 % of 4", "size        nan % of 0"]
    assert table({}) == []


@law
@given(st.lists(st.booleans()))
def test_share_of_counts_what_is_true(answers):
    """So many of so many, also from a generator."""
    expected = Share(answers.count(True), len(answers))
    assert share_of(answers) == share_of(iter(answers)) == expected


@law
@given(*[st.lists(st.integers(0, 4), min_size=1, max_size=6)] * 2)
def test_share_above_counts_pairs(low, high):
    """Each one of the first with each of the second; the same twice is half a pair."""
    pairs = [(a < b) + (a == b) / 2 for a in low for b in high]
    expected = Share(int(sum(pairs)), len(low) * len(high))
    assert share_above(np.array(low), np.array(high)) == expected


@law
def test_share_is_two_numbers_in_a_file():
    """A reader of the JSON can add shares up, as of percentages they could not."""
    assert json.loads(json.dumps({"size": Share(3, 4)})) == {"size": [3, 4]}
