"""The spec of refvlm/models/microvlm.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.episodic_memory.gates import gate_bias
from refvlm.blocks.kv_cache import KVCache
from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_memory
from refvlm.models.microvlm_config import MicroVLMConfig
from refvlm.shapes import ShapeError

from .. import microvlm_oracle, microvlms
from ..oracles import all_double
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)

CONFIG, TENSORS = microvlms.built()
WEIGHTS = Weights(TENSORS)
PIXELS = microvlms.pictures(12)
IDS, MASK = microvlms.texts(12)
EPISODES = 3  # of four pairs each


def forward(pixels=PIXELS, ids=IDS, mask=MASK, episodes=EPISODES, weights=WEIGHTS):
    """Logits, of what counts."""
    logits = microvlm.microvlm(pixels, ids, weights, CONFIG, episodes, mask)
    return np.where(counted(mask)[..., None], logits, 0)


def counted(mask):
    """The mask behind a prefix of five tokens."""
    return np.pad(mask, ((0, 0), (5, 0)), constant_values=1).astype(bool)


# The source's appendix, arrow by arrow, as (letters of the shape, what is said of it).
#   B pairs of pictures and texts, L tokens of a text, in E episodes of B/E pairs
#   P patches of D numbers, N tokens of a prefix, H the decoder's width, W of its words
#   K slots of C numbers; Y layers, of G heads for a slot, of d numbers each
ARROWS = {
    "Input Image": "B 3 S S",
    "Patch Features": "B P D",
    "Prefix Tokens": "B N H",
    "Input Text": "B L",
    "Text Embeddings": "B L H",
    "Fused Sequence": "B N+L H",
    "Context Vector": "B H",
    "Episode Context": "E B/E H",
    "Ordered Context": "E B/E C",
    "Memory State M": "E K C",  # B in the source: but one memory is an episode's
    "Memory State S": "E K K",
    "Retrieved Context": "E B/E C",
    "KV Projection": "B Y*G*d*2",
    "K": "Y B G 1 d",
    "V": "Y B G 1 d",
    "Injection Probability": "B 1",
    "Output Hidden": "B N+L H",
    "Logits": "B N+L W",
}


def sized(letters, **sizes):
    """ "B N+L" -> (12, 13)."""
    return tuple(int(eval(word, {}, sizes)) for word in letters.split())


@example
def test_microvlm_has_the_appendixs_shapes_at_full_size():
    """DeiT-Tiny's and Qwen2.5-0.5B's numbers, at every arrow, read off the tensors."""
    config = MicroVLMConfig()
    shapes = microvlm.expected_shapes(config, tied=True)
    slots = shapes["episodic_memory.W_M.weight"]
    _, places, features = shapes["vision_encoder.embeddings.position_embeddings"]
    words, width = shapes["language_model.model.embed_tokens.weight"]
    tokens, hidden = shapes["multimodal_adapter.pooling_queries"]
    start = microvlm_memory.start(config)
    size = {"B": 8, "E": 4, "L": 10, "S": 224, "P": places - 1, "D": features}
    size |= {"N": tokens, "H": hidden, "W": words, "K": len(start.mean)}
    size |= {"C": slots[1], "Y": 24, "G": 14, "d": 64}
    at = {name: sized(letters, **size) for name, letters in ARROWS.items()}
    assert at["Patch Features"] == (8, 196, 192)
    assert at["Prefix Tokens"] == (8, 25, 896)
    assert at["Fused Sequence"] == (8, 25 + 10, 896)
    assert at["Context Vector"] == (8, 896) and width == 896
    assert at["Episode Context"] == at["Ordered Context"] == (4, 2, 896)
    assert at["Memory State M"][1:] == start.mean.shape == (512, 896)
    assert at["Memory State S"][1:] == start.covariance.shape == (512, 512)
    assert at["KV Projection"] == (8, 43008) and slots == (43008, 896)
    assert at["K"] == at["V"] == (24, 8, 14, 1, 64)
    assert at["Logits"] == (8, 35, 151936)
    assert shapes["scope_detector.mlp.6.weight"] == (1, 256)


@example
def test_microvlm_counts_the_parameters_of_every_part():
    """What the source's 543 M is made of, and what there is: the LSTM of 9.6 M is in no
    table of it, and its adapter has no matrices to pool with."""
    shapes = microvlm.expected_shapes(MicroVLMConfig(), tied=True)

    def count(part):
        return sum(int(np.prod(s)) for n, s in shapes.items() if n.startswith(part))

    assert count("vision_encoder.") == 5_524_416
    assert count("multimodal_adapter.") == 6_648_320
    assert count("image_proj_for_alignment.") == 172_928
    assert count("language_model.") == 494_032_768
    assert count("episodic_memory.W_M.") == 38_578_176
    assert count("episodic_memory.lstm_z.") == 9_648_128
    assert count("episodic_memory.") == 38_578_176 + 9_648_128
    assert count("scope_detector.") == 295_681
    assert count("") == 554_900_417


@law
def test_microvlm_has_the_appendixs_shape_at_every_arrow():
    """Walked step by step, with sizes of which no two are alike but by chance."""
    seen, size = {}, dict(B=12, E=3, L=8, S=13, P=9, D=15, N=5, H=24, W=19)
    size |= dict(K=7, C=24, Y=2, G=6, d=4)
    own = WEIGHTS.scope("episodic_memory")
    seen["Input Image"], seen["Input Text"] = PIXELS, IDS
    _, seen["Patch Features"] = microvlm.see(PIXELS, WEIGHTS, CONFIG)
    prefix = microvlm.prefix(seen["Patch Features"], WEIGHTS, CONFIG)
    fused, mask, _ = microvlm.fused(prefix, IDS, WEIGHTS, MASK)
    seen |= {"Prefix Tokens": prefix, "Text Embeddings": fused[:, 5:]}
    seen |= {"Fused Sequence": fused}
    contexts = ops.masked_mean(fused, mask, dim=1)
    steps = contexts.reshape(3, 4, 24)
    codes = microvlm_memory.codes(steps[:, :, None], WEIGHTS, CONFIG)
    seen |= {"Context Vector": contexts, "Episode Context": steps}
    seen |= {"Ordered Context": codes}
    start = microvlm_memory.start(CONFIG, np.float64)
    memory = microvlm_memory.posterior(start, codes, CONFIG)
    recall = microvlm_memory.recall(memory, steps, WEIGHTS, CONFIG)
    read = recall.read.reshape(12, 24)
    seen |= {"Memory State M": memory.mean, "Memory State S": memory.covariance}
    seen |= {"Retrieved Context": recall.read}
    seen["KV Projection"] = read @ own["W_M.weight"].T
    bias = gate_bias(recall.gate.reshape(12, 1))
    slots = microvlm_memory.slots(read[:, None], WEIGHTS, CONFIG, bias)
    seen |= {"K": slots.keys, "V": slots.values, "Injection Probability": bias}
    cache = KVCache(2, 12, 2, 13, 4, np.float64)
    cache.slots = slots
    decoder = WEIGHTS.scope(microvlm.DECODER)
    hidden = microvlm.SPEAKER.forward(fused, decoder, CONFIG.text, mask, cache)
    logits = microvlm.SPEAKER.logits(hidden, WEIGHTS)
    seen |= {"Output Hidden": hidden, "Logits": logits}
    assert seen.keys() == ARROWS.keys()
    for name, letters in ARROWS.items():
        assert seen[name].shape == sized(letters, **size), name
    assert_close(forward(), np.where(counted(MASK)[..., None], logits, 0))


@law
def test_microvlm_without_its_gate_is_a_decoder_with_a_prefix():
    """Closed, the memory is not there, to the last bit; open, it changes every token's
    answer."""
    closed = {"scope_detector.mlp.6.bias": np.array([-np.inf])}
    fused, mask, _ = microvlm.fused(
        microvlm.encode_image(PIXELS, WEIGHTS, CONFIG), IDS, WEIGHTS, MASK
    )
    hidden = microvlm.SPEAKER.forward(
        fused, WEIGHTS.scope(microvlm.DECODER), CONFIG.text, mask
    )
    alone = microvlm.SPEAKER.logits(hidden, WEIGHTS)
    shut = forward(weights=WEIGHTS.replace(closed))
    assert_close(shut, np.where(counted(MASK)[..., None], alone, 0))
    assert np.abs(shut - forward()).max(axis=-1)[counted(MASK)].min() > 1e-3


@law
def test_microvlm_keeps_every_episode_to_itself():
    """What another episode shows changes no number of this one."""
    other = PIXELS.copy()
    other[:4] = microvlms.pictures(4, seed=8)
    before, after = forward(), forward(other)
    assert_close(after[4:], before[4:])
    assert np.abs(after[:4] - before[:4]).max(axis=(1, 2)).min() > 1e-3


@law
def test_microvlm_remembers_the_other_pictures_of_its_episode():
    """A picture of another pair reaches a pair by the memory alone."""
    other = PIXELS.copy()
    other[1] = microvlms.pictures(1, seed=8)[0]
    before, after = forward(), forward(other)
    for pair in (0, 2, 3):
        assert np.abs(after[pair] - before[pair]).max() > 1e-4


@law
def test_microvlm_does_not_mind_the_order_of_episodes():
    """Episodes exchanged, the answers are exchanged; within one, the order counts."""
    pairs = np.arange(12).reshape(3, 4)
    moved = pairs[[2, 0, 1]].ravel()
    there = forward(PIXELS[moved], IDS[moved], MASK[moved])
    assert_close(there, forward()[moved])
    turned = pairs[:, ::-1].ravel()
    there = forward(PIXELS[turned], IDS[turned], MASK[turned])
    assert np.abs(there - forward()[turned]).max() > 1e-3


@law
def test_microvlm_cuts_the_batch_into_episodes_as_said():
    """Twelve episodes of one picture each, or one of twelve: the memory differs."""
    answers = [forward(episodes=episodes) for episodes in (1, 3, 12)]
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(answers[one] - answers[other]).max() > 1e-3
    alone = forward(PIXELS[:1], IDS[:1], MASK[:1], episodes=1)
    assert_close(alone[0], answers[2][0])


@law
def test_microvlm_keeps_float32():
    """float32 weights and pixels give float32 logits."""
    single = Weights({n: a.astype(np.float32) for n, a in TENSORS.items()})
    assert forward(PIXELS.astype(np.float32), weights=single).dtype == np.float32


@law
def test_aligned_directions_have_length_one():
    """What the alignment loss compares is a cosine."""
    image, text = microvlm.aligned(np.ones((2, 15)), np.ones((2, 24)), WEIGHTS)
    for side in (image, text):
        assert_close((side**2).sum(-1), np.ones(2))


PRECISIONS = (np.float64, 1e-11), (np.float32, 1e-5)
WIRINGS = {
    "as published": {},
    "two heads": {"memory": {"heads": 2}},
    "plain pooling": {"adapter": {"pooling_heads": 0}},
    "the source's noise": {"memory": {"noise": 1e-6, "prior_scale": 1.0}},
    "a ridge, one way": {
        "memory": {"ridge": 0.125, "order_width": 24, "bidirectional": False}
    },
}

# A millionth beside addresses of about 1: single precision keeps four digits of it.
ILL_CONDITIONED = {"the source's noise"}


@oracle
@pytest.mark.parametrize("case", WIRINGS)
def test_microvlm_equals_its_composition_in_torch(compare, tmp_path, case):
    """Every step of three episodes of four pairs, every second text padded, in both
    precisions."""
    document = microvlms.changed(**WIRINGS[case])
    config, tensors = microvlms.built(document)

    def ask(torch):
        microvlm_oracle.import_all()
        with all_double(torch), torch.no_grad():
            model = microvlm_oracle.Composed(torch, document, tensors, tmp_path)
            given = map(torch.from_numpy, (PIXELS, IDS, MASK))
            logits = model.whole(*given, EPISODES)
        return {"logits": logits.numpy()}

    inputs = (document, tensors, PIXELS, IDS, MASK)
    answers = compare.answers(ask, inputs, tolerance=1e-9)
    counts = counted(MASK)
    assert answers["logits"][counts].std() > 0.3
    for dtype, tolerance in PRECISIONS[: 2 - (case in ILL_CONDITIONED)]:
        weights = Weights({name: a.astype(dtype) for name, a in tensors.items()})
        logits = microvlm.microvlm(
            PIXELS.astype(dtype), IDS, weights, config, EPISODES, MASK
        )
        expected = answers["logits"].astype(dtype)
        assert_close(logits[counts], expected[counts], tolerance)


@oracle
def test_aligned_equals_torch(compare):
    """A matrix for the picture, none for the text, both as directions."""
    part = WEIGHTS.scope("image_proj_for_alignment")

    def reference(torch):
        functional = torch.nn.functional

        def cosines(image, text, weight, bias):
            projected = functional.linear(image, weight, bias)
            return functional.normalize(projected) @ functional.normalize(text).T

        return cosines

    def ours(image, text, weight, bias):
        weights = Weights(
            {
                f"image_proj_for_alignment.{n}": a
                for n, a in {"weight": weight, "bias": bias}.items()
            }
        )
        sides = microvlm.aligned(image, text, weights)
        return sides[0] @ sides[1].T

    sides = random_arrays(3)
    compare(ours, reference, sides(4, 15), sides(5, 24), part["weight"], part["bias"])


@derivative
def test_microvlm_derivative_equals_torchs(compare, tmp_path):
    """From every logit back to every tensor: through the slots into the memory, through
    what was written into the pictures of the other pairs."""

    def ask(torch):
        microvlm_oracle.import_all()
        with all_double(torch):
            model = microvlm_oracle.Composed(torch, microvlms.CONFIG, TENSORS, tmp_path)
            given = map(torch.from_numpy, (PIXELS, IDS, MASK))
            logits = model.whole(*given, EPISODES)
            counts = torch.from_numpy(counted(MASK))
            (logits[counts] ** 2).mean().backward()
        return model.gradients()

    inputs = (microvlms.CONFIG, TENSORS, PIXELS, IDS, MASK)
    answers = compare.answers(ask, inputs, of_one_scale=True, tolerance=1e-9)
    counts = counted(MASK)

    def loss(weights):
        logits = microvlm.microvlm(PIXELS, IDS, weights, CONFIG, EPISODES, MASK)
        return (logits[counts] ** 2).mean()

    _, gradients = value_and_grad(loss)(WEIGHTS)
    unused = {"image_proj_for_alignment.weight", "image_proj_for_alignment.bias"}
    assert answers.keys() == TENSORS.keys() - unused
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        assert np.abs(gradients[name] - expected).max() < 1e-9 * largest, name
    assert np.abs(answers["episodic_memory.lstm_z.weight_hh_l0"]).max() > 1e-6


@contract
@pytest.mark.parametrize("episodes", [5, 0, -3, 2.0])
def test_microvlm_wants_episodes_of_equal_length(episodes):
    """Five episodes cannot be made of twelve pairs."""
    with pytest.raises((ShapeError, ValueError, TypeError), match="episodes"):
        forward(episodes=episodes)


@contract
def test_microvlm_refuses_what_it_was_not_built_for():
    """A picture of another size, or one that holds NaN, which would be written into
    everything that the episode remembers."""
    with pytest.raises(ShapeError, match="positions were learnt on 13 x 13"):
        forward(PIXELS[..., :12])
    with pytest.raises(ShapeError, match=r"microvlm: a picture of 12 x 13 .* 13 x 13"):
        microvlm.image_grid(CONFIG, 13, 12)
    spoilt = PIXELS.copy()
    spoilt[2, 0, 3, 3] = np.nan
    with pytest.raises(ValueError, match="holds NaN or an infinity"):
        forward(spoilt)
    with pytest.raises(ShapeError, match=r"see: pixel_values"):
        microvlm.see(PIXELS[:, :1], WEIGHTS, CONFIG)


@contract
def test_microvlm_refuses_a_wiring_that_asks_in_between():
    """Given such weights it would compute something that they were not trained for."""
    document = microvlms.changed(memory=microvlms.TOKENS)
    config, tensors = microvlms.built(document)
    told = r"microvlm: config.memory.wiring is 'tokens', which asks by what .* call .*"
    with pytest.raises(ValueError, match=told + "microvlm_answer.*refvlm.load"):
        microvlm.microvlm(PIXELS, IDS, Weights(tensors), config, EPISODES, MASK)
