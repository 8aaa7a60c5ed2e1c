"""A small world to learn from: pictures whose every fact is known.

One to four objects - six shapes, eight colours, two sizes - lie on a background.
`sample` makes a scene, `draw` its picture, `captions` and `questions` what can be
said and asked about it; `judge` reads a caption and says whether it is true. All of
it is a function of a generator's seed. Six pairs of colour and shape, `HELD_OUT`,
never occur in training, neither in pictures nor in words: who names them has learnt
colours and shapes, not pairs.

    rng = np.random.default_rng(0)
    scene = sample(rng)
    draw(scene)                   # (128, 128, 3) uint8
    captions(scene)               # ["a large red ring to the left of ...", ...]
    questions(scene, rng, 4)      # [Question("colour", "what colour is ...?", "red")]
    judge("a small red ring.", scene).mistakes
"""

from .asking import KINDS, Question, questions
from .drawing import as_jpeg, draw
from .foreign import CANVASES, PICTURES
from .judging import Judgement, judge, judge_answer
from .language import caption, captions, describe, place_of
from .mirroring import mirror, mirror_text
from .parsing import Described, Statement, parse
from .sampling import sample
from .world import (
    COLOURS,
    HELD_OUT,
    NUMBERS,
    PLACES,
    SHAPES,
    SIZES,
    SPLITS,
    Background,
    Camera,
    Object,
    Scene,
)

__all__ = [
    "CANVASES",
    "COLOURS",
    "HELD_OUT",
    "KINDS",
    "NUMBERS",
    "PICTURES",
    "PLACES",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "Background",
    "Camera",
    "Described",
    "Judgement",
    "Object",
    "Question",
    "Scene",
    "Statement",
    "as_jpeg",
    "caption",
    "captions",
    "describe",
    "draw",
    "judge",
    "judge_answer",
    "mirror",
    "mirror_text",
    "parse",
    "place_of",
    "questions",
    "sample",
]
