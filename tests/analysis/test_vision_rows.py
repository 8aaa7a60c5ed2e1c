"""The spec of refvlm/analysis/vision_rows.py."""

import json

import pytest

from refvlm.analysis.rows import as_text
from refvlm.analysis.shape_table import table_of
from refvlm.analysis.vision_rows import Described, vit_rows
from refvlm.models.vit_config import DEIT_TINY, VIT_S16, ViTConfig

from ..models.test_vit import JSON
from ..oracles import import_torchvision
from ..spec import contract, example, law, oracle


@example
def test_vit_rows_of_deit_tiny():
    """197 tokens of 192, 5,717,416 parameters with a head of a thousand classes, and
    2.5 GFLOP: two for each multiplication and addition."""
    rows = vit_rows(Described(DEIT_TINY, 1, 1000), 224, 224)
    shapes = {row.stage: row.shape for row in rows}
    assert shapes["patches"] == (1, 196, 192) and shapes["norm"] == (1, 197, 192)
    assert sum(row.parameters for row in rows) == 5_717_416
    assert round(sum(row.flops for row in rows) / 1e9, 2) == 2.51


@law
def test_vit_rows_grow_with_the_square_of_the_tokens():
    """Matrices grow with the tokens and attention with their square: of three pictures
    whose tokens rise by equal steps, the second difference is attention's alone."""
    layers = [
        vit_rows(Described(VIT_S16, 0, 0), 16, 16 * n)[3].flops for n in (10, 20, 30)
    ]
    curvature = layers[2] - 2 * layers[1] + layers[0]
    assert curvature == 12 * 4 * 384 * 2 * 10**2


@oracle
def test_vit_rows_equal_torchs_count(compare):
    """PyTorch's own counter on transformers' ViTForImageClassification, which counts
    the patches as a convolution."""

    def ask(torch):
        import_torchvision()
        from torch.utils.flop_counter import FlopCounterMode
        from transformers import ViTConfig, ViTForImageClassification

        config = ViTConfig(**JSON, attn_implementation="eager")
        model = ViTForImageClassification(config).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, 13, 13))
        count = sum(p.numel() for p in model.parameters())
        return {"flops": torch.tensor([counter.get_total_flops(), count]).numpy()}

    flops, count = compare.answers(ask, JSON)["flops"]
    rows = vit_rows(Described.from_json(JSON), 13, 13)
    assert sum(row.flops for row in rows) == flops
    assert sum(row.parameters for row in rows) == count


@law
@pytest.mark.parametrize(
    "change, heads, labels",
    [
        ({}, 1, 3),
        ({"architectures": ["ViTModel"]}, 0, 0),
        ({"architectures": ["ViTForImageClassification"], "id2label": None}, 1, 2),
        ({"architectures": ["DeiTForImageClassificationWithTeacher"]}, 2, 3),
    ],
)
def test_described_counts_heads_and_classes(change, heads, labels):
    """The architecture says whether it classifies, id2label what."""
    made = Described.from_json(JSON | change)
    assert made == (ViTConfig.from_json(JSON | change), heads, labels)
    named = [row.stage for row in vit_rows(made, 13, 13)]
    assert named.count("head") == (heads > 0)


@law
def test_table_of_knows_transformers_and_timms_directories(tmp_path):
    """Two files, or timm's one, are enough: nothing is run."""
    size = {"height": 13, "width": 13}
    steps = {"image_processor_type": "ViTImageProcessor", "size": size}
    (tmp_path / "config.json").write_text(json.dumps(JSON))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(steps))
    assert table_of(tmp_path) == as_text(vit_rows(Described.from_json(JSON), 13, 13))
    (tmp_path / "preprocessor_config.json").unlink()
    timm = {"architecture": "deit_tiny_patch16_224.fb_in1k", "pretrained_cfg": {}}
    (tmp_path / "config.json").write_text(json.dumps(timm))
    assert "5,717,416" in table_of(tmp_path)


@contract
def test_table_of_names_what_timm_has_and_we_have_not(tmp_path):
    """The error is that of loading."""
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "vgg16"}))
    with pytest.raises(ValueError, match="config.json: architecture is 'vgg16'"):
        table_of(tmp_path)
