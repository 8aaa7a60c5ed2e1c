"""The spec of refvlm/pretrained/quantizing.py: a checkpoint in fewer bits."""

import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint, pretrained
from refvlm.checkpoint import CheckpointError, Raw, saving
from refvlm.models import qwen2
from refvlm.models.decoders import DECODERS
from refvlm.models.fields import ConfigError
from refvlm.ops.rounding import bfloat16_bits
from refvlm.pretrained import quantizing, save, shipped_model
from refvlm.pretrained.linear_matrices import (
    is_linear,
    linear_matrices,
    mixed_widths,
)
from refvlm.quantize import SCHEMES, Packed
from refvlm.quantize.schemes import pack_groups

from .. import tiny
from ..models.test_clip import JSON as CLIP_JSON
from ..models.test_clip import TENSORS as CLIP_TENSORS
from ..quantize.formats import saved_by_bitsandbytes as saved
from ..quantize.formats.test_bitsandbytes import IDS, described, logits
from ..spec import assert_close, contract, example, law, oracle
from ..weights import random_weights

EACH = pytest.mark.parametrize("scheme", quantizing.NAMES)


def write(directory, family="qwen2", kind="F32"):
    """A directory of a small model, stored in float32, float16 or bfloat16."""
    if family == "clip":
        config, tensors = CLIP_JSON, CLIP_TENSORS
    else:
        config, tensors = described(family)
    save(
        directory,
        {name: stored(array, kind) for name, array in tensors.items()},
        tiny.byte_tokenizer(),
        config=config,
        generation_config={"eos_token_id": 7},
        preprocessor_config=tiny.PREPROCESSOR,
    )
    return directory


def stored(array, kind):
    single = array.astype(np.float32)
    if kind == "BF16":
        return Raw("BF16", bfloat16_bits(single))
    return single.astype({"F32": np.float32, "F16": np.float16}[kind])


@example
def test_quantize_packs_the_27_matrices_of_the_model_that_comes_along(tmp_path):
    """4 in the tower, 2 in the projector, 21 in the decoder; 3.8 MB of 6.8."""
    report = pretrained.quantize("fastvlm-tiny", tmp_path / "nf4", "nf4")
    names = [layer.name for layer in report.layers]
    assert len(names) == 27
    assert sum(".vision_tower." in name for name in names) == 4
    assert sum(".multi_modal_projector." in name for name in names) == 2
    assert sum(".language_model." in name for name in names) == 21
    assert report.bytes_before == os.path.getsize(shipped_model() / saved.WEIGHTS)
    assert report.bytes_after == os.path.getsize(tmp_path / "nf4" / saved.WEIGHTS)
    assert report.bytes_after < 0.57 * report.bytes_before
    assert report.bits == pytest.approx(4.535, abs=0.001) and not report.kept
    assert 19 < report.worst(1)[0].sqnr < report.worst(2)[1].sqnr < 22


@example
def test_is_linear_leaves_the_table_of_qwen2_and_takes_357_8_million():
    """Of 494.0 million numbers 136.1 are the table, and 0.07 norms and biases."""
    shapes = qwen2.expected_shapes(qwen2.Qwen2Config())
    linear = [s for name, s in shapes.items() if is_linear(f"model.{name}", s)]
    numbers = sum(math.prod(shape) for shape in linear)
    assert len(linear) == 7 * 24 and numbers == 357_826_560
    assert sum(map(math.prod, shapes.values())) - numbers == 136_206_208


