"""The spec of refvlm/pretrained/language_model.py: one face for GPT-2, LLaMA, Qwen2."""

import json

import numpy as np
import pytest
import tokenizers

import refvlm
from refvlm import ops
from refvlm.blocks.kv_cache import ContextError
from refvlm.generate import Settings
from refvlm.models.decoders import DECODERS
from refvlm.models.fields import ConfigError
from refvlm.pretrained import LanguageModel, save
from refvlm.shapes import ShapeError
from refvlm.text import TokenizerError

from .. import tiny
from ..language_models import CONFIGS, CONTEXT, VOCABULARY, tensors, write
from ..oracles import import_torchvision, in_double
from ..spec import assert_close, contract, law, oracle
from ..weights import random_weights

FAMILIES = pytest.mark.parametrize("family", CONFIGS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """family -> model, in float64, so that a batch's rounding decides nothing."""
    folder = tmp_path_factory.mktemp("language models")
    return {
        family: refvlm.load(write(folder / family, family), np.float64)
        for family in CONFIGS
    }


def padded(rows):
    """(ids, mask): shorter rows padded on the left, with a token that says much."""
    length = max(map(len, rows))
    ids = [[5] * (length - len(row)) + row for row in rows]
    return np.array(ids), np.array(
        [[0] * (length - len(r)) + [1] * len(r) for r in rows]
    )


PROMPTS = [[10, 20, 30], [40], [50, 60, 70, 80, 90, 100, 110]]


@law
@FAMILIES
def test_the_door_opens_the_three_families(models, family):
    """By config.json's model_type; what comes back knows what it is."""
    lm = models[family]
    assert isinstance(lm, LanguageModel) and lm.stop_ids == {tiny.END}
    assert lm.logits([[1, 2, 3]]).shape == (1, 3, VOCABULARY)


@law
@FAMILIES
def test_cached_decoding_equals_uncached(models, family):
    """Each new token is the likeliest of the logits of all before it."""
    lm = models[family]
    ids = np.array([PROMPTS[2]])
    for new in lm.generate(ids, 20)[0]:
        assert lm.logits(ids)[0, -1].argmax() == new
        ids = np.append(ids, [[new]], axis=1)


WAYS = {
    "greedy": {},
    "sampled": {"do_sample": True, "temperature": 0.9, "top_k": 30},
    "beams": {"num_beams": 4, "length_penalty": 0.3},
    "rules": {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2},
}


@law
@FAMILIES
@pytest.mark.parametrize("way", WAYS)
def test_a_padded_batch_gives_what_each_prompt_gives_alone(models, family, way):
    """Whatever is chosen by: a row neither sees its padding nor counts it."""
    lm, options = models[family], WAYS[way]
    rngs = [np.random.default_rng(i) for i in range(len(PROMPTS))]
    ids, mask = padded(PROMPTS)
    together = lm.generate(ids, 12, mask, rng=rngs, **options)
    for i, row in enumerate(PROMPTS):
        rng = [np.random.default_rng(i)]
        alone = lm.generate([row], 12, rng=rng, **options)[0]
        np.testing.assert_array_equal(together[i, : len(alone)], alone)


@law
@FAMILIES
def test_logits_of_a_padded_row_are_those_alone(models, family):
    """At every place that is no padding."""
    lm = models[family]
    ids, mask = padded(PROMPTS)
    together = lm.logits(ids, mask)
    for i, row in enumerate(PROMPTS):
        assert_close(together[i, -len(row) :], lm.logits([row])[0], 1e-12)


@law
@FAMILIES
def test_a_completion_is_the_text_of_the_new_ids(models, family):
    """In pieces or whole, without the prompt and without the stop."""
    lm = models[family]
    new = lm.generate([lm.prompt_ids("Once upon")], 30)[0]
    spoken = [i for i in new.tolist() if i not in lm.stop_ids]
    assert lm.complete("Once upon", 30) == lm.tokenizer.decode(spoken, markers=False)
    pieces = list(lm.complete_stream("Once upon", 30))
    assert [i for i, _ in pieces[:-1]] == new.tolist()


@law
@FAMILIES
def test_perplexity_is_e_to_the_mean_loss(models, family):
    """Of a text that fits the context, by its own logits."""
    lm, some = models[family], "a red circle and a blue square"
    ids = np.array(lm.prompt_ids(some))
    loss = ops.cross_entropy(lm.logits(ids[None, :-1])[0], ids[1:])
    np.testing.assert_allclose(lm.perplexity(some), np.exp(loss), rtol=1e-12)
    assert len(lm.surprise(3 * some)) == 3 * len(some) - 1 > CONTEXT


@law
def test_a_generation_config_is_the_default_that_a_caller_overrides(tmp_path):
    """As transformers honours it."""
    said = {"do_sample": True, "top_k": 1, "eos_token_id": [1, 2], "pad_token_id": 0}
    lm = refvlm.load(write(tmp_path, "gpt2", said), np.float64)
    assert lm.settings.do_sample and lm.stop_ids == {1, 2}
    greedy = lm.generate([[5, 6]], 9, do_sample=False)
    np.testing.assert_array_equal(lm.generate([[5, 6]], 9), greedy)
    rng, other = np.random.default_rng(0), {"top_k": 0, "temperature": 9.0}
    drawn = lm.generate([[5, 6]], 9, rng=rng, min_new_tokens=9, **other)
    assert not np.array_equal(drawn, greedy)


@oracle
@FAMILIES
@pytest.mark.parametrize("way", ["greedy", "beams", "rules"])
def test_generate_is_transformers_generate(compare, models, family, way):
    """32 tokens of a padded batch, without the cut behind a row's own stop."""
    ids, mask = padded(PROMPTS)
    weights, options = tensors(family), WAYS[way]

    def ask(torch):
        import_torchvision()
        from transformers import AutoConfig, AutoModelForCausalLM

        config = AutoConfig.for_model(**CONFIGS[family])
        model = AutoModelForCausalLM.from_config(config).double().eval()
        given = {n: torch.from_numpy(a) for n, a in weights.items()}
        missing, unexpected = model.load_state_dict(given, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}
        model.tie_weights()
        if family != "gpt2":
            in_double(torch, model.model, 1e4, 8)
        out = model.generate(
            torch.from_numpy(ids),
            attention_mask=torch.from_numpy(mask),
            max_new_tokens=32,
            do_sample=False,
            pad_token_id=tiny.END,
            **options,
        )
        return {"new": out[:, ids.shape[1] :].numpy()}

    expected = compare.answers(ask, (weights, ids, mask, options))["new"]
    new = models[family].generate(ids, 32, mask, **options)
    np.testing.assert_array_equal(new, expected)


@contract
@pytest.mark.parametrize(
    "ids, mask, error, message",
    [
        ([[VOCABULARY]], None, ValueError, "the vocabulary is 0 to 263"),
        ([[-200]], None, ValueError, "input_ids has -200, but the vocabulary is 0 to"),
        ([1, 2], None, ShapeError, r"whole numbers \(batch, tokens\)"),
        ([[]], None, ShapeError, "input_ids must be"),
        ([[1, 2]], [[1, 0]], ValueError, "pad shorter prompts on the left"),
        ([[1, 2]], [[1]], ShapeError, "one for each of input_ids"),
        ([[1] * CONTEXT], None, ContextError, f"context of {CONTEXT}"),
    ],
)
def test_what_a_model_cannot_go_on_from_is_refused(models, ids, mask, error, message):
    """Before anything is computed."""
    with pytest.raises(error, match=message):
        models["gpt2"].stream(ids, 5, mask)


@contract
@pytest.mark.parametrize(
    "generation, message",
    [
        ({"typical_p": 0.9}, "generation_config.json: typical_p is 0.9, which is not"),
        ({"suppress_tokens": [1]}, "suppress_tokens is .1., which is not implemented"),
        (
            {"do_sample": True, "temperature": 0.0},
            "generation_config.json: temperature must be a number",
        ),
        ({"do_sample": True, "num_beams": 4}, "do_sample and num_beams=4 exclude"),
    ],
)
def test_what_a_generation_config_asks_in_vain_is_named(tmp_path, generation, message):
    """Without it the model would say something else."""
    directory = write(tmp_path, "qwen2", generation)
    with pytest.raises(ConfigError, match=message):
        refvlm.load(directory)


@law
def test_an_older_config_says_it_among_the_sizes(tmp_path):
    """As transformers has it, where there is no generation_config.json."""
    said = {"repetition_penalty": 1.5, "temperature": 1.0, "num_beam_groups": 1}
    assert refvlm.load(write(tmp_path / "a", "gpt2", **said)).settings == Settings(
        repetition_penalty=1.5
    )
    with pytest.raises(ConfigError, match="config.json: bad_words_ids is"):
        refvlm.load(write(tmp_path / "b", "gpt2", bad_words_ids=[[212]]))


@law
def test_a_completion_goes_on_from_the_text(tmp_path, monkeypatch):
    """Where a tokenizer's first word loses its space, a later one has it: what comes
    back, behind the text, is the text of all."""
    pieces = {"▁on": 0, "ce": 1, "▁red": 2}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(pieces, unk_token="ce"))
    backend.decoder = tokenizers.decoders.Metaspace()
    save(tmp_path, tensors("gpt2"), backend, config=CONFIGS["gpt2"])
    lm = refvlm.load(tmp_path)
    monkeypatch.setattr(lm, "prompt_ids", lambda _: [0])
    said = iter([np.array([2]), np.array([1])])
    monkeypatch.setattr(lm, "stream", lambda *_, **__: said)
    assert lm.complete("on") == " redce"


