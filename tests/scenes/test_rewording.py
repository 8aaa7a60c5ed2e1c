"""The spec of refvlm/scenes/rewording.py."""

import numpy as np

from refvlm import scenes
from refvlm.scenes import rewording, wording
from refvlm.text.chat import DESCRIBE

from ..spec import law


@law
def test_other_words_are_of_no_form_and_keep_the_answer():
    """Every question can be put in every wording, and none of them is one of training;
    what a wording does not touch is left out."""
    touched = dict.fromkeys(rewording.WORDINGS, 0)
    for number in range(200):
        rng = np.random.default_rng([number, 6])
        for question in scenes.questions(scenes.sample(rng), rng, 10):
            for name in rewording.WORDINGS:
                new = rewording.reworded(question, name)
                if new is None:
                    continue
                touched[name] += 1
                assert (new.kind, new.answer) == (question.kind, question.answer)
                known = wording.form_of(new.text)
                assert (known is not None) == (name == "as in training"), new.text
    assert touched['"color" for "colour"'] < touched["in other words"]
    assert touched["in other words"] == touched["as in training"] > 1000


@law
def test_requests_begin_with_that_of_training():
    """It is what the others are compared with."""
    assert rewording.REQUESTS[0] == DESCRIBE
    assert len(set(rewording.REQUESTS)) == len(rewording.REQUESTS)