@law
@EACH
@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2", "fast_vlm"])
def test_quantize_writes_what_loads_as_the_rounded_weights(tmp_path, scheme, family):
    """The logits are those of a float directory whose matrices were rounded."""
    source = write(tmp_path / "float", family)
    report = pretrained.quantize(source, tmp_path / "packed", scheme)
    model, plain = refvlm.load(tmp_path / "packed"), refvlm.load(source)
    packed = {
        name: model.weights.tensor(name)
        for name in model.weights
        if isinstance(model.weights.tensor(name), Packed)
    }
    assert len(packed) == len(report.layers) > 7
    for name in plain.weights:
        same = np.array_equal(plain.weights[name], model.weights[name])
        assert same == (name not in packed), name
    rounded = {name: matrix.array() for name, matrix in packed.items()}
    plain.weights = plain.weights.replace(rounded)
    np.testing.assert_array_equal(logits(model), logits(plain))
    if scheme in SCHEMES and family != "gpt2":
        for name, array in rounded.items():
            floats = refvlm.load(source).weights[name]
            np.testing.assert_array_equal(array, SCHEMES[scheme].rounded(floats))


@law
def test_quantize_turns_the_matrices_of_gpt2(tmp_path):
    """They lie (in, out): what shares a scale is what goes into one output."""
    source = write(tmp_path / "float", "gpt2")
    pretrained.quantize(source, tmp_path / "packed", "nf4")
    name = "transformer.h.0.attn.c_attn.weight"
    floats = refvlm.load(source).weights[name]
    turned = SCHEMES["nf4"].rounded(np.ascontiguousarray(floats.T))
    found = refvlm.load(tmp_path / "packed").weights[name]
    np.testing.assert_array_equal(found, turned.T)


@law
@EACH
@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_quantize_keeps_what_was_half_as_it_was(tmp_path, scheme, kind):
    """Embeddings and norms byte for byte; the matrices come back as halves."""
    source = write(tmp_path / "float", kind=kind)
    report = pretrained.quantize(source, tmp_path / "packed", scheme)
    before = checkpoint.load(source)
    after = checkpoint.load(tmp_path / "packed")
    assert sum(layer.nbytes for layer in report.layers) == held_of(report, after)
    for name in before:
        if name.endswith("_proj.weight"):
            continue
        old, new = before.tensor(name), after.tensor(name)
        assert new.kind == old.kind == kind, name
        np.testing.assert_array_equal(new.stored(), old.stored())
    if scheme != "ternary":
        matrix = refvlm.load(tmp_path / "packed").weights[
            "model.layers.0.mlp.up_proj.weight"
        ]
        halves = stored(matrix, kind)
        again = halves.numbers if kind == "BF16" else halves
        bits = bfloat16_bits(matrix) if kind == "BF16" else matrix.astype(np.float16)
        np.testing.assert_array_equal(again, bits)
        assert len(np.unique(matrix)) > 3
        rest = matrix.view(np.uint32) & (0xFFFF if kind == "BF16" else 0x1FFF)
        assert not rest.any(), "more digits than a half has"


def held_of(report, weights):
    """Bytes of all tensors of a file whose names begin as a packed matrix's does."""
    modules = [layer.name.removesuffix("weight") for layer in report.layers]
    return sum(
        weights.tensor(name).nbytes
        for name in weights
        if name.startswith(tuple(modules)) and not name.endswith(".bias")
    )


@law
def test_bits_are_what_the_file_holds_of_the_matrices(tmp_path):
    """Code books and what describes them weigh on small matrices, on which a second
    book costs more than it saves."""
    source, bits = write(tmp_path / "float"), {}
    for scheme in SCHEMES:
        report = pretrained.quantize(source, tmp_path / scheme, scheme)
        held = held_of(report, checkpoint.load(tmp_path / scheme, None))
        bits[scheme] = report.bits
        assert bits[scheme] == 8 * held / sum(layer.numbers for layer in report.layers)
    assert bits["nf4-double"] > bits["nf4"] > 4.5


