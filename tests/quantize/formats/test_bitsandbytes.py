"""The spec of refvlm/quantize/formats/bitsandbytes.py: four bits, as they are saved."""

import json
import random
import shutil

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError, Raw
from refvlm.models.decoders import DECODERS
from refvlm.models.fields import ConfigError
from refvlm.pretrained import save
from refvlm.quantize.formats import bitsandbytes
from refvlm.quantize.matrices import FourBit
from refvlm.quantize.schemes import SCHEMES

from ... import language_models, tiny
from ...checkpoint.test_hostile_files import mutate_file, mutate_json
from ...spec import assert_close, contract, example, law, oracle, random_arrays
from ...weights import random_weights
from . import saved_by_bitsandbytes as saved

IDS = np.array([[5, 99, 200, 17, 3, 250, 1]])
UP = "model.layers.1.mlp.up_proj.weight"
STATE = f"{UP}.quant_state.bitsandbytes__nf4"


def described(family, tied=True):
    """config.json and tensors of a small model whose logits are not large."""
    if family == "fast_vlm":
        return tiny.CONFIG, tiny.random_tensors()
    config = {**language_models.CONFIGS[family], "tie_word_embeddings": tied}
    decoder = DECODERS[family]
    shapes = decoder.expected_shapes(decoder.config.from_json(config), tied)
    return config, random_weights(shapes, 5)


def logits(model, ids=IDS):
    """Of texts alone, whatever the model."""
    return model.logits(None, ids) if hasattr(model, "describe") else model.logits(ids)


FORMS = {
    "qwen2": ("qwen2", True, {"bnb_4bit_quant_type": "nf4"}),
    "qwen2 untied, nested": (
        *("qwen2", False),
        {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    ),
    "gpt2": ("gpt2", True, {"bnb_4bit_quant_type": "nf4"}),
    "fastvlm": ("fast_vlm", True, {"bnb_4bit_quant_type": "nf4"}),
}


@example
def test_tensors_are_those_that_bitsandbytes_writes():
    """A matrix of 2 x 40: 40 bytes, two scales, the code book, and a line of JSON."""
    matrix = np.zeros((2, 40), np.float32)
    matrix[0, 0], matrix[1, 39] = -2.0, 0.5
    found = bitsandbytes.tensors("x.weight", SCHEMES["nf4"].pack(matrix))
    said = found.pop("x.weight.quant_state.bitsandbytes__nf4").tobytes().decode()
    assert said == (
        '{"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 40]}'
    )
    assert found["x.weight"].shape == (40, 1) and found["x.weight"].dtype == np.uint8
    assert hex(found["x.weight"][0, 0]) == "0x7" and found["x.weight"][1, 0] == 0x77
    np.testing.assert_array_equal(found["x.weight.absmax"], [2.0, 0.5])
    assert found["x.weight.quant_map"][[0, 7, 15]].tolist() == [-1.0, 0.0, 1.0]
    assert found.keys() == {f"x.weight{end}" for end in ("", ".absmax", ".quant_map")}


@law
@pytest.mark.parametrize("scheme", ["nf4", "nf4-double"])
@pytest.mark.parametrize("shape", [(3, 5), (64, 64), (33, 130)])
def test_read_gives_what_tensors_wrote(tmp_path, scheme, shape):
    """Through a file and back, every number stays."""
    packed = SCHEMES[scheme].pack(random_arrays(4)(*shape).astype(np.float32))
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, bitsandbytes.tensors("x", packed))
    weights = checkpoint.load(path)
    said = bitsandbytes.configuration({"x": packed}, [])["quantization_config"]
    again = bitsandbytes.read(weights, said, "config.json", np.float32)
    assert again.shapes() == {"x": shape} and isinstance(again.tensor("x"), FourBit)
    np.testing.assert_array_equal(again["x"], packed.array())
    assert again.tensor("x").nbytes == packed.nbytes


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_read_gives_the_dtype_that_is_asked_for(tmp_path, dtype):
    """The scales stay float32, whatever the model is to compute in."""
    write(tmp_path)
    model, single = refvlm.load(tmp_path, dtype=dtype), refvlm.load(tmp_path)
    assert model.weights[UP].dtype == dtype
    np.testing.assert_array_equal(model.weights[UP], single.weights[UP].astype(dtype))


