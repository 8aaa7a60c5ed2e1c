"""The spec of refvlm/recipes/remembering/views.py, on a model of chance weights."""

import numpy as np

from refvlm.recipes.remembering import scores, views

from ...spec import assert_close, law
from .small_memory import speaking_model


@law
def test_view_shows_where_a_question_looks():
    """Shares of all tokens of all pictures add up to one, what is seen of a slot is a
    share of what is seen, and the words are those that are answered."""
    model = speaking_model()
    (episode,), (asked,) = scores.drawn(5, [0], 3)
    seen = views.view(model, episode, asked)
    assert seen.likeness.shape == seen.shares.shape == (len(asked), 3, 2)
    assert_close(seen.shares.sum((1, 2)), np.ones(len(asked)))
    layers, heads = (
        model.config.text.num_hidden_layers,
        model.config.text.num_attention_heads,
    )
    assert seen.attention.shape == (len(asked), layers, heads)
    assert ((seen.attention > 0) & (seen.attention < 1)).all()
    assert ((seen.gate > 0) & (seen.gate < 1)).all()
    assert len(seen.said) == len(asked)