@law
def test_quantize_keeps_shards_and_their_index(tmp_path):
    """A model in two files stays one in two, of the same names."""
    source = write(tmp_path / "float")
    weights = checkpoint.load(source, None)
    names, place = sorted(weights), {}
    for part, some in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{part:05}-of-00002.safetensors"
        checkpoint.save(source / file, {name: weights[name] for name in some})
        place |= dict.fromkeys(some, file)
    (source / saved.WEIGHTS).unlink()
    index = source / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": place}))
    report = pretrained.quantize(source, tmp_path / "packed", "nf4-double")
    files = {path.name for path in (tmp_path / "packed").glob("*.safetensors*")}
    assert files == {*place.values(), index.name}
    assert np.isfinite(logits(refvlm.load(tmp_path / "packed"))).all()
    written = (tmp_path / "packed").glob("*.safetensors")
    assert report.bytes_after == sum(map(os.path.getsize, written))


@law
def test_quantize_copies_what_belongs_to_a_model_and_nothing_else(tmp_path):
    """Tokenizer and settings, from behind links too; no card of the float model."""
    source = write(tmp_path / "float")
    (source / "README.md").write_text("scores of the float model")
    (source / "chat_template.jinja").symlink_to(source / "generation_config.json")
    pretrained.quantize(source, tmp_path / "packed", "int8")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    after = {path.name: path for path in (tmp_path / "packed").iterdir()}
    assert before.keys() - after.keys() == {"README.md"} and not after.keys() - before
    for name in after.keys() - {"config.json", saved.WEIGHTS}:
        assert after[name].read_bytes() == before[name] and not after[name].is_symlink()
    said, told = (
        json.loads(f) for f in (before["config.json"], after["config.json"].read_text())
    )
    assert said.items() <= told.items()


@law
def test_quantize_leaves_a_matrix_that_no_group_divides(tmp_path):
    """Rows of 48 are neither 64 nor 32: such a matrix stays, and is named."""
    source = write(tmp_path / "float")
    report = pretrained.quantize(source, tmp_path / "packed", "int4")
    assert report.kept == [f"model.layers.{i}.mlp.down_proj" for i in (0, 1)]
    model, plain = refvlm.load(tmp_path / "packed"), refvlm.load(source)
    name = "model.layers.1.mlp.down_proj.weight"
    np.testing.assert_array_equal(model.weights[name], plain.weights[name])
    everything = pretrained.quantize(source, tmp_path / "nf4", "nf4")
    assert not everything.kept


@law
def test_quantize_mixes_widths_within_the_budget():
    """What a matrix takes more than another is worth it: none could be exchanged."""
    weights = checkpoint.load(shipped_model(), None)
    document = json.loads((shipped_model() / "config.json").read_text())
    matrices = linear_matrices(weights, document)
    for budget in (3.0, 4.1, 5.5, 20.0):
        widths = mixed_widths(matrices, budget, lambda name: None)
        taken = sum(pack_groups(m.numbers(), widths[m.name]).nbytes for m in matrices)
        numbers = sum(m.numbers().size for m in matrices)
        assert 8 * taken / numbers <= min(budget, 9.0)
        assert 8 * taken / numbers > min(budget, 9.0) - 0.1
    assert {*widths.values()} == {8}


@oracle
@pytest.mark.parametrize("family", ["qwen2", "gpt2", "fast_vlm", "clip"])
def test_quantize_packs_the_layers_that_transformers_packs(compare, tmp_path, family):
    """The very modules that bitsandbytes' layers stand in for, no more and no less."""
    is_clip = family == "clip"
    config, tensors = (CLIP_JSON, CLIP_TENSORS) if is_clip else described(family)

    def ask(torch):
        plain = tmp_path / "theirs"
        saved.save_float(torch, plain, config, tensors, torch.float32)
        model = saved.open_quantised(
            torch, plain, config, torch.float32, bnb_4bit_quant_type="nf4"
        )
        names = [n for n, m in model.named_modules() if saved.is_four_bit(m)]
        return {"names": saved.as_bytes("\n".join(sorted(names)).encode())}

    found = compare.answers(ask, (config, tensors), library="bitsandbytes")
    report = pretrained.quantize(write(tmp_path / "f", family), tmp_path / "o", "nf4")
    ours = sorted(layer.name.removesuffix(".weight") for layer in report.layers)
    assert "\n".join(ours) == found["names"].tobytes().decode()


