"""A small world to learn from: pictures whose every fact is known.

One to four objects - six shapes, eight colours, two sizes - lie on a background.
`sample` makes a scene, `draw` its picture, `captions` and `questions` what can be
said and asked about it; `judge` reads a caption and says whether it is true. All of
it is a function of a generator's seed. Six pairs of colour and shape, `HELD_OUT`,
never occur in training, neither in pictures nor in words: who names them has learnt
colours and shapes, not pairs.

An `Episode` is several of these scenes, of which one is still there: `recollections`
asks what was in the others, which have to be remembered.

    rng = np.random.default_rng(0)
    scene = sample(rng)
    draw(scene)                   # (128, 128, 3) uint8
    captions(scene)               # ["a large red ring to the left of ...", ...]
    questions(scene, rng, 4)      # [Question("colour", "what colour is ...?", "red")]
    judge("a small red ring.", scene).mistakes
    episode = sample_episode(rng, 4)
    recollections(episode, rng, 8)  # "in which picture was the green star?", ...
"""

from .asking import KINDS, Question, questions
from .drawing import as_jpeg, draw
from .episodes import Episode, choose, compose, sample_episode, sample_two
from .foreign import CANVASES, PICTURES
from .judging import Judgement, judge, judge_answer
from .language import caption, captions, describe, place_of
from .mirroring import mirror, mirror_text
from .parsing import Described, Statement, parse
from .recalling import ORDINALS, RECALLED, Recollection, chance, recollections
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
    "ORDINALS",
    "PICTURES",
    "PLACES",
    "RECALLED",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "Background",
    "Camera",
    "Described",
    "Episode",
    "Judgement",
    "Object",
    "Question",
    "Recollection",
    "Scene",
    "Statement",
    "as_jpeg",
    "caption",
    "captions",
    "chance",
    "choose",
    "compose",
    "describe",
    "draw",
    "judge",
    "judge_answer",
    "mirror",
    "mirror_text",
    "parse",
    "place_of",
    "questions",
    "recollections",
    "sample",
    "sample_episode",
    "sample_two",
]
