"""The spec of refvlm/pretrained/remembering.py: a model asked about what it has seen.

Its tensors are random, so what it says is nothing. That it is the same, or another, as
a law demands, is asked of what it says and of how sure it was.
"""

import copy
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import refvlm
from refvlm.blocks.episodic_memory.gates import gate_bias
from refvlm.checkpoint import CheckpointError, Weights
from refvlm.models import microvlm, microvlm_memory
from refvlm.models.splicing import IMAGE
from refvlm.pretrained import FadingWarning, Remembering
from refvlm.recipes.remembering import passes
from refvlm.recipes.remembering.rows import Asked, ask_in_rows

from .. import microvlm_files
from ..spec import contract, example, law

# To random tensors pictures are much alike, and take from each other what is left.
pytestmark = pytest.mark.filterwarnings("ignore::refvlm.pretrained.FadingWarning")
PICTURES = microvlm_files.drawn(6)
QUESTION = "in which picture was the ring?"
WIRINGS = {
    "tokens": {},
    "all heads": {"heads": 6},
    "contexts": microvlm_files.CONTEXTS,
}


@pytest.fixture(scope="module", params=WIRINGS)
def directory(request, tmp_path_factory):
    document = microvlm_files.described(memory=WIRINGS[request.param])
    return microvlm_files.write(tmp_path_factory.mktemp("microvlm"), document)


@pytest.fixture
def model(directory):
    return refvlm.load(directory)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.memory"


def tokens_model(tmp_path, **memory):
    document = microvlm_files.described(memory=memory)
    return refvlm.load(microvlm_files.write(tmp_path, document))


def logits_of(model, question, picture, gate="open"):
    """Scores of the first word of the answer."""
    seen = []
    options = {"watch": lambda logits, ids: seen.append(logits), "gate": gate}
    for _ in model.ask_stream(question, picture, 1, **options):
        pass
    return seen[0]


@law
def test_load_opens_a_model_that_remembers(model):
    """It is a VLM as any other, and has a memory."""
    assert isinstance(model, Remembering) and isinstance(model, refvlm.pretrained.VLM)
    pixels = model.preprocessor(PICTURES[0])[None]
    ids = model.prompt_ids("where?")
    assert ids[0, 0] == IMAGE and ids[0, -1] == model.tokenizer.token_id("<|answer|>")
    shape = model.logits(pixels, ids).shape
    assert shape == (1, 5 + ids.shape[1] - 1, model.config.text.vocab_size)
    said = model.describe(PICTURES[0], "where?", 5)
    assert model.answers([PICTURES[0]], ["where?"], 5) == [said]
    looked = model.attention(PICTURES[0], "where?", [5, 6])
    assert looked.shape == (2, 1, 5)


@law
def test_the_models_own_logits_are_the_functions(model):
    """What the face computes is the composition of its parts."""
    weights = Weights({name: model.weights[name] for name in model.weights})
    pixels = model.preprocessor(PICTURES[0])[None]
    ids = model.prompt_ids("where?")
    seen = microvlm.encode_image(pixels, weights, model.config)
    joined, mask, _ = microvlm.fused(seen, ids[:, 1:], weights)
    hidden = microvlm.SPEAKER.forward(
        joined, weights.scope(microvlm.DECODER), model.config.text, mask
    )
    expected = microvlm.SPEAKER.logits(hidden, weights)
    np.testing.assert_allclose(model.logits(pixels, ids), expected, atol=1e-5)


@law
@pytest.mark.parametrize("picture", [None, PICTURES[5]])
def test_ask_with_a_closed_gate_is_no_memory(model, picture):
    """To the bit: what is remembered changes nothing then, and without a memory the
    answer is that of `answers`."""
    before = logits_of(model, QUESTION, picture)
    reply = model.recall(QUESTION, picture, 6)
    assert reply.retrieval is None
    model.remember(*PICTURES[:3])
    np.testing.assert_array_equal(logits_of(model, QUESTION, picture, "closed"), before)
    closed = model.recall(QUESTION, picture, 6, gate="closed")
    assert closed[:2] == reply[:2] and not closed.retrieval.is_open
    assert np.abs(logits_of(model, QUESTION, picture) - before).max() > 1e-3
    if picture is not None:
        said = model.replies([picture], [QUESTION], 6)[0]
        assert said.text == reply.text
        assert said.confidence == pytest.approx(reply.confidence, abs=1e-5)