@oracle
@pytest.mark.parametrize("family", ["qwen2", "gpt2", "fast_vlm"])
@pytest.mark.parametrize("scheme", ["nf4", "nf4-double"])
def test_quantize_writes_what_transformers_loads(compare, tmp_path, family, scheme):
    """transformers with bitsandbytes opens the directory, and has our logits."""
    source = write(tmp_path / "float", family)
    pretrained.quantize(source, tmp_path / "packed", scheme)
    config, tensors = described(family)

    def ask(torch):
        packed = tmp_path / "packed"
        model = saved.open_quantised(torch, packed, config, torch.float32)
        assert sum(map(saved.is_four_bit, model.modules())) > 7
        with torch.no_grad():
            found = model(input_ids=torch.from_numpy(IDS)).logits.numpy()
        return {"logits": found}

    inputs = config, tensors, IDS, scheme
    told = compare.answers(ask, inputs, library="bitsandbytes")
    assert_close(logits(refvlm.load(tmp_path / "packed")), told["logits"])


@oracle
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("scheme", ["nf4", "nf4-double"])
def test_quantize_writes_the_tensors_of_bitsandbytes(compare, tmp_path, dtype, scheme):
    """Every tensor of the file is what transformers would have saved, to the bit."""
    config, tensors = described("qwen2")
    kind = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]

    def ask(torch):
        plain, packed = tmp_path / "theirs", tmp_path / "saved"
        precision = getattr(torch, dtype)
        saved.save_float(torch, plain, config, tensors, precision)
        nested = scheme == "nf4-double"
        options = {
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": nested,
        }
        model = saved.open_quantised(torch, plain, config, precision, **options)
        model.save_pretrained(packed)
        return content(packed)

    inputs = config, tensors, dtype, scheme
    told = compare.answers(ask, inputs, library="bitsandbytes")
    source = write(tmp_path / "float", kind=kind)
    pretrained.quantize(source, tmp_path / "packed", scheme)
    ours = content(tmp_path / "packed")
    np.testing.assert_array_equal(ours["digest"], told["digest"])
    # A mean is another rounding in another order of summing.
    assert_close(ours["means"], told["means"], 1e-6)


def content(directory):
    """A short word for every tensor of a directory, of its dtype and shape too, but for
    the means of scales and what is measured from them, which are numbers."""
    weights, word, means = checkpoint.load(directory), hashlib.sha256(), []
    for name in sorted(weights):
        tensor = weights.tensor(name)
        if name.endswith(".nested_absmax"):
            means += tensor.array().tolist()
            continue
        stored = tensor.stored().tobytes()
        if ".quant_state." in name:
            said = json.loads(stored)
            means.append(said.pop("nested_offset", 0.0))
            stored, shape = json.dumps(said).encode(), ()
        else:
            shape = tensor.shape
        word.update(f"{name} {tensor.kind} {shape}".encode() + stored)
    found = np.frombuffer(word.digest(), np.uint8)
    return {"digest": found, "means": np.array(means)}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contract
def test_quantize_never_writes_where_something_is(tmp_path):
    """Neither over the source nor into a folder, a file or a link that is there."""
    source = write(tmp_path / "float")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    before = digest(source / saved.WEIGHTS)
    for name in ("float", "empty", "file", "link"):
        with pytest.raises(CheckpointError, match="is there already"):
            pretrained.quantize(source, tmp_path / name, "nf4")
    assert digest(source / saved.WEIGHTS) == before
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(CheckpointError, match="there is no folder"):
        pretrained.quantize(source, tmp_path / "a" / "b", "nf4")


