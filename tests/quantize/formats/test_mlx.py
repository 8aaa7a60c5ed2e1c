"""The spec of refvlm/quantize/formats/mlx.py: groups on a grid, as mlx-lm saves."""

import hashlib
import json
import random
import shutil

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError, Raw
from refvlm.models.decoders import DECODERS
from refvlm.ops.rounding import bfloat16_bits, bfloat16_from_bits
from refvlm.pretrained import save
from refvlm.quantize import GroupWise, group_quantize
from refvlm.quantize.formats import mlx
from refvlm.quantize.schemes import pack_groups

from ... import language_models, tiny
from ...checkpoint.test_hostile_files import mutate_file, mutate_json
from ...oracles import import_torchvision
from ...spec import assert_close, contract, example, law, oracle, random_arrays
from ...weights import random_weights
from .test_bitsandbytes import IDS, logits, survives

UP, TABLE = "model.layers.1.mlp.up_proj", "model.embed_tokens"
CONFIG = {
    **language_models.CONFIGS["qwen2"],
    "hidden_size": 64,
    "intermediate_size": 128,
}
GROUPS = {"group_size": 64, "bits": 4}
# As newer versions write it, and older ones; and with modules of their own.
SAID = {
    "newer": {
        "quantization": {**GROUPS, "mode": "affine"},
        "quantization_config": {**GROUPS, "mode": "affine"},
    },
    "older": {"quantization": {"group_size": 32, "bits": 8}},
    "mixed": {
        "quantization": {
            **GROUPS,
            TABLE: {"group_size": 32, "bits": 8},
            UP: {"group_size": 32, "bits": 6},
            "model.layers.0.mlp.down_proj": False,
        }
    },
}


def described(tied=True):
    config = {**CONFIG, "tie_word_embeddings": tied}
    decoder = DECODERS["qwen2"]
    shapes = decoder.expected_shapes(decoder.config.from_json(config), tied)
    weights = random_weights(shapes, 6)
    return config, {n: a.astype(np.float32) for n, a in weights.items()}


def groupings(tensors, said):
    """module -> (group_size, bits), for every matrix that MLX would quantise."""
    for name, array in tensors.items():
        module = name.removesuffix(".weight")
        own = said.get(module, said)
        if array.ndim == 2 and own is not False:
            yield module, own["group_size"], own["bits"]


def write(directory, said=SAID["newer"], tied=True):
    """A Qwen2 as mlx-lm converts it; its tensors."""
    config, tensors = described(tied)
    files = dict(tensors)
    for module, group_size, bits in groupings(tensors, said["quantization"]):
        parts = group_quantize(tensors[f"{module}.weight"], group_size, bits)
        ends = ".weight", ".scales", ".biases"
        files |= {module + end: part for end, part in zip(ends, parts)}
    save(directory, files, tiny.byte_tokenizer(), config={**config, **said})
    return files


def rewrite(directory, files):
    checkpoint.save(directory / "model.safetensors", files)


def configure(directory, **said):
    config, _ = described()
    (directory / "config.json").write_text(json.dumps({**config, **said}))


@example
def test_tensors_are_those_that_mlx_writes():
    """A row of 0 to 63 at 4 bits: 8 words, a scale, and where the group begins."""
    matrix = pack_groups(np.arange(64, dtype=np.float32)[None], bits=4)
    found = mlx.tensors("x.weight", matrix)
    assert list(found) == ["x.weight", "x.scales", "x.biases"]
    assert found["x.weight"].shape == (1, 8) and found["x.weight"].dtype == np.uint32
    assert found["x.scales"] == np.float32(-4.2) and found["x.biases"] == 63
    said = mlx.configuration({"x.weight": matrix}, [])
    assert said["quantization"] == {"group_size": 64, "bits": 4, "mode": "affine"}
    assert said["quantization_config"] == said["quantization"]


