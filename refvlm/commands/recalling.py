"""What `ask --memory` needs: a model with what it remembers, and what that had to do
with an answer. With --json it is an object `memory`:

    pictures    how many are remembered
    gate        how likely the question is one for the memory; null without pictures
    open        whether the answer saw what was read there
    novelty     1 where nothing like it was written, near 0 where it was; or null
    shares      what each picture had to say, of all that they had, by its number
"""

from __future__ import annotations

import os
from pathlib import Path

from .notices import is_of_scenes

MODEL = "microvlm-tiny"
NOTHING = "nothing is remembered"
NEW = 0.5
"""What is newer than this to microvlm-tiny was seldom remembered: so new is fewer than
one in a hundred questions about a picture that is, and of those about one that was
forgotten nearly all beside two others, and half beside five (150 episodes of each)."""


def add_memory(command):
    """--memory FILE, for a command that asks."""
    command.add_argument(
        "--memory",
        type=Path,
        metavar="FILE",
        help="ask about the pictures, too, that `refvlm remember` wrote into this "
        "file; the question may then stand alone, in quotes (default: none)",
    )


def rememberer(directory: str | None):
    """The model that is meant, if it is one that remembers."""
    from .. import pretrained

    model = pretrained.load(directory or pretrained.shipped_model(MODEL))
    if not hasattr(model, "remember"):
        raise ValueError(
            f"{model.directory} holds a model that remembers no pictures: give a "
            f"MicroVLM-V, or leave --model out for {MODEL}"
        )
    return model


class Asking:
    """A model with the memory of a file, which need not be there yet, and a picture, or
    None, that is."""

    def __init__(self, path: Path, directory: str | None, picture):
        self.model, self.path = rememberer(directory), path
        if os.path.exists(path):
            self.model.memory.load(path)
        self.is_alone, self.question = picture is None, ""
        self._retrievals: list = []

    def stream(self, picture, question: str, max_new_tokens: int, **options):
        """`describe_stream`, with what is remembered."""
        self.question = question
        asked = question, picture, max_new_tokens
        return self.model.ask_stream(*asked, retrievals=self._retrievals, **options)

    def notices(self) -> list[str]:
        """What a user should know of the memory's part in the answer."""
        if not self._retrievals:
            guess = ", and no picture is there: the answer is a guess"
            return [
                f"{NOTHING} in {self.path}{guess if self.is_alone else ''}. `refvlm "
                "remember PICTURE --memory FILE` writes pictures into it"
            ]
        found = self._retrievals[0]
        if self.is_alone and not found.is_open:
            return [
                "the gate was closed: the question was taken for one about a picture "
                "that is there, and none is: the answer is a guess"
            ]
        if not is_of_scenes(self.model) or not found.is_open:
            return []
        if absent := self._absent():
            return [f"{absent}: the answer is a guess"]
        if found.novelty > NEW:
            return [
                "nothing like what is asked about is remembered (novelty "
                f"{found.novelty:.2f}): the answer may be a guess"
            ]
        return []

    def _absent(self):
        """Why the picture that the question counts to is not remembered, if it is
        not."""
        from ..scenes import ORDINALS

        memory = self.model.memory
        for number, ordinal in enumerate(ORDINALS, start=1):
            if f"in the {ordinal} picture" in self.question.lower():
                if number > (shown := memory.kept.shown):
                    return f"there is no {ordinal} picture: {shown} were remembered"
                if number not in memory.receipts:
                    return f"the {ordinal} picture was forgotten"
        return None

    def fields(self) -> dict:
        """What the memory had to do with the answer, as --json has it."""
        found = self._retrievals[0] if self._retrievals else None
        return {
            "pictures": len(self.model.memory),
            "gate": found and found.gate,
            "open": found is not None and found.is_open,
            "novelty": found and found.novelty,
            "shares": found.shares if found else {},
        }

    def sentence(self) -> str:
        """The same in words, for --verbose."""
        if not self._retrievals:
            return NOTHING
        found = self._retrievals[0]
        most = max(found.shares, key=found.shares.__getitem__)
        name = self.model.memory.receipts[most].name
        state = "open" if found.is_open else "closed"
        return (
            f"the memory's gate was {state} ({found.gate:.2f}); of what it read, "
            f"{100 * found.shares[most]:.0f} % was of picture {most}, {name!r:.60}; "
            f"novelty {found.novelty:.2f}"
        )
