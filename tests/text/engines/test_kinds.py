"""The table of kinds: each reads what it wrote, and claims no other's."""

import json
import random

import pytest

from refvlm.text import TokenizerError, learn_raw_bpe, learn_unigram
from refvlm.text.bpe.byte_level_bpe import GPT2BPE
from refvlm.text.bpe.learning import learn_byte_level, learn_clip_bpe
from refvlm.text.engines.kinds import KINDS, read_subwords
from refvlm.text.engines.plain import PlainEngine
from refvlm.text.word_piece.learning import learn_word_piece

from ...checkpoint.test_hostile_files import mutate_bytes, mutate_json
from ...spec import contract, law

TEXTS = ["a red cube on a red table", "It isn't 12 cm, naïve 数学"]
MARKERS = ["<a>", "<b>"]
BYTES = learn_byte_level(TEXTS, 280, MARKERS)
LEARNT = {
    "CLIPBPE": learn_clip_bpe(TEXTS, 530, MARKERS),
    "GPT2BPE": GPT2BPE(BYTES.vocabulary, BYTES.merges, MARKERS, prefix_space=True),
    "ByteLevelBPE": BYTES,
    "RawStreamBPE": learn_raw_bpe(TEXTS, 300, MARKERS),
    "Unigram": learn_unigram(TEXTS, 40, MARKERS),
    "WordPiece": learn_word_piece(TEXTS, 80),
}


@law
@pytest.mark.parametrize("kind", KINDS)
def test_read_subwords_opens_what_each_kind_wrote(kind):
    """Described and read again, it is of the same kind, and says the same ids."""
    learnt = LEARNT[kind.__name__]
    markers = {name: learnt.vocabulary[name] for name in learnt.markers}
    again = read_subwords(learnt.describe(), markers, "here")
    assert type(again) is kind
    assert again.describe() == learnt.describe()
    for text in TEXTS:
        assert again.encode(text) == learnt.encode(text)


@contract
def test_read_subwords_recommends_the_library_for_other_kinds():
    """A model that nothing in the table claims is named."""
    with pytest.raises(TokenizerError, match=r"its model is 'WordLevel', .* library"):
        read_subwords({"model": {"type": "WordLevel"}}, {}, "here")
    with pytest.raises(TokenizerError, match="its 'model' is None"):
        read_subwords({}, {}, "here")


@contract
@pytest.mark.parametrize("kind", KINDS)
def test_plain_engine_survives_hostile_files_of_any_kind(kind):
    """Cut at any byte or changed at random, a file works or is refused in a sentence;
    nothing else is raised, by reading it or by what it then does."""
    rng = random.Random(2)
    whole = json.dumps(LEARNT[kind.__name__].describe())
    cuts = [whole[: rng.randrange(len(whole))].encode() for _ in range(30)]
    bytewise = [mutate_bytes(whole.encode(), rng) for _ in range(60)]
    changed = [
        json.dumps(mutate_json(json.loads(whole), rng)).encode() for _ in range(90)
    ]
    refused = 0
    for content in [*cuts, *bytewise, *changed]:
        try:
            engine = PlainEngine.from_json(content.decode("utf-8", "replace"), "here")
            ids = engine.encode("Red <a> it isn't 数 \x00", True)
            engine.decode([*ids, 0, 5, 1 << 20], False)
            engine.frame()
        except TokenizerError as error:
            assert str(error).startswith("here")
            refused += 1
    assert 30 < refused < 180