@law
@pytest.mark.parametrize("bits", mlx.BITS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_read_gives_what_tensors_wrote(tmp_path, bits, dtype):
    """Through a file and back, every number stays, in every width."""
    drawn = random_arrays(4)
    packed = {
        "a.weight": pack_groups(drawn(3, 64).astype(dtype), bits),
        "b.weight": pack_groups(drawn(5, 96).astype(dtype), bits),
    }
    path = tmp_path / "m.safetensors"
    files = [mlx.tensors(name, matrix) for name, matrix in packed.items()]
    checkpoint.save(path, files[0] | files[1] | {"a.bias": np.ones(3, np.float32)})
    said = mlx.configuration(packed, [])["quantization"]
    assert [said["group_size"], said["b"]["group_size"]] == [64, 32]
    weights = mlx.read(checkpoint.load(path), said, "config.json", np.float32)
    assert weights.shapes() == {
        "a.bias": (3,),
        "a.weight": (3, 64),
        "b.weight": (5, 96),
    }
    for name, matrix in packed.items():
        again = weights.tensor(name)
        assert isinstance(again, GroupWise) and again.nbytes == matrix.nbytes
        np.testing.assert_array_equal(weights[name], matrix.array().astype(np.float32))


@law
def test_read_keeps_a_table_packed_and_looks_its_rows_up(tmp_path):
    """An embedding in few bits, with a head tied to it, is never made whole."""
    write(tmp_path)
    model = refvlm.load(tmp_path)
    table = model.weights.tensor(f"{TABLE}.weight")
    assert isinstance(table, GroupWise) and table.shape == (264, 64)
    rows = np.array([[7, 263], [0, 7]])
    np.testing.assert_array_equal(table.rows(rows), table.array()[rows])


@oracle
@pytest.mark.parametrize("said", SAID)
def test_load_equals_mlx(compare, tmp_path, said):
    """A directory as MLX lays it out: weights as it dequantises them, to the bit, and
    the logits of transformers with these weights."""
    tied = said != "older"
    config, tensors = described(tied)
    settings = SAID[said]["quantization"]

    def ask(torch):
        import_torchvision()
        import mlx.core as mx
        import transformers

        packed, floats = {}, dict(tensors)
        for module, *grid in groupings(tensors, settings):
            parts = mx.quantize(mx.array(tensors[f"{module}.weight"]), *grid)
            packed[module] = [np.array(part) for part in parts]
            floats[f"{module}.weight"] = np.array(mx.dequantize(*parts, *grid))
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**config))
        state = {name: torch.from_numpy(array) for name, array in floats.items()}
        model.load_state_dict(state, strict=False)
        model.tie_weights()
        with torch.no_grad():
            found = model.eval()(torch.from_numpy(IDS)).logits.numpy()
        parts = [part for module in sorted(packed) for part in packed[module]]
        return {
            "logits": found,
            "files": digest(parts),
            "numbers": digest([floats[name] for name in sorted(floats)]),
        }

    inputs = config, tensors, IDS, settings
    answer = compare.answers(ask, inputs, library="mlx.core")
    files = write(tmp_path, SAID[said], tied)
    modules = sorted(module for module, *_ in groupings(tensors, settings))
    ends = "weight", "scales", "biases"
    parts = [files[f"{module}.{end}"] for module in modules for end in ends]
    np.testing.assert_array_equal(digest(parts), answer["files"])
    model = refvlm.load(tmp_path)
    numbers = [model.weights[name] for name in sorted(model.weights)]
    np.testing.assert_array_equal(digest(numbers), answer["numbers"])
    assert_close(logits(model), answer["logits"])


def digest(arrays):
    """A short word for many numbers, of their shapes too."""
    word = hashlib.sha256()
    for array in arrays:
        word.update(f"{array.dtype.str}{array.shape}".encode())
        word.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(word.digest(), np.uint8)


