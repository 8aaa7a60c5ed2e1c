"""The spec of refvlm/analysis/blip2_rows.py."""

import copy

import numpy as np
import pytest

from refvlm.analysis.blip2_rows import blip2_rows, qformer_flops
from refvlm.analysis.shape_table import table_of
from refvlm.models import blip2
from refvlm.models.qformer import QFormerConfig
from refvlm.shapes import ShapeError

from ..models.test_blip2 import CONFIG, JSON
from ..oracles import import_torchvision
from ..pretrained.test_captions import write_blip2
from ..spec import contract, law, oracle


@law
@pytest.mark.parametrize("reads", [False, True])
def test_blip2_rows_hold_every_parameter(reads):
    """The sum of the rows is the sum of the tensors, with the words of a Q-Former that
    reads, too."""
    document = copy.deepcopy(JSON)
    document["qformer_config"]["use_qformer_text_input"] = reads
    config = blip2.Blip2Config.from_json(document)
    shapes = blip2.expected_shapes(config, False).values()
    rows = blip2_rows(config, 12, 12, 4)
    assert sum(row.parameters for row in rows) == sum(int(np.prod(s)) for s in shapes)


@law
def test_qformer_flops_grow_with_the_picture_by_what_looks():
    """Each token more is a key, a value, and a product of both with every query, in
    half of the layers."""
    config = QFormerConfig()
    more = qformer_flops(config, 258) - qformer_flops(config, 257)
    assert more == 6 * (4 * 1408 * 768 + 4 * 32 * 768)


@oracle
def test_blip2_rows_equal_torchs_count_before_the_decoder(compare):
    """PyTorch's counter on transformers' features of a picture; what comes after them
    is `decoder_rows`."""

    def ask(torch):
        import_torchvision()
        from torch.utils.flop_counter import FlopCounterMode
        from transformers import Blip2Config, Blip2ForConditionalGeneration

        made = Blip2Config(**copy.deepcopy(JSON))
        made._attn_implementation = "eager"
        model = Blip2ForConditionalGeneration(made).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            model.get_image_features(torch.zeros(1, 3, 12, 12))
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, JSON)["flops"])
    rows = blip2_rows(CONFIG, 12, 12, 4)
    names = [row.stage for row in rows]
    before = rows[: names.index("embed_tokens")]
    assert sum(row.flops for row in before) == counted
    assert rows[names.index("embed_tokens")].shape == (1, 5 + 4, 16)


@law
def test_table_of_opens_a_blip2(tmp_path):
    """By its config.json and its preprocessor."""
    told = table_of(write_blip2(tmp_path))
    assert "qformer.0-2, 2 look" in told and "language_projection" in told


@contract
def test_blip2_rows_refuse_another_size():
    """A picture that the tower cannot see has no costs."""
    with pytest.raises(ShapeError, match="this tower sees 12 x 12"):
        blip2_rows(CONFIG, 12, 13, 1)