@contract
@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError(28, "no space")])
def test_quantize_leaves_nothing_when_it_is_stopped(tmp_path, monkeypatch, problem):
    """Ctrl-C and a full disk leave neither a folder nor a piece of one."""
    source, write_text = write(tmp_path / "float"), checkpoint.write_text

    def stopped(path, text):
        if Path(path).name == "config.json":
            raise problem
        write_text(path, text)

    monkeypatch.setattr(checkpoint, "write_text", stopped)
    expected = KeyboardInterrupt if problem is KeyboardInterrupt else CheckpointError
    with pytest.raises(expected) as stop:
        pretrained.quantize(source, tmp_path / "packed", "nf4")
    assert [path.name for path in tmp_path.iterdir()] == ["float"]
    if expected is CheckpointError:
        assert f"{tmp_path / 'packed'} cannot be written" in str(stop.value)


@contract
def test_quantize_refuses_what_is_quantised_already(tmp_path):
    """To round what was rounded is never meant."""
    source = write(tmp_path / "float")
    for scheme, program in (("nf4", "bitsandbytes"), ("int8", "mlx")):
        pretrained.quantize(source, tmp_path / scheme, scheme)
        with pytest.raises(CheckpointError, match=f"quantised already, by {program}"):
            pretrained.quantize(tmp_path / scheme, tmp_path / "again", "int4")