@oracle
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("bits", [4, 3])
def test_matrices_of_half_equal_mlx(compare, tmp_path, dtype, bits):
    """Scales in half precision: the product and the sum are rounded, each by itself."""
    numbers = random_arrays(9)(7, 128)

    def ask(torch):
        import mlx.core as mx

        matrix = mx.array(numbers.astype(np.float32)).astype(getattr(mx, dtype))
        codes, scales, biases = mx.quantize(matrix, 64, bits)
        back = mx.dequantize(codes, scales, biases, 64, bits).astype(mx.float32)
        halves = [np.array(part.view(mx.uint16)) for part in (scales, biases)]
        return {
            "codes": np.array(codes),
            "scales": halves[0],
            "biases": halves[1],
            "numbers": np.array(back),
        }

    inputs = numbers, dtype, bits
    answer = compare.answers(ask, inputs, tolerance=0, library="mlx.core")
    kind = {"float16": "F16", "bfloat16": "BF16"}[dtype]

    def half(part):
        bits = answer[part]
        return Raw(kind, bits if kind == "BF16" else bits.view(np.float16))

    path = tmp_path / "m.safetensors"
    files = {"x.weight": answer["codes"], "x.scales": half("scales")}
    checkpoint.save(path, {**files, "x.biases": half("biases")})
    said = {"group_size": 64, "bits": bits}
    weights = mlx.read(checkpoint.load(path), said, "config.json", np.float32)
    np.testing.assert_array_equal(weights["x.weight"], answer["numbers"])


@law
def test_tensors_of_bfloat16_are_stored_as_that(tmp_path):
    """A matrix that was bfloat16 has scales in bfloat16, as MLX would write them."""
    w = bfloat16_from_bits(bfloat16_bits(random_arrays(3)(4, 64).astype(np.float32)))
    codes, scales, biases = group_quantize(w, 64, 4)
    halves = [bfloat16_from_bits(bfloat16_bits(part)) for part in (scales, biases)]
    matrix = GroupWise(
        w.shape,
        stored="bfloat16",
        codes=codes,
        scales=halves[0],
        biases=halves[1],
    )
    path = tmp_path / "m.safetensors"
    checkpoint.save(path, mlx.tensors("x.weight", matrix))
    weights = checkpoint.load(path)
    assert weights.tensor("x.scales").kind == weights.tensor("x.biases").kind == "BF16"
    again = mlx.read(weights, GROUPS, "config.json", np.float32)
    np.testing.assert_array_equal(again["x.weight"], matrix.array())


def parts(scales=(128, 1), biases=(128, 1), words=8, dtype=np.float32):
    """Changes to the three tensors of UP, which is 128 x 64 in groups of 64."""
    return {
        f"{UP}.weight": np.ones((128, words), np.uint32),
        f"{UP}.scales": np.ones(scales, dtype),
        f"{UP}.biases": np.ones(biases, dtype),
    }


WRONG = {
    "no biases": ({f"{UP}.biases": None}, r"biases' is missing"),
    "no codes": ({f"{UP}.weight": None}, r"up_proj.weight' is missing"),
    "no scales": ({f"{UP}.scales": None}, "without the scales"),
    "codes of bytes": ({f"{UP}.weight": np.ones((128, 32), np.uint8)}, "dtype U8"),
    "float codes": ({f"{UP}.weight": np.ones((128, 64), np.float32)}, "dtype F32"),
    "scales of bytes": ({f"{UP}.scales": np.ones((128, 2), np.uint8)}, "dtype U8"),
    "double scales": (parts(dtype=np.float64), "dtype F64"),
    "two dtypes": ({f"{UP}.biases": np.ones((128, 1), np.float16)}, "F16, not F32"),
    "two groups": (parts(scales=(128, 2), biases=(128, 2)), "another group_size or"),
    "a row too few": (parts(scales=(127, 1), biases=(127, 1)), "another group_size"),
    "biases too few": (parts(biases=(127, 1)), r"biases' is \(127, 1\)"),
    "a word too many": (parts(words=9), "9 words a row are 72 numbers"),
    "twice as wide": (
        parts(scales=(128, 2), biases=(128, 2), words=16),
        "does not fit this model",
    ),
    "flat codes": (
        {f"{UP}.weight": np.ones(1024, np.uint32), f"{UP}.scales": np.ones(16)},
        "dtype F64|not rows",
    ),
    "no rows": (parts((0, 1), (0, 1)) | {f"{UP}.weight": np.ones((0, 8), "u4")}, "not"),
}


