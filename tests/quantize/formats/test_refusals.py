"""The spec of refvlm/quantize/formats/refusals.py: what is not read, by its name."""

import json

import numpy as np
import pytest

import refvlm
from refvlm.checkpoint import CheckpointError
from refvlm.pretrained import save
from refvlm.quantize.formats.refusals import ENDS, LAYOUTS

from ... import language_models, tiny
from ...spec import contract


def configured(directory, **changes):
    """A small Qwen2 whose config.json says more than it should."""
    return language_models.write(directory, "qwen2", **changes)


@contract
@pytest.mark.parametrize("method", LAYOUTS)
def test_load_refuses_other_layouts_by_name(tmp_path, method):
    """Each layout is named, with the two ways round it."""
    configured(tmp_path, quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(CheckpointError, match=method) as refusal:
        refvlm.load(tmp_path)
    message = str(refusal.value)
    assert LAYOUTS[method] in message and str(tmp_path / "config.json") in message
    assert "float checkpoint" in message and "dequantize()" in message


@contract
@pytest.mark.parametrize("method", [None, 4, [], "", "\x1b[1m", "x" * 9999])
def test_load_refuses_layouts_without_a_name(tmp_path, method):
    """What is no method, or none that anybody knows, is quoted and refused."""
    configured(tmp_path, quantization_config={"quant_method": method, "w_bit": 4})
    with pytest.raises(CheckpointError, match="is not known here") as refusal:
        refvlm.load(tmp_path)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 999


@contract
@pytest.mark.parametrize("settings", [[], "nf4", 4, True, [{"bits": 4}]])
@pytest.mark.parametrize("name", ["quantization", "quantization_config"])
def test_load_refuses_settings_that_are_no_object(tmp_path, name, settings):
    """A configuration of another kind is refused, and says which file it is in."""
    configured(tmp_path, **{name: settings})
    with pytest.raises(CheckpointError, match=r"config\.json: .*not an object"):
        refvlm.load(tmp_path)


@contract
def test_load_refuses_float8_before_it_looks_at_the_tensors(tmp_path):
    """Files of float8 have a dtype that is not read either: the layout is named."""
    configured(tmp_path, quantization_config={"quant_method": "fp8"})
    (tmp_path / "model.safetensors").write_bytes(b"not even this")
    with pytest.raises(CheckpointError, match="float8 in blocks"):
        refvlm.load(tmp_path)


@contract
@pytest.mark.parametrize("end", ENDS)
def test_load_refuses_packed_tensors_that_config_says_nothing_of(tmp_path, end):
    """A quantised file under the config.json of a float one is told as that."""
    tensors = dict(language_models.tensors("qwen2"))
    tensors["model.layers.0.mlp.up_proj" + end] = np.ones(3, np.uint8)
    save(
        tmp_path,
        tensors,
        tiny.byte_tokenizer(),
        config=language_models.CONFIGS["qwen2"],
    )
    with pytest.raises(CheckpointError, match="no quantization_config") as refusal:
        refvlm.load(tmp_path)
    assert json.dumps(end)[1:-1] in str(refusal.value)


@contract
def test_load_refuses_two_words_for_one_thing(tmp_path):
    """quantization and quantization_config that disagree are an error."""
    groups = {"group_size": 64, "bits": 4}
    configured(tmp_path, quantization=groups, quantization_config={**groups, "bits": 8})
    with pytest.raises(CheckpointError, match="say different things"):
        refvlm.load(tmp_path)


@contract
def test_load_names_a_gguf_that_lies_alone(tmp_path):
    """A folder with llama.cpp's file and no other is told what to download."""
    configured(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "qwen2-q4_k_m.gguf")
    with pytest.raises(CheckpointError, match="GGUF, llama.cpp's"):
        refvlm.load(tmp_path)
