"""The spec of refvlm/analysis/llava_rows.py."""

import numpy as np
import pytest

from refvlm.analysis.llava_rows import llava_rows
from refvlm.models import llava

from .. import llavas
from ..oracles import import_torchvision
from ..spec import law, oracle

LLAVAS = {
    "mlp": {},
    "full": {"vision_feature_select_strategy": "full"},
    "two layers": {"vision_feature_layer": [-1, -2]},
    "linear": {"model_type": "llava_linear"},
    "queries": {"model_type": "llava_queries", "query_tokens": 7, "query_heads": 3},
    "qwen2": {"text_config": llavas.QWEN2},
}


@law
@pytest.mark.parametrize("case", LLAVAS)
def test_llava_rows_hold_every_parameter(case):
    """The sum of the rows is the sum of the tensors, whatever connects the two."""
    document = llavas.changed(**LLAVAS[case])
    tied = document["text_config"]["tie_word_embeddings"]
    config, tensors = llavas.built(document, tied)
    rows = llava_rows(config, 11, 11, 5)
    assert sum(row.parameters for row in rows) == sum(a.size for a in tensors.values())


@oracle
@pytest.mark.parametrize("case", LLAVAS)
def test_llava_rows_equal_torchs_count_before_the_decoder(compare, case):
    """PyTorch's counter on transformers' features of a picture, and on the queries'
    products, which it has not; what comes after them is `decoder_rows`."""
    config, _ = llavas.built(llavas.changed(**LLAVAS[case]))

    def ask(torch):
        import_torchvision()
        from torch.utils.flop_counter import FlopCounterMode
        from transformers import LlavaConfig, LlavaModel

        document = llavas.changed(**LLAVAS[case]) | {"model_type": "llava"}
        made = LlavaConfig.from_dict(document)
        made.vision_config._attn_implementation = "eager"
        layers = max(layer % 4 for layer in config.feature_layers)
        made.vision_config.num_hidden_layers = layers
        made.vision_feature_layer = [layers] * len(config.feature_layers)
        model = LlavaModel(made)
        counter = FlopCounterMode(display=False)
        seen = torch.zeros(1, config.vision.patches, config.width)
        if config.connector == "linear":
            model.multi_modal_projector = torch.nn.Linear(config.width, 24)
        if config.connector == "queries":
            model.multi_modal_projector = torch.nn.Identity()
            attention = torch.nn.MultiheadAttention(
                24, 3, kdim=12, vdim=12, batch_first=True
            ).train()
            wide, narrow = torch.nn.Linear(24, 96), torch.nn.Linear(96, 24)
        with counter:
            model.get_image_features(torch.zeros(1, 3, 11, 11))
            if config.connector == "queries":
                tokens, _ = attention(torch.zeros(1, 7, 24), seen, seen)
                narrow(wide(tokens))
        return {"flops": np.array(counter.get_total_flops())}

    counted = int(compare.answers(ask, (LLAVAS[case],))["flops"])
    rows = llava_rows(config, 11, 11, 5)
    names = [row.stage for row in rows]
    before = rows[: names.index("embed_tokens")]
    assert sum(row.flops for row in before) == counted
    assert before[-1].stage == f"{config.connector} connector"
    tokens = int(np.prod(llava.image_grid(config, 11, 11)))
    assert rows[names.index("embed_tokens")].shape == (1, tokens + 5, 24)
