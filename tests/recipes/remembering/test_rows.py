"""The spec of refvlm/recipes/remembering/rows.py."""

import pytest

from refvlm.objectives.language import IGNORE
from refvlm.recipes.remembering.rows import Asked, ask_in_rows

from ...spec import contract, example, law

SHORT, LONG = Asked([5, 6], [1, 7, 2]), Asked([8, 9, 10], [1, 3, 4, 2], 0.5)
BLIND = Asked([11, 12], [1, 3, 2], blind=True)


@example
def test_ask_in_rows_puts_the_last_words_last():
    """Of rows of unequal length the shorter is filled up before them, its answers
    behind them."""
    rows = ask_in_rows([[SHORT, LONG], [SHORT, BLIND]], picture=2)
    assert rows.ids.tolist() == [[5, 8, 9, 6, 10], [5, 11, 0, 6, 12]]
    assert rows.answers.tolist() == [[1, 7, 1, 3, 4], [1, 7, 1, 3, 0]]
    assert rows.labels.tolist() == [[7, 2, 3, 4, 2], [7, 2, 3, 2, IGNORE]]
    assert rows.owner.tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 1, -1]]
    assert rows.weights[0].tolist() == [1, 1, 0.5, 0.5, 0.5]


@example
def test_ask_in_rows_counts_places_as_if_asked_alone():
    """Behind the picture, or where it is not seen from the beginning."""
    rows = ask_in_rows([[SHORT, BLIND]], picture=2)
    assert rows.reading.positions.tolist() == [[0, 1, 2, 0, 3, 1]]
    assert rows.answering.positions.tolist() == [[4, 5, 2, 3]]


@law
def test_ask_in_rows_shows_each_its_own():
    """The picture where it is seen, the question's words so far, the answer's so far:
    and nothing else."""
    rows = ask_in_rows([[SHORT, LONG, BLIND], [LONG, BLIND, SHORT]], picture=2)
    reads, answers = rows.reading.sees.sum(-1), rows.answering.sees.sum(-1)
    for row, questions in enumerate([[SHORT, LONG, BLIND], [LONG, BLIND, SHORT]]):
        assert reads[row, :2].tolist() == [1, 2]
        for number, (words, answer, _, blind) in enumerate(questions):
            seen = 0 if blind else 2
            assert reads[row, -3 + number] == seen + len(words)
            said = answers[row, rows.owner[row] == number]
            behind = seen + len(words)
            assert said.tolist() == [behind + i for i in range(1, len(answer))]


@law
def test_ask_in_rows_shows_everyone_something():
    """Padding sees itself: a softmax of nothing would be no number."""
    rows = ask_in_rows([[SHORT, LONG], [SHORT, SHORT]], picture=1)
    assert rows.reading.sees.any(-1).all() and rows.answering.sees.any(-1).all()


@contract
@pytest.mark.parametrize("rows", [[], [[]], [[SHORT], [SHORT, LONG]]])
def test_ask_in_rows_wants_as_many_questions_in_each(rows):
    """A row has a last word for each question."""
    with pytest.raises(ValueError, match="ask_in_rows: rows have .* as many each"):
        ask_in_rows(rows, picture=1)