@law
def test_ask_sees_what_the_models_function_would_show_it(model):
    """By hand: the prompt up to its last word, the memory asked, the slot put before
    it, and then the rest of the prompt."""
    model.remember(*PICTURES[:2])
    weights, config = model.weights, model.config
    ids = model.prompt_ids(QUESTION)
    embeddings = weights[microvlm.EMBEDDING][ids[:, 1:]]
    memory = type(model.memory.belief)(*(part[None] for part in model.memory.belief))
    text, scope = config.text, weights.scope(microvlm.DECODER)
    cache = microvlm.SPEAKER.new_cache(text, 1, 64)
    if config.memory.wiring == "contexts":
        context, rest = embeddings.mean(axis=1, keepdims=True), embeddings
    else:
        forward = microvlm.SPEAKER.forward
        context = forward(embeddings[:, :-1], scope, text, cache=cache)[:, -1:]
        rest = embeddings[:, -1:]
    found = microvlm_memory.recall(memory, context, weights, config)
    cache.slots = microvlm_memory.slots(found.read, weights, config)
    hidden = microvlm.SPEAKER.forward(rest, scope, text, cache=cache)
    expected = microvlm.SPEAKER.logits(hidden, weights)[:, -1]
    np.testing.assert_allclose(logits_of(model, QUESTION, None), expected, atol=1e-5)


@law
@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize("gate", ["open", "soft", "closed"])
def test_ask_is_what_the_recipe_trains(tmp_path, blind, gate):
    """The recipe reads many questions in a row, each with a slot of its own; whoever
    asks one alone, with a picture or without, gets the same scores."""
    model = tokens_model(tmp_path)
    past, present = PICTURES[:3], PICTURES[3]
    model.remember(*past)
    weights, config = model.weights, model.config
    pixels = model.preprocessor.batch([*past, present])
    tokens = microvlm.encode_image(pixels, weights, config)[None]
    answer = [model.tokenizer.token_id("<|answer|>"), 70, 71]
    questions = [
        Asked(model.tokenizer.encode(text), answer, blind=blind and text == QUESTION)
        for text in ("another?", QUESTION)
    ]
    rows = ask_in_rows([questions], tokens.shape[2])
    read = passes.read_rows(tokens[:, -1], rows, weights, config)
    stored = microvlm_memory.store(tokens[:, :-1], weights, config)
    found = microvlm_memory.recall(stored.memory, read.questions, weights, config)
    bias = {
        "open": np.zeros_like(found.gate),
        "soft": gate_bias(found.gate),
        "closed": np.full_like(found.gate, -np.inf),
    }[gate]
    slots = passes.own_slots(found.read, bias, rows, weights, config)
    scores = passes.answer_rows(rows, read, weights, config, slots)
    expected = scores[0, rows.answers[0].tolist().index(answer[0], 1)]
    seen = logits_of(model, QUESTION, None if blind else present, gate)[0]
    np.testing.assert_allclose(seen, expected, atol=2e-5)


@law
def test_ask_opens_the_gate_as_it_was_learnt(directory, tmp_path):
    """Hard, it is open from one half on; soft, it is its logarithm on the score."""
    model = refvlm.load(directory)
    stored = {name: model.weights[name] for name in model.weights}
    last = f"{microvlm.SCOPE}.mlp.6.bias"
    for shift, expected in ((30.0, "open"), (-30.0, "closed")):
        moved = {**stored, last: stored[last] + np.float32(shift)}
        model.weights = Weights(moved)
        fresh = Remembering(model.config, model.weights, directory, family=model.family)
        fresh.remember(*PICTURES[:2])
        hard = logits_of(fresh, QUESTION, None, "hard")
        np.testing.assert_array_equal(hard, logits_of(fresh, QUESTION, None, expected))
        soft = logits_of(fresh, QUESTION, None, "soft")
        np.testing.assert_allclose(soft, hard, atol=1e-5)
        found = fresh.recall(QUESTION, max_new_tokens=1).retrieval
        assert found.is_open == (expected == "open") == (found.gate > 0.5)