@contract
@pytest.mark.parametrize(
    ("scheme", "budget", "message"),
    [
        ("int5", None, "scheme is one of int8, int4, int2, nf4, nf4-double, ternary,"),
        (None, None, "scheme is one of"),
        ("nf4", 4.0, "a budget is for 'mixed'"),
        ("mixed", 1.0, r"budget is 1.0 bits .* take 4.00 to 10.00"),
        ("mixed", float("nan"), "budget"),
        ("mixed", -1.0, "budget"),
        ("mixed", "5", "budget is a number of bits up to 32, .* not '5'"),
    ],
)
def test_quantize_refuses_schemes_and_budgets(tmp_path, scheme, budget, message):
    """Before anything is written."""
    source = write(tmp_path / "float")
    with pytest.raises(ValueError, match=message):
        pretrained.quantize(source, tmp_path / "packed", scheme, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["float"]


@contract
def test_quantize_refuses_what_is_no_path(tmp_path):
    """None, a number: by the argument's name."""
    with pytest.raises(ValueError, match="quantize: out is a path, not None"):
        pretrained.quantize("clip-tiny", None, "nf4")
    with pytest.raises(ValueError, match="quantize: directory is a path, not 5"):
        pretrained.quantize(5, tmp_path / "packed", "nf4")


@contract
@pytest.mark.parametrize("scheme", ["int4", "mixed"])
def test_quantize_says_that_no_group_divides_the_rows(tmp_path, scheme):
    """There are matrices, and what takes rows of any length is named."""
    config = {**described("gpt2")[0], "n_embd": 20, "n_head": 4}
    decoder = DECODERS["gpt2"]
    shapes = decoder.expected_shapes(decoder.config.from_json(config), True)
    tensors = random_weights(shapes, 0)
    save(tmp_path / "float", tensors, tiny.byte_tokenizer(), config=config)
    with pytest.raises(CheckpointError, match="rows of all 8 .* take nf4 or ternary"):
        pretrained.quantize(tmp_path / "float", tmp_path / "packed", scheme)


@contract
@pytest.mark.parametrize("scheme", ["int4", "mixed"])
def test_quantize_names_the_matrix_that_cannot_be_packed(tmp_path, scheme):
    """float16 from end to end: twice as far as a code times its scale may reach."""
    source = write(tmp_path / "float", kind="F16")
    name = "model.layers.0.mlp.up_proj.weight"
    put(source, name, (0, slice(2)), [6e4, -6e4])
    with pytest.raises(CheckpointError, match=f"tensor '{name}' cannot be .* w reach"):
        pretrained.quantize(source, tmp_path / "packed", scheme)
    assert [path.name for path in tmp_path.iterdir()] == ["float"]


def put(source, name, place, numbers):
    """Numbers in a tensor of a file, even such as `save` would not write."""
    path = source / saved.WEIGHTS
    weights = checkpoint.load(source, None)
    arrays = {each: np.array(weights[each]) for each in weights}
    arrays[name][place] = numbers
    dtype = arrays[name].dtype
    kind, whole = {4: ("F32", "I32"), 2: ("F16", "I16")}[dtype.itemsize]
    bits = arrays[name].view(f"i{dtype.itemsize}")
    checkpoint.save(path, {**arrays, name: Raw(whole, bits)})
    head = f'"{name}":{{"dtype":"{whole}"'.encode()
    assert head in path.read_bytes()
    data = path.read_bytes().replace(head, head.replace(whole.encode(), kind.encode()))
    path.write_bytes(data)


@contract
def test_quantize_says_which_number_of_a_norm_is_none(tmp_path):
    """What stays is looked at too, and the source's own file and place are told."""
    source = write(tmp_path / "float")
    put(source, "model.norm.weight", 3, np.nan)
    where = rf"{source}.*: tensor 'model.norm.weight' holds nan at \[3\]"
    with pytest.raises(CheckpointError, match=where):
        pretrained.quantize(source, tmp_path / "packed", "nf4")


@law
def test_quantize_leaves_out_a_mask_that_is_not_finite(tmp_path):
    """Old files of GPT-2 keep one, which no model looks at."""
    source = write(tmp_path / "float", "gpt2")
    name = "transformer.h.0.attn.masked_bias"
    path = source / saved.WEIGHTS
    checkpoint.save(path, {**checkpoint.load(source), name: np.zeros(1, np.float32)})
    put(source, name, 0, -np.inf)
    before = logits(refvlm.load(source))
    pretrained.quantize(source, tmp_path / "packed", "int8")
    assert name not in checkpoint.load(tmp_path / "packed")
    after = logits(refvlm.load(tmp_path / "packed"))
    assert np.abs(after - before).max() < 0.1


@contract
def test_quantize_names_the_folder_that_a_full_disk_took_nothing_of(
    tmp_path, monkeypatch
):
    """The hidden folder is gone when the message is read."""
    source = write(tmp_path / "float")

    def full(specs, path, metadata):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(saving, "serialize_file", full)
    with pytest.raises(CheckpointError) as stop:
        pretrained.quantize(source, tmp_path / "packed", "nf4")
    said = f"{tmp_path / 'packed'} cannot be written: No space left on device"
    assert str(stop.value) == said
    assert [path.name for path in tmp_path.iterdir()] == ["float"]


@contract
def test_quantize_takes_a_name_as_long_as_the_disk_does(tmp_path):
    """The hidden name is no longer; one that is too long is told at once."""
    source = write(tmp_path / "float")
    pretrained.quantize(source, tmp_path / ("n" * 250), "nf4")
    with pytest.raises(CheckpointError, match="n cannot be written: .*too long"):
        pretrained.quantize(source, tmp_path / ("n" * 300), "nf4")


@contract
def test_quantize_refuses_what_is_no_model(tmp_path):
    """Strictly, as loading does: a missing tensor, a damaged number, no config."""
    source = write(tmp_path / "float")
    weights = {n: np.array(a) for n, a in checkpoint.load(source).items()}
    name = "model.layers.0.mlp.up_proj.weight"
    path = source / saved.WEIGHTS
    checkpoint.save(path, {n: a for n, a in weights.items() if n != name})
    with pytest.raises(CheckpointError, match="1 missing"):
        pretrained.quantize(source, tmp_path / "packed", "nf4")
    bits = weights[name].view(np.int32)
    bits[3, 5] = 0x7FC00000
    checkpoint.save(path, {**weights, name: Raw("I32", bits)})
    header = path.read_bytes().replace(b'"I32"', b'"F32"')
    path.write_bytes(header)
    with pytest.raises(CheckpointError, match=r"up_proj.weight' holds nan at \[3, 5\]"):
        pretrained.quantize(source, tmp_path / "packed", "nf4")
    (source / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="model_type"):
        pretrained.quantize(source, tmp_path / "packed", "nf4")
    assert [p.name for p in tmp_path.iterdir()] == ["float"]