@law
def test_read_takes_codes_that_are_stored_as_another_dtype(tmp_path):
    """bnb_4bit_quant_storage: the same bytes, said to be bfloat16."""
    files = write(tmp_path)
    before = logits(refvlm.load(tmp_path))
    codes = files[UP].reshape(-1).view(np.uint16)
    rewrite(tmp_path, {**files, UP: Raw("BF16", codes.reshape(-1, 1))})
    np.testing.assert_array_equal(logits(refvlm.load(tmp_path)), before)


@oracle
@pytest.mark.parametrize("form", FORMS)
def test_load_equals_transformers(compare, tmp_path, form):
    """The logits of the library's own model, of a directory that it saved."""
    family, tied, options = FORMS[form]
    config, tensors = described(family, tied)

    def ask(torch):
        plain, packed = tmp_path / "float", tmp_path / "saved"
        saved.save_float(torch, plain, config, tensors, torch.float32)
        model = saved.open_quantised(torch, plain, config, torch.float32, **options)
        model.save_pretrained(packed)
        again = saved.open_quantised(torch, packed, config, torch.float32)
        with torch.no_grad():
            answer = again(input_ids=torch.from_numpy(IDS)).logits.numpy()
        return {"logits": answer, **saved.record_of(packed, tensors)}

    inputs = config, tensors, IDS, sorted(options.items())
    answer = compare.answers(ask, inputs, library="bitsandbytes")
    model = refvlm.load(saved.restore(tmp_path / "restored", answer, tensors))
    assert_close(logits(model), answer["logits"])


@oracle
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_matrices_equal_those_of_bitsandbytes(compare, tmp_path, kind, dtype):
    """In either code book, nested, to the bit; what was half before is half again."""
    name, numbers = "x.weight", random_arrays(8)(24, 25)

    def ask(torch):
        import bitsandbytes

        layer = bitsandbytes.nn.Linear4bit(
            25, 24, bias=False, compress_statistics=True, quant_type=kind
        )
        layer.weight.data = torch.from_numpy(numbers).to(getattr(torch, dtype))
        layer = layer.to("cpu")
        weight = layer.weight
        back = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
        assert back.dtype == getattr(torch, dtype)
        parts = {f"x.{part}": t.numpy() for part, t in layer.state_dict().items()}
        return {"numbers": back.float().numpy(), **parts}

    inputs = numbers, kind, dtype
    answer = compare.answers(ask, inputs, tolerance=0, library="bitsandbytes")
    expected = answer.pop("numbers")
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, answer)
    said = {"load_in_4bit": True, "bnb_4bit_quant_type": kind}
    weights = checkpoint.load(path)
    found = bitsandbytes.read(weights, said, "config.json", np.float32)
    np.testing.assert_array_equal(found[name], expected)
    again = bitsandbytes.tensors(name, found.tensor(name))
    assert again.keys() == answer.keys()
    for part, array in again.items():
        np.testing.assert_array_equal(array, answer[part], err_msg=part)


def write(directory, scheme="nf4"):
    """A Qwen2 in four bits, written by us; its tensors."""
    config, tensors = described("qwen2")
    files, matrices = {}, {}
    for name, array in tensors.items():
        single = array.astype(np.float32)
        if name.endswith("_proj.weight"):
            matrices[name] = SCHEMES[scheme].pack(single)
            files |= bitsandbytes.tensors(name, matrices[name])
        else:
            files[name] = single
    said = bitsandbytes.configuration(matrices, ["lm_head"])
    save(directory, files, tiny.byte_tokenizer(), config={**config, **said})
    return files


def rewrite(directory, files):
    checkpoint.save(directory / "model.safetensors", files)


def state(**changes):
    """The JSON of the matrix, with other values; None takes one away."""
    said = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [48, 32]}
    said = {k: v for k, v in {**said, **changes}.items() if v is not None}
    return np.frombuffer(json.dumps(said).encode(), np.uint8)