@law
def test_remember_one_by_one_is_all_at_once(tmp_path):
    """Where the order is read one way; numbers go on, and so does the order."""
    one, all_at_once = tokens_model(tmp_path), tokens_model(tmp_path)
    assert [one.remember(picture) for picture in PICTURES[:4]] == [[1], [2], [3], [4]]
    assert all_at_once.remember(*PICTURES[:4]) == [1, 2, 3, 4]
    for ours, theirs in zip(one.memory.belief, all_at_once.memory.belief):
        np.testing.assert_array_equal(ours, theirs)


@law
def test_remember_sees_the_order(model):
    """The same pictures in another order are another memory."""
    model.remember(*PICTURES[:3])
    belief = model.memory.belief
    again = Remembering(
        model.config, model.weights, model.directory, family=model.family
    )
    again.remember(*PICTURES[2::-1])
    assert np.abs(again.memory.belief.mean - belief.mean).max() > 1e-3


@law
def test_remember_takes_what_describe_takes(tmp_path):
    """A path, bytes, a stream or an array; the file's name is the picture's."""
    from PIL import Image

    model, file = tokens_model(tmp_path), tmp_path / "a\nb.png"
    Image.fromarray(PICTURES[0]).save(file)
    with open(file, "rb") as stream:
        model.remember(file, str(file), file.read_bytes(), stream, PICTURES[0])
    receipts = model.memory.receipts.values()
    assert [one.name for one in receipts][:3] == ["a\nb.png", "a\nb.png", "bytes"]
    model.remember(PICTURES[0], names=["the first"])
    assert model.memory.receipts[6].name == "the first"


@law
def test_forget_is_as_if_it_had_not_been(model):
    """The last picture forgotten, the answer is the one before; its number is not
    given again."""
    model.remember(*PICTURES[:2])
    before, belief = logits_of(model, QUESTION, None), model.memory.belief
    for number in (3, 4):
        assert model.remember(PICTURES[number]) == [number]
        model.forget(number)
        np.testing.assert_allclose(logits_of(model, QUESTION, None), before, atol=1e-3)
        assert [*model.memory.receipts] == [1, 2]
        np.testing.assert_allclose(model.memory.belief.mean, belief.mean, atol=1e-4)
    model.forget(1)
    model.forget(2)
    assert model.recall(QUESTION, max_new_tokens=1).retrieval is None


@law
def test_save_and_load_are_no_interruption(directory, model, path):
    """To the bit, from any place in the story."""
    model.remember(*PICTURES[:3])
    model.forget(2)
    model.memory.save(path)
    other = refvlm.load(directory)
    other.memory.load(path)
    assert other.remember(PICTURES[4]) == model.remember(PICTURES[4]) == [4]
    for one in (model, other):
        one.forget(1)
    for ours, theirs in zip(model.memory.belief, other.memory.belief):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(
        logits_of(model, QUESTION, None), logits_of(other, QUESTION, None)
    )
    assert (
        model.recall(QUESTION, max_new_tokens=3)[:2]
        == other.recall(QUESTION, max_new_tokens=3)[:2]
    )


@law
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_remembers_by_itself(tmp_path, copied):
    """It takes along what was remembered, and then each goes its own way."""
    model = tokens_model(tmp_path)
    model.remember(*PICTURES[:2])
    other = copied(model)
    assert other.remember(PICTURES[2]) == [3] and [*model.memory.receipts] == [1, 2]
    assert model.remember(PICTURES[2]) == [3]
    np.testing.assert_array_equal(
        logits_of(model, QUESTION, None), logits_of(other, QUESTION, None)
    )


