"""The spec of refvlm/analysis/backbone_rows.py."""

import pytest

from refvlm.analysis.backbone_rows import (
    DescribedBackbone,
    convnext_rows,
    resnet_rows,
)
from refvlm.analysis.shape_table import table_of
from refvlm.models.convnext import ConvNextConfig
from refvlm.models.resnet import ResNetConfig

from ..backbones import peer
from ..models import test_convnext, test_resnet
from ..pretrained import test_backbone_directories as directories
from ..spec import contract, example, law, oracle
from ..weights import random_weights

CASES = {
    **{
        f"resnet, {name}": ("ResNet", resnet_rows, test_resnet, kind)
        for name, kind in test_resnet.KINDS.items()
    },
    **{
        f"convnext, {name}": ("ConvNext", convnext_rows, test_convnext, kind)
        for name, kind in test_convnext.KINDS.items()
    },
}


@example
def test_resnet_rows_of_resnet_50():
    """25.6 M parameters and 4.1 G products, as published; 7 x 7 places at the end."""
    rows = resnet_rows(DescribedBackbone(ResNetConfig(), 1000), 224, 224)
    assert sum(row.parameters for row in rows) == 25_557_032
    assert round(sum(row.flops for row in rows) / 2e9, 2) == 4.09
    assert rows[-2].shape == (1, 2048, 7, 7)


@example
def test_convnext_rows_of_convnext_t():
    """28.6 M parameters and 4.5 G products, as published."""
    rows = convnext_rows(DescribedBackbone(ConvNextConfig(), 1000), 224, 224)
    assert sum(row.parameters for row in rows) == 28_589_128
    assert round(sum(row.flops for row in rows) / 2e9, 2) == 4.46


@law
def test_rows_of_a_tower_without_a_head_end_at_its_last_map():
    """Nobody is asked to classify."""
    document = test_resnet.JSON | test_resnet.KINDS["basic"]
    tower = DescribedBackbone.from_json(document | {"architectures": ["ResNetModel"]})
    rows = resnet_rows(tower, 37, 50)
    assert rows[-1].stage == "stages.1" and rows[-1].shape == (1, 10, 5, 7)


@oracle
@pytest.mark.parametrize("case", CASES)
def test_backbone_rows_equal_torchs_count(compare, case):
    """PyTorch's own counter on transformers' classifiers, for pictures of odd size."""
    family, rows_of, tests, kind = CASES[case]
    document = tests.JSON | kind

    def ask(torch):
        from torch.utils.flop_counter import FlopCounterMode

        config = tests.ResNetConfig if family == "ResNet" else tests.ConvNextConfig
        shapes = tests.whole_shapes(config.from_json(document))
        model = peer(torch, family, document, random_weights(shapes))
        pixels = torch.zeros(1, 3, 37, 50, dtype=torch.float64)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(pixels)
        count = sum(p.numel() for p in model.parameters())
        return {"count": torch.tensor([counter.get_total_flops(), count]).numpy()}

    flops, count = compare.answers(ask, document)["count"]
    rows = rows_of(DescribedBackbone.from_json(document), 37, 50)
    assert sum(row.flops for row in rows) == flops
    assert sum(row.parameters for row in rows) == count


@contract
@pytest.mark.parametrize("kind", directories.DOCUMENTS)
def test_table_of_reads_backbones(tmp_path, kind):
    """Both families have their rows in the table that `shapes` prints."""
    tensors = directories.tensors_of(kind)
    document = directories.DOCUMENTS[kind]
    table = table_of(directories.write(tmp_path, document, tensors))
    assert "stages.1" in table and "head" in table