@contract
@pytest.mark.parametrize("wrong", WRONG)
def test_load_refuses_groups_that_contradict_themselves(tmp_path, wrong):
    """Each inconsistency is one error that names the tensor, before it is read."""
    changes, message = WRONG[wrong]
    files = {**write(tmp_path), **changes}
    rewrite(tmp_path, {n: array for n, array in files.items() if array is not None})
    with pytest.raises(CheckpointError, match=message) as refusal:
        refvlm.load(tmp_path)
    said = str(refusal.value)
    assert said.isprintable() and len(said) < 1500
    assert UP in said and "model.safetensors" in said


CONFIGURED = {
    "no bits": ({"group_size": 64}, "bits None"),
    "seven bits": ({"group_size": 64, "bits": 7}, "bits 7, but MLX has 1, 2, 3"),
    "bits as text": ({"group_size": 64, "bits": "4"}, "bits '4'"),
    "true bits": ({"group_size": 64, "bits": True}, "bits True"),
    "four and a half": ({"group_size": 64, "bits": 4.5}, "bits 4.5"),
    "groups of 16": ({"group_size": 16, "bits": 4}, "group_size 16"),
    "other bits": ({"group_size": 64, "bits": 8}, "another group_size or bits"),
    "other groups": ({"group_size": 32, "bits": 4}, "another group_size or bits"),
    "mxfp4": ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, "mode 'mxfp4', but of"),
    "nvfp4": ({"group_size": 16, "bits": 4, "mode": "nvfp4"}, "mode 'nvfp4', but of"),
    "a mode of list": ({**GROUPS, "mode": []}, r"mode \[\], but of"),
    "a module of text": ({**GROUPS, UP: "8"}, "up_proj' is '8', not an object"),
    "a module without bits": ({**GROUPS, UP: {"group_size": 64}}, "bits None"),
    "not this one": ({**GROUPS, UP: False}, "is not quantised, but"),
}


@contract
@pytest.mark.parametrize("wrong", CONFIGURED)
def test_load_refuses_settings_that_are_not_the_file_s(tmp_path, wrong):
    """What MLX does not have, what is another mode, and what the file was not."""
    said, message = CONFIGURED[wrong]
    write(tmp_path)
    configure(tmp_path, quantization=said)
    with pytest.raises(CheckpointError, match=message) as refusal:
        refvlm.load(tmp_path)
    assert str(refusal.value).isprintable()


@contract
def test_load_refuses_a_quantised_file_under_a_float_config_and_the_reverse(tmp_path):
    """Each is told as what it is: the config.json of another checkpoint."""
    _, tensors = described()
    write(tmp_path)
    configure(tmp_path)
    with pytest.raises(CheckpointError, match="no quantization_config"):
        refvlm.load(tmp_path)
    configure(tmp_path, quantization=GROUPS)
    rewrite(tmp_path, tensors)
    with pytest.raises(CheckpointError, match="no tensor of .* has scales"):
        refvlm.load(tmp_path)


@contract
def test_hostile_groups_give_one_error_or_an_answer(tmp_path):
    """Three hundred damaged directories: the file, or what config.json says of it."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    write(good, SAID["mixed"])
    content = (good / "model.safetensors").read_bytes()
    config, rng, answered = described()[0], random.Random(5), 0
    for _ in range(300):
        shutil.copytree(good, bad, dirs_exist_ok=True)
        if rng.random() < 0.5:
            (bad / "model.safetensors").write_bytes(mutate_file(content, rng))
        else:
            said = mutate_json(SAID["mixed"], rng)
            (bad / "config.json").write_text(json.dumps({**config, **said}))
        answered += survives(bad)
    assert 10 < answered < 200, "the mutants are all alike, so this proves nothing"