@law
def test_rules_that_rest_may_stand_in_a_generation_config(tmp_path):
    """Older files spell out every default."""
    resting = {"typical_p": 1.0, "num_beam_groups": 1, "suppress_tokens": None}
    assert refvlm.load(write(tmp_path, "qwen2", resting)).stop_ids == {tiny.END}


@contract
def test_what_cannot_be_is_refused_before_the_prompt_is_read(models):
    """A seed for a generator, a power of lengths, a text that fits no context."""
    lm = models["gpt2"]
    with pytest.raises(ValueError, match="generate: length_penalty must be a number"):
        lm.stream([[1]], 5, num_beams=2, length_penalty=300.0)
    with pytest.raises(ValueError, match=r"generate: rng is a generator.*default_rng"):
        lm.stream([[1]], 5, do_sample=True, rng=7)
    with pytest.raises(ContextError, match="2,000 characters is too long"):
        lm.complete("x" * 2000)


@contract
def test_an_empty_text_has_nothing_to_go_on_from(models):
    """This tokenizer puts nothing before a text."""
    with pytest.raises(ValueError, match="the text is empty"):
        models["gpt2"].complete("")
    with pytest.raises(ValueError, match="give more text"):
        models["gpt2"].perplexity("a")


@contract
def test_files_of_different_checkpoints_are_told(tmp_path):
    """A tokenizer whose ids the model lacks."""
    decoder = DECODERS["qwen2"]
    document = {**CONFIGS["qwen2"], "vocab_size": 100}
    shapes = decoder.expected_shapes(decoder.config.from_json(document), True)
    weights = random_weights(shapes, 0)
    save(tmp_path, weights, tiny.byte_tokenizer(), config=document)
    with pytest.raises(TokenizerError, match="of different checkpoints"):
        refvlm.load(tmp_path).complete("zebra")
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == 100
