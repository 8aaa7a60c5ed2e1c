"""The spec of refvlm/models/qformer.py."""

from dataclasses import replace

import numpy as np
import pytest

from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import MissingTensorError, Weights
from refvlm.models import qformer as model
from refvlm.models.fields import ConfigError
from refvlm.models.qformer import QFormerConfig, qformer, qformer_layers
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

SECTION = {
    "model_type": "blip_2_qformer",
    "hidden_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "encoder_hidden_size": 10,
    "cross_attention_frequency": 2,
    "layer_norm_eps": 1e-4,
    "vocab_size": 17,
    "max_position_embeddings": 6,
}
CONFIG = QFormerConfig.from_json(SECTION, num_query_tokens=5)
READS = QFormerConfig.from_json(SECTION | {"use_qformer_text_input": True}, 5)
TENSORS = random_weights(model.expected_shapes(READS), seed=3)
WEIGHTS = Weights(TENSORS)
PICTURES = random_arrays(4)(2, 7, 10)
IDS = np.array([[3, 16, 0, 5], [9, 2, 0, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
SEEN = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0, 1]])


@example
def test_expected_shapes_count_the_published_parameters():
    """105 million numbers; 186 with what reads, where the paper counts 188 in all."""
    shapes = model.expected_shapes(QFormerConfig()).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 105_162_240
    reads = replace(QFormerConfig(), use_qformer_text_input=True)
    shapes = model.expected_shapes(reads).values()
    assert sum(int(np.prod(shape)) for shape in shapes) == 185_683_968


@example
def test_qformer_config_of_an_empty_section_is_the_published_one():
    """32 queries of 768, 12 layers of which 6 look at a picture of 1408 features."""
    config = QFormerConfig.from_json({})
    assert config == QFormerConfig()
    assert [i for i in range(12) if config.looks(i)] == [0, 2, 4, 6, 8, 10]


@law
def test_qformer_makes_as_many_tokens_of_any_picture():
    """7 tokens or 70: a language model is handed 5."""
    large = random_arrays(5)(1, 70, 10)
    assert qformer(PICTURES, WEIGHTS, CONFIG).shape == (2, 5, 12)
    assert qformer(large, WEIGHTS, CONFIG).shape == (1, 5, 12)


@law
def test_qformer_sees_a_picture_as_a_set():
    """It asks by content: where a token stands is told by the tower or not at all."""
    order = [3, 0, 6, 1, 5, 4, 2]
    assert_close(
        qformer(PICTURES[:, order], WEIGHTS, CONFIG), qformer(PICTURES, WEIGHTS, CONFIG)
    )


@law
def test_qformer_answers_in_the_order_of_its_queries():
    """Each query has its own token, and nothing else tells the tokens apart."""
    order = [4, 2, 0, 1, 3]
    turned = WEIGHTS.replace({"query_tokens": WEIGHTS["query_tokens"][:, order]})
    out = qformer(PICTURES, WEIGHTS, CONFIG)
    assert_close(qformer(PICTURES, turned, CONFIG), out[:, order])
    assert np.abs(out[:, :1] - out[:, 1:]).min(axis=-1).max() > 1e-3


@law
def test_qformer_image_mask_is_a_smaller_picture():
    """A token that does not count might as well not be there."""
    masked = qformer(PICTURES, WEIGHTS, CONFIG, image_mask=SEEN)
    alone = PICTURES[1:, SEEN[1] == 1]
    assert_close(masked[1:], qformer(alone, WEIGHTS, CONFIG))
    assert_close(masked[:1], qformer(PICTURES[:1], WEIGHTS, CONFIG))


@law
def test_qformer_attention_mask_is_a_shorter_text():
    """Padding changes neither the queries nor the words before it."""
    out = qformer(PICTURES, WEIGHTS, READS, IDS, MASK)
    assert out.shape == (2, 9, 12)
    short = qformer(PICTURES[1:], WEIGHTS, READS, IDS[1:, :2])
    assert_close(out[1:, :7], short)