NESTED = {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.05}
WRONG = {
    "no absmax": ({f"{UP}.absmax": None}, r"absmax' is missing"),
    "no map": ({f"{UP}.quant_map": None}, r"quant_map' is missing"),
    "no codes": ({UP: None}, r"up_proj.weight' is missing"),
    "no state": ({STATE: None}, "without the quant_state"),
    "a short absmax": (
        {f"{UP}.absmax": np.ones(23, np.float32)},
        r"absmax' is \(23,\) and should be \(24,\)",
    ),
    "a double absmax": ({f"{UP}.absmax": np.ones(24)}, "has the dtype F64, not F32"),
    "an absmax of codes": ({f"{UP}.absmax": np.ones(24, np.uint8)}, "dtype U8"),
    "an absmax of NaN": (
        {f"{UP}.absmax": Raw("I32", np.full(24, 0x7FC00000, np.int32))},
        "dtype I32",
    ),
    "a code too few": ({UP: np.ones((767, 1), np.uint8)}, "767 bytes hold two codes"),
    "another shape": ({STATE: state(shape=[32, 48])}, "does not fit this model"),
    "a larger shape": ({STATE: state(shape=[48, 64])}, "768 bytes hold two codes"),
    "a huge shape": ({STATE: state(shape=[1 << 40, 1])}, "says shape"),
    "a flat shape": ({STATE: state(shape=[1536])}, "says shape"),
    "a shape of nothing": ({STATE: state(shape=[0, 32])}, "says shape"),
    "a shape of halves": ({STATE: state(shape=[48.0, 32])}, "says shape"),
    "a block of 65": ({STATE: state(blocksize=65)}, "says blocksize 65"),
    "a block of 128": ({STATE: state(blocksize=128)}, r"should be \(12,\)"),
    "another dtype": ({STATE: state(dtype="float64")}, "says dtype"),
    "a dtype of code": ({STATE: state(dtype="__class__")}, "says dtype"),
    "another kind": ({STATE: state(quant_type="fp4")}, "another code book"),
    "half nested": ({STATE: state(nested_offset=0.5)}, "does not say nested_"),
    "nested": ({STATE: state(**NESTED)}, r"absmax' has the dtype F32, not U8"),
    "an infinite offset": (
        {STATE: np.frombuffer(b'{"nested_offset": 1e999}', np.uint8)},
        "says nested_offset inf",
    ),
    "an offset of NaN": (
        {STATE: np.frombuffer(b'{"nested_offset": NaN}', np.uint8)},
        "NaN is not a JSON number",
    ),
    "a name twice": (
        {STATE: np.frombuffer(b'{"shape": [1, 1], "shape": [2, 2]}', np.uint8)},
        "appears twice",
    ),
    "an unknown key": ({STATE: state(zero_point=1)}, "which is not known here"),
    "no dtype": ({STATE: state(dtype=None)}, "does not say dtype"),
    "no object": ({STATE: np.frombuffer(b"[]", np.uint8)}, "not an object"),
    "no text": ({STATE: np.frombuffer(b"\xff\xfe", np.uint8)}, "not UTF-8"),
    "nothing": ({STATE: np.zeros(0, np.uint8)}, "not valid JSON"),
    "too deep": ({STATE: np.frombuffer(b"[" * 4000, np.uint8)}, "JSON"),
    "too long": ({STATE: np.zeros(5000, np.uint8)}, "some 170 bytes"),
    "a wide state": ({STATE: np.zeros(9, np.int64)}, "dtype I64"),
    "another map": ({f"{UP}.quant_map": np.linspace(-1, 1, 16)}, "dtype F64"),
    "another book": (
        {f"{UP}.quant_map": np.linspace(-1, 1, 16, dtype=np.float32)},
        "not bitsandbytes' own",
    ),
}


