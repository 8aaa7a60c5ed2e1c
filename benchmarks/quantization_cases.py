"""What is rounded, how it learns, and what is asked of it afterwards."""

from __future__ import annotations

from typing import NamedTuple

from refvlm.pretrained.quantizing import NAMES

SCHEMES = NAMES  # all that `python -m refvlm quantize` writes
LEARNT = ("int4", "int2", "ternary")  # schemes that the models go on learning in
TRAINING_SEEDS = (1, 2, 3)
FIRST_SEED = 31  # of scenes to count on; a round has the next one

# What is asked in a round: of each scene one caption; of each split so many pictures.
MODELS = {
    "fastvlm-tiny": {"scenes": 100, "questions": 4},
    "clip-tiny": {"pictures": 200, "rounds": 2},
}


class Learning(NamedTuple):
    """So many steps, the rate climbing to a peak that belongs to the scheme."""

    steps: int
    peaks: dict[str, float]

    def peak_of(self, scheme):
        """The peak of a scheme, and of the control that is rounded in it; that of two
        bits where the control is not."""
        return self.peaks[scheme or "int2"]


# The peak that ended at the smaller loss on seed 101, which is none of those that are
# reported: in four bits of 0.0001 and 0.0003, in fewer of 0.001 and 0.003 (150 steps of
# clip-tiny, in three values for both; 60 of fastvlm-tiny). In four bits there is little
# to mend, and the smaller the rate the better.
LEARNING = {
    "fastvlm-tiny": Learning(120, {"int4": 1e-4, "int2": 1e-3, "ternary": 3e-3}),
    "clip-tiny": Learning(150, {"int4": 1e-4, "int2": 1e-3, "ternary": 1e-3}),
}


class Case(NamedTuple):
    """A model in a scheme, or in none; as it is published, or after learning "rounded",
    or as long "unrounded"."""

    model: str
    scheme: str | None
    learning: str | None = None

    @property
    def name(self):
        """Its name in the record."""
        learnt = (f"learnt {self.learning}",) if self.learning else ()
        return ", ".join([self.model, self.scheme or "float", *learnt])


def cases(learnt):
    """Every case; those of learning where it is asked for."""
    for model in MODELS:
        yield from (Case(model, scheme) for scheme in (None, *SCHEMES))
        if learnt:
            yield from (Case(model, scheme, "rounded") for scheme in LEARNT)
            yield from (Case(model, s, "unrounded") for s in (None, *LEARNT))