@law
def test_recall_tells_what_the_memory_said(model):
    """Shares of the pictures that sum to one, and less novelty once it is written."""
    model.remember(PICTURES[0])
    first = model.recall(QUESTION, max_new_tokens=1).retrieval
    assert first.shares == {1: pytest.approx(1.0)} and 0 <= first.novelty <= 1
    model.remember(*PICTURES[1:4])
    later = model.recall(QUESTION, max_new_tokens=1).retrieval
    assert [*later.shares] == [1, 2, 3, 4]
    assert sum(later.shares.values()) == pytest.approx(1.0)
    assert later.novelty < first.novelty
    assert later.read.shape == (model.config.memory.width,)


@law
def test_ask_takes_beams_and_draws(tmp_path):
    """The slot goes with every beam; draws are those of their seed."""
    model = tokens_model(tmp_path)
    model.remember(*PICTURES[:2])
    beams = model.ask(QUESTION, None, 5, num_beams=3)
    assert isinstance(beams, str)
    rule = {"do_sample": True, "temperature": 2.0}
    draws = [
        model.ask(QUESTION, None, 5, rng=np.random.default_rng(7), **rule)
        for _ in range(2)
    ]
    assert draws[0] == draws[1]


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_remember_too(directory, dtype):
    """Half computes what single does as well as it can; a memory is never in half."""
    model, single = refvlm.load(directory, dtype), refvlm.load(directory)
    for one in (model, single):
        one.remember(*PICTURES[:2])
    assert model.memory.belief.mean.dtype == np.promote_types(dtype, np.float32)
    close = 0.05 if dtype == np.float16 else 1e-4
    ours, theirs = (logits_of(one, QUESTION, None) for one in (model, single))
    np.testing.assert_allclose(ours, theirs, atol=close * np.abs(theirs).max())


@law
def test_fingerprint_is_that_of_what_writes_and_reads(directory):
    """Other tensors of the memory are another model; of the decoder, they are not."""
    model = refvlm.load(directory)
    stored = {name: model.weights[name] for name in model.weights}

    def of(name):
        moved = Weights({**stored, name: stored[name] + np.float32(1e-3)})
        return Remembering(model.config, moved, directory).fingerprint()

    same = model.fingerprint()
    assert same == refvlm.load(directory).fingerprint()
    for part in (microvlm.TOWER, microvlm.ADAPTER, microvlm.MEMORY, microvlm.SCOPE):
        assert of(next(name for name in stored if name.startswith(part))) != same
    assert of(f"{microvlm.DECODER}.norm.weight") == same


@example
def test_remember_says_what_has_faded(tmp_path):
    """A large noise lets nothing be remembered well, and each picture is told once."""
    model = tokens_model(tmp_path, noise=100.0)
    with pytest.warns(FadingWarning, match=r"picture 1 \('ndarray'\) has faded: more"):
        model.remember(PICTURES[0])
    with pytest.warns(FadingWarning, match=r"pictures 2 \('two'\), 3 .* have faded"):
        model.remember(*PICTURES[1:3], names=["two", "three"])
    assert model.memory.faded() == [1, 2, 3]


@contract
def test_remember_is_all_or_nothing(tmp_path, model):
    """Where one picture cannot be read, nothing has changed."""
    model.remember(PICTURES[0])
    kept = model.memory.kept
    with pytest.raises(ValueError, match="there is no file"):
        model.remember(PICTURES[1], tmp_path / "none.png")
    assert model.memory.kept is kept


@contract
def test_remember_refuses_what_is_not_numbers(directory):
    """Weights that make NaN of a picture leave the memory as it was."""
    model = refvlm.load(directory)
    stored = {name: model.weights[name] for name in model.weights}
    for part, what in (
        (f"{microvlm.ADAPTER}.layer_norm.bias", "features of the pictures"),
        (f"{microvlm.MEMORY}.lstm_z.bias_ih_l0", "codes of the pictures"),
    ):
        spoilt = {**stored, part: np.full_like(stored[part], np.nan)}
        broken = Remembering(
            model.config, Weights(spoilt), directory, family=model.family
        )
        with pytest.raises(CheckpointError, match=f"the {what} are not finite"):
            broken.remember(PICTURES[0])
        assert len(broken.memory) == 0