@law
def test_qformer_queries_hear_the_words():
    """What is asked of the picture depends on the text: all attend to all."""
    other = qformer(PICTURES, WEIGHTS, READS, (IDS + 1) % 17)
    given = qformer(PICTURES, WEIGHTS, READS, IDS)
    assert np.abs(other - given)[:, :5].min(axis=(1, 2)).max() > 0
    assert np.abs(other - given)[:, :5].max() > 0.05


@law
def test_qformer_layers_without_queries_read_a_text():
    """No picture is asked for, and none matters."""
    words = model.embedded_words(IDS, WEIGHTS, READS)
    layers = WEIGHTS.scope("qformer")
    alone = qformer_layers(words, layers, READS, 0)
    assert_close(qformer_layers(words, layers, READS, 0, PICTURES), alone)


@law
def test_qformer_watches_where_the_queries_look():
    """In the layers that look, each query spreads one over the picture's tokens."""
    looks = []
    qformer(PICTURES, WEIGHTS, CONFIG, image_mask=SEEN, watch=looks)
    assert [look.shape for look in looks] == [(2, 3, 5, 7)] * 2
    assert_close(looks[1].sum(-1), np.ones((2, 3, 5)))
    assert not looks[1][1, :, :, 1].any()


@law
def test_qformer_keeps_float32():
    """float32 weights and features give float32 tokens, close to those in float64."""
    single = Weights({name: a.astype(np.float32) for name, a in TENSORS.items()})
    out = qformer(PICTURES.astype(np.float32), single, READS, IDS, MASK)
    assert out.dtype == np.float32
    exact = qformer(PICTURES, WEIGHTS, READS, IDS, MASK)
    assert_close(out, exact.astype(np.float32), 1e-5)


def reference(torch, reads):
    """transformers' Q-Former with our weights, in float64, and its words' tables."""
    import_torchvision()
    from transformers import Blip2QFormerConfig, Blip2QFormerModel
    from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

    config = Blip2QFormerConfig(**SECTION, use_qformer_text_input=reads)
    config._attn_implementation = "eager"
    layers, words = Blip2QFormerModel(config), Blip2TextEmbeddings(config)
    held = {name: torch.from_numpy(array.copy()) for name, array in TENSORS.items()}
    for module, scope in ((layers, "qformer."), (words, "embeddings.")):
        names = module.state_dict().keys()
        module.load_state_dict({name: held[scope + name] for name in names})
        module.double().eval()
    return layers, words, held["query_tokens"]


@oracle
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_qformer_equals_transformers(compare, reads, masked):
    """Blip2QFormerModel's, as Blip2Model asks it and as image-text matching does."""
    seen = SEEN if masked else None
    mask = MASK if masked else np.ones_like(MASK)

    def ask(torch):
        layers, words, queries = reference(torch, reads)
        tokens, sees = queries.expand(2, -1, -1), None
        if reads:
            tokens = words(torch.from_numpy(IDS), query_embeds=tokens)
            sees = torch.from_numpy(np.concatenate([np.ones((2, 5), int), mask], 1))
        counts = None
        if seen is not None:  # as scores: a plain mask is widened to the words
            counts = torch.from_numpy(np.where(seen, 0.0, -1e300))[:, None, None]
        return (
            layers(
                tokens,
                query_length=5,
                attention_mask=sees,
                encoder_hidden_states=torch.from_numpy(PICTURES.copy()),
                encoder_attention_mask=counts,
            )
            .last_hidden_state.detach()
            .numpy()
            .copy()
        )

    (answer,) = compare.answers(
        lambda torch: {"out": ask(torch)}, (TENSORS, PICTURES, IDS, mask, seen, SECTION)
    ).values()
    assert answer.std() > 0.3
    out = (
        qformer(PICTURES, WEIGHTS, READS, IDS, mask, seen)
        if reads
        else qformer(PICTURES, WEIGHTS, CONFIG, image_mask=seen)
    )
    assert_close(out, answer, 1e-11)


