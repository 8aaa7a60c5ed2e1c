"""What is left of a picture's tokens, how they are chosen, and what is asked then."""

from __future__ import annotations

from typing import NamedTuple

from refvlm.analysis import fewer_patches, fewer_tokens

FIRST_SEED = 31  # of scenes to count on; a round has the next one

# What is asked in a round: of each scene one caption; of each picture its name.
MODELS = {
    "fastvlm-tiny": {"scenes": 100, "questions": 4},
    "clip-tiny": {"pictures": 200},
}
TOKENS = {  # how many there are, and how many are left
    "fastvlm-tiny": (16, (12, 8, 6, 4, 2, 1)),
    "clip-tiny": (64, (48, 32, 24, 16, 8, 4)),
}
WAYS = {"fastvlm-tiny": fewer_tokens.WAYS, "clip-tiny": fewer_patches.WAYS}

# Small things that the papers say matter: the same with the other choice.
OTHERWISE = {
    "fastvlm-tiny": {"way": ("norm", "merged"), "keep": (12, 8), "what": "gaps closed"},
    "clip-tiny": {
        "way": ("merged", "clusters"),
        "keep": (48, 32, 24, 16),
        "what": "sizes forgotten",
    },
}


class Case(NamedTuple):
    """A model that goes on with so many tokens, chosen in a way; all of them, in none;
    perhaps with the other choice of `OTHERWISE`."""

    model: str
    keep: int
    way: str | None
    otherwise: bool = False

    @property
    def name(self):
        """Its name in the record."""
        if self.way is None:
            return f"{self.model}, all {self.keep}"
        other = (OTHERWISE[self.model]["what"],) if self.otherwise else ()
        return ", ".join([self.model, f"{self.keep} tokens", self.way, *other])


def cases():
    """Every case of every model."""
    for model, (there, left) in TOKENS.items():
        yield Case(model, there, None)
        yield from (Case(model, keep, way) for way in WAYS[model] for keep in left)
        other = OTHERWISE[model]
        for way in other["way"]:
            yield from (Case(model, keep, way, True) for keep in other["keep"])
