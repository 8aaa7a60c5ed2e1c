"""The spec of refvlm/analysis/microvlm_rows.py."""

import numpy as np
import pytest

from refvlm.analysis.decoder_rows import decoder_rows
from refvlm.analysis.microvlm_rows import adapter_flops, microvlm_rows, read_flops
from refvlm.models import microvlm
from refvlm.models.microvlm_config import MicroVLMConfig
from refvlm.shapes import ShapeError

from .. import microvlms
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle

CLIP = {"vision_config": {"model_type": "clip_vision_model"}}
MODELS = {
    "contexts": {},
    "tokens": {"memory": microvlms.TOKENS},
    "plain pooling": {"adapter": {"pooling_heads": 0}},
    "clip's tower": CLIP,
    "untied": {"text_config": {"tie_word_embeddings": False}},
}


def by_stage(config, size, prompt=32):
    return {row.stage: row for row in microvlm_rows(config, size, size, prompt)}


@example
def test_microvlm_rows_of_the_source():
    """The source's table says 5.7, 3.4, 0.17, 494 and 40 million, and 543 together;
    these are 5.5, 6.6, 0.17, 494 and 48.5, and 555."""
    table = microvlm_rows(MicroVLMConfig(), 224, 224, 32)
    rows = {row.stage: row for row in table}
    assert rows["adapter"].parameters == 6_648_320
    assert rows["alignment, to learn"].parameters == 172_928
    assert rows["order of contexts"].parameters == 9_648_128
    assert rows["slots: keys, values"].parameters == 38_578_176
    assert rows["gate"].parameters == 295_681
    assert sum(row.parameters for row in table) == 554_900_417
    assert rows["adapter"].shape == (1, 25, 896)
    assert rows["memory, mean"].shape == (1, 512, 896)
    assert rows["covariance"].shape == (1, 512, 512)
    assert rows["slots: keys, values"].shape == (24, 1, 14, 1, 64)


@law
@pytest.mark.parametrize("case", MODELS)
def test_microvlm_rows_hold_every_parameter(case):
    """The sum of the rows is the sum of the tensors."""
    config, tensors = microvlms.built(microvlms.changed(**MODELS[case]))
    rows = microvlm_rows(config, 13, 13, 5)
    assert sum(row.parameters for row in rows) == sum(a.size for a in tensors.values())


@law
def test_microvlm_rows_of_the_memory_do_not_grow_with_the_text():
    """Nor with what was written before: they know only slots, codes and heads."""
    short, long = (by_stage(MicroVLMConfig(), 224, prompt) for prompt in (8, 500))
    for stage in ("order of contexts", "memory, mean", "covariance", "read", "gate"):
        assert short[stage] == long[stage]
    assert short["layers.0-23"].flops < long["layers.0-23"].flops


@law
def test_a_slot_is_one_key_more_for_every_token():
    """What the memory costs the decoder: a score and an average for each of 40
    tokens, in every head of every layer."""
    config = MicroVLMConfig()
    rows = by_stage(config, 224, prompt=15)
    alone = decoder_rows(config.text, 25 + 15)[1]
    assert rows["layers.0-23"].flops - alone.flops == 40 * 24 * 14 * 2 * 2 * 64


@law
def test_read_flops_of_a_ridge_compare_the_whole_memory():
    """Without one a cue is its own address; with one it is compared with every slot,
    and the slots with each other."""
    plain, _ = microvlms.built()
    ridge, _ = microvlms.built(microvlms.changed(memory={"ridge": 0.5}))
    more = read_flops(ridge) - read_flops(plain)
    assert read_flops(plain) == 2 * 7 * 24
    assert more == 2 * 7 * 24 + 2 * 49 * 24 + 2 * 343 // 3


@oracle
@pytest.mark.parametrize("heads", [4, 0])
def test_adapter_flops_equal_torchs_count(compare, heads):
    """PyTorch's counter on the adapter's layers."""
    config, _ = microvlms.built(microvlms.changed(adapter={"pooling_heads": heads}))

    def ask(torch):
        import_torchvision()
        from torch import nn
        from torch.utils.flop_counter import FlopCounterMode

        mlp = nn.Sequential(
            nn.Linear(15, 24), nn.Linear(24, 18), nn.GELU(), nn.Linear(18, 24)
        )
        queries, patches = torch.zeros(1, 5, 24), torch.zeros(1, 9, 15)
        counter = FlopCounterMode(display=False)
        pool = nn.MultiheadAttention(24, heads or 1, batch_first=True).train()
        with counter:
            seen = mlp(patches)
            if heads:
                pool(queries, seen, seen)
            else:
                torch.softmax(queries @ seen.mT, -1) @ seen
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, (heads,))["flops"])
    assert adapter_flops(config) == counted


@contract
def test_microvlm_rows_want_a_picture_of_the_towers_size():
    """It has positions for one grid of patches."""
    with pytest.raises(ShapeError, match="microvlm: a picture of 14 x 14 pixels"):
        microvlm_rows(microvlms.built()[0], 14, 14, 5)
    assert microvlm.image_grid(microvlms.built()[0], 13, 13) == (1, 5)