@contract
def test_ask_refuses_a_question_of_nan(directory):
    """A decoder that makes NaN of the question asks nothing."""
    model = refvlm.load(directory)
    model.remember(PICTURES[0])
    stored = {name: model.weights[name] for name in model.weights}
    stored[microvlm.EMBEDDING] = np.full_like(stored[microvlm.EMBEDDING], np.nan)
    model.weights = Weights(stored)
    with pytest.raises(CheckpointError, match="hidden states of the question"):
        model.ask(QUESTION, max_new_tokens=1)


@contract
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda m: m.remember([PICTURES[0]]), r"one by one, .* remember\(\*pictures\)"),
        (lambda m: m.remember(PICTURES[0], names=[]), "names has 0, but there are 1"),
        (lambda m: m.ask(QUESTION, gate="ajar"), "gate is 'ajar', not hard, soft"),
        (lambda m: m.ask(5), "a prompt is a text, not int"),
        (lambda m: m.ask(QUESTION, max_new_tokens=-1), "max_new_tokens"),
        (lambda m: m.ask(QUESTION, max_new_tokens=500), "context of 128"),
        (lambda m: m.ask(QUESTION, num_return_sequences=2), "one answer is"),
        (lambda m: m.ask("a" * 9999), "too long"),
        (lambda m: m.forget(1), "forget: there is no picture 1: .* are none"),
    ],
)
def test_remembering_refuses_by_name(model, call, message):
    """One clear error, and nothing is changed."""
    with pytest.raises(ValueError, match=message):
        call(model)
    assert len(model.memory) == 0


@contract
def test_ask_wants_a_token_behind_the_question(tmp_path):
    """What only the answer may see has to have something of the prompt before it."""
    document = microvlm_files.described()
    path = microvlm_files.write(tmp_path, document)
    plain = refvlm.text.Tokenizer.of(microvlm_files.tiny.byte_tokenizer())
    refvlm.text.save_tokenizer(path, plain)
    model = refvlm.load(path)
    with pytest.raises(ValueError, match=re.escape("puts no token behind a text")):
        model.ask(QUESTION)


@law
def test_threads_that_share_a_model_lose_nothing(directory):
    """Each picture that is written has a number and a place in the order of its own,
    as if they had come one by one, while questions are asked."""
    model, numbers = refvlm.load(directory), []

    def act():
        numbers.extend(model.remember(PICTURES[0]))
        model.ask(QUESTION, None, 2)

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(act) for _ in range(18)]:
            done.result()
    assert sorted(numbers) == [*model.memory.receipts] == [*range(1, 19)]
    alone = refvlm.load(directory)
    for _ in range(18):
        alone.remember(PICTURES[0])
    for ours, theirs in zip(model.memory.belief, alone.memory.belief):
        np.testing.assert_array_equal(ours, theirs)


@law
def test_recall_says_where_it_guesses(model):
    """Nothing to answer from: no picture, and no memory or a closed one."""
    assert model.recall(QUESTION, None, 2).is_guess
    assert not model.recall(QUESTION, PICTURES[0], 2).is_guess
    model.remember(PICTURES[0])
    assert model.recall(QUESTION, None, 2, gate="closed").is_guess
    assert not model.recall(QUESTION, PICTURES[0], 2, gate="closed").is_guess
    assert not model.recall(QUESTION, None, 2, gate="open").is_guess


@contract
@pytest.mark.parametrize("question", ["", " \n"])
def test_ask_refuses_a_question_of_no_words(model, question):
    """With a memory and without, before anything is read."""
    for _ in range(2):
        with pytest.raises(ValueError, match="^ask: question is .* a text of words"):
            model.ask(question)
        model.remember(PICTURES[0])


@contract
def test_remember_wants_several_names(model):
    """A text is not its letters; what can be walked through is a list."""
    with pytest.raises(ValueError, match="^remember: names is a list"):
        model.remember(*PICTURES[:2], names="ab")
    model.remember(*PICTURES[:2], names=(name for name in "ab"))
    assert [kept.name for kept in model.memory.receipts.values()] == ["a", "b"]
