"""The spec of refvlm/analysis/shape_table.py."""

import json
import re

import numpy as np
import pytest

from refvlm import pretrained
from refvlm.analysis.shape_table import (
    KINDS,
    as_text,
    decoder_rows,
    fastvlm_rows,
    table_of,
    textbook_rows,
)
from refvlm.checkpoint import CheckpointError
from refvlm.models import fastvlm, qwen2, textbook
from refvlm.pretrained.seers import SEERS

from .. import llavas, tiny
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle

APPLE = fastvlm.FastVLMConfig.from_json(
    {
        "model_type": "llava_qwen2",
        "mm_vision_tower": "mobileclip_l_1024",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "num_hidden_layers": 24,
        "tie_word_embeddings": True,
    }
)


@example
def test_fastvlm_rows_of_the_published_model():
    """FastVLM-0.5B: 256 image tokens, 620,304,096 parameters, 243 GMAC to look."""
    rows = fastvlm_rows(APPLE, 1024, 1024, prompt_tokens=32)
    shapes = {row.stage: row.shape for row in rows}
    assert shapes["stages.3"] == (1, 768, 32, 32)
    assert shapes["projector"] == (1, 256, 896)
    assert shapes["embed_tokens"] == (1, 288, 896)
    assert sum(row.parameters for row in rows) == 620_304_096
    tower = [r for r in rows if r.stage.startswith(("stem", "stages", "final"))]
    assert round(sum(row.flops for row in tower) / 2e9) == 243


@law
def test_decoder_rows_grow_with_the_tokens():
    """Products grow linearly and attention quadratically, in tokens."""
    config = qwen2.Qwen2Config()
    layers = [decoder_rows(config, n)[1].flops for n in (100, 200, 300)]
    curvature = layers[2] - 2 * layers[1] + layers[0]
    per_pair = 2 * 2 * config.num_attention_heads * config.head_dim
    assert curvature == 100 * 100 * per_pair * config.num_hidden_layers


@law
def test_decoder_rows_with_a_cache_cost_what_is_new():
    """Reading 300 tokens costs what 288 and then, with a cache, 12 more cost; the head
    is the same each time, since it predicts one token."""
    config = qwen2.Qwen2Config()
    whole, first, more = (
        [row.flops for row in decoder_rows(config, tokens, past)]
        for tokens, past in ((300, 0), (288, 0), (12, 288))
    )
    assert whole[1] == first[1] + more[1]
    assert whole[-1] == first[-1] == more[-1] == 2 * 151936 * 896


@oracle
def test_decoder_rows_equal_torchs_count(compare):
    """PyTorch's own counter on transformers' Qwen2, which counts every pair of tokens
    where causality needs only half of them."""
    config = qwen2.Qwen2Config(
        *(64, 32, 48, 2, 4, 2, 8), max_position_embeddings=64, tie_word_embeddings=True
    )
    tokens = 10

    def ask(torch):
        import_torchvision()
        from torch.utils.flop_counter import FlopCounterMode
        from transformers import Qwen2Config, Qwen2ForCausalLM

        model = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=64,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                attn_implementation="eager",
            )
        )
        counter = FlopCounterMode(display=False)
        with counter:
            model(torch.zeros(1, tokens, dtype=torch.long), logits_to_keep=1)
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, (tokens,))["flops"])
    unseen = tokens * (tokens - 1) // 2 * 2 * 2 * 4 * 8 * 2
    assert counted == sum(r.flops for r in decoder_rows(config, tokens)) + unseen


TEXTBOOK = {
    "vision_config": {
        "model_type": "clip_vision_model",
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 14,
        "patch_size": 4,
    },
    "text_config": {"vocab_size": 64, "hidden_size": 8, "num_hidden_layers": 3}
    | {"num_attention_heads": 2, "cross_attention_frequency": 2},
}


@law
@pytest.mark.parametrize("tied", [True, False])
def test_textbook_rows_hold_every_parameter(tied):
    """The sum of the rows is the sum of the tensors; a tied head has its bias only."""
    words = TEXTBOOK["text_config"] | {"tie_word_embeddings": tied}
    config = textbook.TextbookConfig.from_json(TEXTBOOK | {"text_config": words})
    rows = textbook_rows(config, 14, 14, 5)
    shapes = textbook.expected_shapes(config, tied).values()
    assert sum(row.parameters for row in rows) == sum(int(np.prod(s)) for s in shapes)
    assert rows[-1].parameters == (64 if tied else 64 + 64 * 8)


@oracle
@pytest.mark.parametrize("layer, blocks", [(None, 3), (-2, 2)])
def test_textbook_rows_equal_torchs_count_of_the_tower(compare, layer, blocks):
    """PyTorch's counter on transformers' CLIP tower, of the blocks that are run; the
    decoder's are counted in test_joining_costs.py."""

    def ask(torch):
        import_torchvision()
        from torch.utils.flop_counter import FlopCounterMode
        from transformers import CLIPVisionConfig, CLIPVisionModel

        numbers = TEXTBOOK["vision_config"] | {"num_hidden_layers": blocks}
        made = CLIPVisionConfig(**numbers, attn_implementation="eager")
        counter = FlopCounterMode(display=False)
        with counter:
            CLIPVisionModel(made)(torch.zeros(1, 3, 14, 14))
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, (TEXTBOOK, blocks))["flops"])
    config = textbook.TextbookConfig.from_json(
        TEXTBOOK | {"vision_feature_layer": layer}
    )
    rows = textbook_rows(config, 14, 14, 5)
    project = 2 * 9 * 12 * 8
    assert sum(row.flops for row in rows[:5]) == counted + project
    assert rows[4].flops == project and rows[2].stage == f"blocks, {blocks} run"


@law
def test_table_of_a_llava_directory(tmp_path):
    """What the command prints, of what transformers writes."""
    told = table_of(llavas.write_checkpoint(tmp_path)).splitlines()
    assert told[3].startswith("blocks, 2 run") and "5 x 12" in told[3]


@law
def test_as_text_aligns_every_column():
    """Numbers end in the same column, and the last row is their sum."""
    config = fastvlm.FastVLMConfig.from_json(tiny.CONFIG)
    rows = fastvlm_rows(config, tiny.SIZE, tiny.SIZE, prompt_tokens=8)
    lines = as_text(rows).split("\n")
    assert len(lines) == len(rows) + 2
    assert len({len(line) for line in lines if line[-4] == "."}) == 1
    assert f"{sum(row.parameters for row in rows):,}" in lines[-1]


@law
def test_table_of_opens_what_load_opens(tmp_path, monkeypatch):
    """The model that comes along by its name; and of what is none, the same words."""
    monkeypatch.chdir(tmp_path)
    told = table_of("fastvlm-tiny").splitlines()
    assert told == table_of(pretrained.shipped_model()).splitlines()
    (tmp_path / "hub" / "models--org--name").mkdir(parents=True)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    for name in ("hub", "adapter", "nowhere"):
        with pytest.raises(CheckpointError) as refused:
            pretrained.load(name)
        with pytest.raises(CheckpointError, match=re.escape(str(refused.value))):
            table_of(name)


@law
def test_every_seer_has_a_table():
    """What sees and speaks can be counted without being run."""
    assert not set(SEERS) - set(KINDS)


@contract
def test_table_of_needs_one_size_of_pictures(tmp_path):
    """A preprocessor that keeps a picture's proportions gives no one shape."""
    tiny.write_checkpoint(tmp_path)
    loose = {**tiny.PREPROCESSOR, "do_center_crop": False}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(loose))
    with pytest.raises(CheckpointError, match="shapes depend on the picture"):
        table_of(tmp_path)
