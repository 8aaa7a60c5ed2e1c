"""The spec of refvlm/analysis/blip_rows.py."""

import numpy as np
import pytest

from refvlm.analysis.blip_rows import Pictured, blip_rows, looking_layer
from refvlm.analysis.shape_table import table_of
from refvlm.models import blip
from refvlm.models.blip_config import BlipConfig
from refvlm.shapes import ShapeError

from .. import blip_files
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle

PUBLISHED = {"text_config": {"num_attention_heads": 12}, "vision_config": {}}
KINDS = {
    "BlipForConditionalGeneration": blip.captioning_shapes,
    "BlipForImageTextRetrieval": blip.matching_shapes,
}


@example
def test_blip_rows_of_the_published_captioner():
    """224 million parameters, 111 GFLOP to look, and 16 more for the keys of it, which
    are made once; each word after that takes 0.27, most of it in the layers."""
    rows = blip_rows(Pictured.from_json(PUBLISHED), 384, 384, 1)
    assert sum(row.parameters for row in rows) == 223_971_644
    flops = [row.flops / 1e9 for row in rows]
    np.testing.assert_allclose(flops[2], 110.3, atol=0.1)
    np.testing.assert_allclose(flops[3], 16.3, atol=0.1)
    np.testing.assert_allclose(flops[5:7], [0.219, 0.048], atol=0.001)


@law
@pytest.mark.parametrize("architecture", KINDS)
def test_blip_rows_hold_every_parameter(architecture):
    """The sum of the rows is the sum of the tensors."""
    config = blip_files.described(architecture)
    rows = blip_rows(Pictured.from_json(config), 12, 12, 5)
    shapes = KINDS[architecture](BlipConfig.from_json(config)).values()
    assert sum(row.parameters for row in rows) == sum(int(np.prod(s)) for s in shapes)


@law
def test_looking_layer_costs_less_for_words_one_by_one():
    """With what came before in a cache, n words cost what they cost together."""
    config = BlipConfig.from_json(blip_files.described("any")).text
    alone = [looking_layer(config, 1, 10, past) for past in range(6)]
    assert sum(alone) == looking_layer(config, 6, 10)
    assert looking_layer(config, 6, 10, causal=False) > looking_layer(config, 6, 10)


@oracle
@pytest.mark.parametrize("architecture", KINDS)
def test_blip_rows_equal_torchs_count(compare, architecture):
    """PyTorch's counter on transformers' model, asked of a single word."""
    config = blip_files.described(architecture)

    def ask(torch):
        import_torchvision()
        import transformers
        from torch.utils.flop_counter import FlopCounterMode

        made = transformers.BlipConfig(**config, attn_implementation="eager")
        model = getattr(transformers, architecture)(made).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(
                pixel_values=torch.zeros(1, 3, 12, 12),
                input_ids=torch.ones(1, 1, dtype=torch.long),
            )
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, config)["flops"])
    rows = blip_rows(Pictured.from_json(config), 12, 12, 1)
    assert sum(row.flops for row in rows) == counted


@law
def test_table_of_opens_both_kinds_of_blip(tmp_path):
    """`shapes` reads config.json and the preprocessor, and no weights."""
    for architecture, last in zip(KINDS, ("head, tied", "projections")):
        config = blip_files.described(architecture)
        told = table_of(blip_files.write(tmp_path / architecture, config, {}))
        assert last in told and "all look" in told


@contract
def test_blip_rows_refuse_another_size():
    """A picture that the tower cannot see has no costs."""
    with pytest.raises(ShapeError, match="this tower sees 12 x 12"):
        blip_rows(Pictured.from_json(blip_files.described("any")), 12, 13, 1)
