"""The ways to join that are compared, what each is given, and what is asked of it."""

from __future__ import annotations

from refvlm.recipes.joints import JOINTS

SEEDS = (1, 2, 3)  # of training: the decoder's first numbers, the scenes, the texts
STEPS = 700
FIRST_SEED = 31  # of scenes to count on; a round has the next one
SCENES, QUESTIONS = 100, 8  # of a round
TOGETHER = 20  # steps of which the curve has the mean
WORDS = 16  # of the question that FLOPs are counted of

# The peak that ended at the smaller loss on seed 101, which is none of those that are
# reported: of 0.002 and 0.005, the last 40 of 240 steps; three joints were tried with
# 0.01, too, and all of them were worse. Those that were not tried (linear, early, the
# gates that are open, and two of the late ones) have the rate of their kind.
PEAKS = dict.fromkeys(JOINTS, 5e-3) | {"Q-Former": 2e-3}


def slug(joint):
    """The name of a joint in a folder's name.

    >>> slug("late, MLP")
    'late-mlp'
    """
    return joint.lower().replace(",", "").replace(" ", "-")