@contract
@pytest.mark.parametrize("wrong", WRONG)
def test_load_refuses_matrices_that_contradict_themselves(tmp_path, wrong):
    """Each inconsistency is one error that names the tensor, before it is read."""
    changes, message = WRONG[wrong]
    files = {**write(tmp_path), **changes}
    rewrite(tmp_path, {n: array for n, array in files.items() if array is not None})
    with pytest.raises(CheckpointError, match=message) as refusal:
        refvlm.load(tmp_path)
    said = str(refusal.value)
    assert said.isprintable() and len(said) < 1500
    assert UP in said and "model.safetensors" in said


@contract
def test_load_refuses_scales_that_are_not_finite(tmp_path):
    """Found when the matrix is first looked up, by the name of the scales."""
    files = write(tmp_path)
    bits = files[f"{UP}.absmax"].view(np.int32).copy()
    bits[3] = 0x7F800000
    path = tmp_path / "model.safetensors"
    rewrite(tmp_path, {**files, f"{UP}.absmax": Raw("I32", bits)})
    path.write_bytes(path.read_bytes().replace(b'"I32"', b'"F32"'))
    model = refvlm.load(tmp_path)
    with pytest.raises(CheckpointError, match=r"absmax' holds inf at \[3\]"):
        logits(model)


CONFIGURED = {
    "eight bits": ({"load_in_8bit": True, "load_in_4bit": False}, "LLM.int8"),
    "no bits": ({"load_in_4bit": False}, "neither load_in_4bit nor"),
    "bits as text": ({"load_in_4bit": "yes"}, "neither load_in_4bit nor"),
    "af4": ({"bnb_4bit_quant_type": "af4"}, "bnb_4bit_quant_type"),
    "a list": ({"bnb_4bit_quant_type": ["nf4"]}, "bnb_4bit_quant_type"),
    "the other": ({"bnb_4bit_quant_type": "fp4"}, "another code book"),
}


@contract
@pytest.mark.parametrize("wrong", CONFIGURED)
def test_load_refuses_settings_that_are_not_four_bits(tmp_path, wrong):
    """LLM.int8, no bits at all, and code books that nobody knows."""
    changes, message = CONFIGURED[wrong]
    write(tmp_path)
    path = tmp_path / "config.json"
    document = json.loads(path.read_text())
    document["quantization_config"] |= changes
    path.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=message):
        refvlm.load(tmp_path)


@contract
def test_load_refuses_a_quantised_file_under_a_float_config_and_the_reverse(tmp_path):
    """Each is told as what it is: the config.json of another checkpoint."""
    config, tensors = described("qwen2")
    files = write(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="no quantization_config"):
        refvlm.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said))
    rewrite(tmp_path, {n: a.astype(np.float32) for n, a in tensors.items()})
    with pytest.raises(CheckpointError, match="no tensor of .* is so quantised"):
        refvlm.load(tmp_path)
    del files[f"{UP}.absmax"], files[f"{UP}.quant_map"], files[STATE]
    rewrite(tmp_path, files)
    with pytest.raises(CheckpointError, match=r"up_proj.weight' is \(768, 1\)"):
        refvlm.load(tmp_path)


@contract
def test_hostile_four_bits_give_one_error_or_an_answer(tmp_path):
    """Three hundred damaged directories, half of them by their inner JSON."""
    good = tmp_path / "good"
    files = write(good, "nf4-double")
    content = (good / "model.safetensors").read_bytes()
    rng, answered = random.Random(3), 0
    for _ in range(300):
        directory = tmp_path / "bad"
        shutil.copytree(good, directory, dirs_exist_ok=True)
        if rng.random() < 0.5:
            mutant = mutate_file(content, rng)
            (directory / "model.safetensors").write_bytes(mutant)
        else:
            document = json.loads(files[STATE].tobytes())
            text = json.dumps(mutate_json(document, rng)).encode()
            rewrite(directory, {**files, STATE: np.frombuffer(text, np.uint8)})
        answered += survives(directory)
    assert 10 < answered < 200, "the mutants are all alike, so this proves nothing"


def survives(directory):
    """Whether there was an answer; if not, one sentence."""
    try:
        found = logits(refvlm.load(directory))
    except (CheckpointError, ConfigError) as error:
        message = str(error)
        assert message.isprintable() and len(message) < 4000, message
        return False
    assert np.isfinite(found).all()
    return True