@derivative
def test_qformer_derivative_equals_transformers(compare):
    """The gradient of the queries, of every weight, and of the picture's features."""

    def ask(torch):
        layers, words, queries = reference(torch, True)
        picture = torch.from_numpy(PICTURES.copy()).requires_grad_()
        queries.requires_grad_()
        tokens = words(torch.from_numpy(IDS), query_embeds=queries.expand(2, -1, -1))
        out = layers(tokens, query_length=5, encoder_hidden_states=picture)
        (out.last_hidden_state**3).sum().backward()
        named = {f"qformer.{n}": p for n, p in layers.named_parameters()}
        named |= {f"embeddings.{n}": p for n, p in words.named_parameters()}
        named |= {"query_tokens": queries, "picture": picture}
        return {name: p.grad.numpy().copy() for name, p in named.items()}

    given = TENSORS, PICTURES, IDS, SECTION
    answers = compare.answers(ask, given, of_one_scale=True)

    def loss(weights):
        return (qformer(weights["picture"], weights, READS, IDS) ** 3).sum()

    _, gradients = value_and_grad(loss)(WEIGHTS.add({"picture": PICTURES}))
    assert gradients.keys() == answers.keys()
    largest = max(np.abs(answer).max() for answer in answers.values())
    for name, expected in answers.items():
        # PyTorch leaves out the row of the padding's id, which we take for a word
        rows = slice(1, None) if name == "embeddings.word_embeddings.weight" else ...
        difference = np.abs(gradients[name] - expected)[rows]
        assert difference.max() < 1e-11 * largest, name


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"model_type": "bert"}, "model_type is 'bert'"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', but only 'gelu'"),
        ({"num_attention_heads": 5}, "12 features do not split into 5 heads"),
        ({"cross_attention_frequency": 0}, "cross_attention_frequency must be a whole"),
        ({"use_qformer_text_input": 1}, "use_qformer_text_input must be true or false"),
        ({"layer_norm_eps": 0}, "layer_norm_eps must be a number"),
        ({"encoder_hidden_size": "10"}, "encoder_hidden_size must be a whole number"),
    ],
)
def test_qformer_config_refuses_what_it_cannot_build(change, message):
    """A configuration that means another model is an error, not another answer."""
    with pytest.raises(ConfigError, match=message):
        QFormerConfig.from_json(SECTION | change)


@contract
def test_qformer_refuses_what_it_cannot_ask():
    """Words without a table, masks of another shape, a picture of another width."""
    with pytest.raises(ValueError, match="this Q-Former does not read: .* is false"):
        qformer(PICTURES, WEIGHTS, CONFIG, IDS)
    with pytest.raises(ValueError, match="there are no input_ids: image_mask is"):
        qformer(PICTURES, WEIGHTS, CONFIG, attention_mask=MASK)
    with pytest.raises(ShapeError, match="a text of 7 tokens does not fit into .* 6"):
        qformer(PICTURES, WEIGHTS, READS, np.zeros((2, 7), int))
    with pytest.raises(ShapeError, match=r"qformer: image_mask"):
        qformer(PICTURES, WEIGHTS, CONFIG, image_mask=SEEN[:, 1:])
    with pytest.raises(ShapeError, match=r"qformer: attention_mask"):
        qformer(PICTURES, WEIGHTS, READS, IDS, MASK[:, 1:])
    with pytest.raises(ShapeError, match=r"qformer: image_features"):
        qformer(PICTURES[0], WEIGHTS, CONFIG)
    with pytest.raises(ShapeError, match="10"):
        qformer(PICTURES[:, :, 1:], WEIGHTS, CONFIG)
    with pytest.raises(ValueError, match="queries ask a picture, but image_features"):
        qformer_layers(np.zeros((1, 5, 12)), WEIGHTS.scope("qformer"), CONFIG, 5)
    rest = {name: a for name, a in TENSORS.items() if name != "query_tokens"}
    with pytest.raises(MissingTensorError, match="query_tokens"):
        qformer(PICTURES, Weights(rest), CONFIG)
