"""Directories that are not quite a model's: each gets a sentence that leads on."""

import re
import shutil

import numpy as np
import pytest

import refvlm
from refvlm import checkpoint
from refvlm.checkpoint import CheckpointError

from .. import tiny
from ..spec import contract, law, oracle

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
HASH = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tiny") / "m")


def lone_shard(root, model):
    shutil.copytree(model, root)
    (root / WEIGHTS).rename(root / "model-00001-of-00001.safetensors")


def other_name(root, model):
    shutil.copytree(model, root)
    (root / WEIGHTS).rename(root / "diffusion.safetensors")


def shards_without_index(root, model):
    shutil.copytree(model, root)
    (root / WEIGHTS).rename(root / "model-00002-of-00003.safetensors")


def two_files(root, model):
    shutil.copytree(model, root)
    shutil.copy(root / WEIGHTS, root / "a.safetensors")
    (root / WEIGHTS).rename(root / "b.safetensors")


def cache(root, model):
    shutil.copytree(model, root / "snapshots" / HASH)
    shutil.copytree(model, root / "snapshots" / "older")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(HASH)


def cache_without_refs(root, model):
    shutil.copytree(model, root / "snapshots" / HASH)


def cache_of_nothing(root, model):
    (root / "snapshots").mkdir(parents=True)


def cache_of_models(root, model):
    cache(root / "models--org--name", model)


def folder_of_all_caches(root, model):
    cache(root / "hub" / "models--org--name", model)


def cache_of_models_that_are_not_there(root, model):
    (root / "models--org--name" / "blobs").mkdir(parents=True)


def cache_of_blobs(root, model):
    (root / "blobs").mkdir(parents=True)


def half_of_a_download(root, model):
    no_weights(root, model)
    (root / "model.safetensors.crdownload").write_bytes(b"half")


def half_of_a_download_alone(root, model):
    root.mkdir()
    (root / "model.safetensors.incomplete").write_bytes(b"half")


def folder_above(root, model):
    shutil.copytree(model, root / "FastVLM-0.5B")


def adapter(root, model):
    root.mkdir()
    (root / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    checkpoint.save(root / "adapter_model.safetensors", {"a": np.ones(2)})


def gguf(root, model):
    root.mkdir()
    (root / "model-q4_0.gguf").write_bytes(b"GGUF")


def onnx_beside_a_configuration(root, model):
    shutil.copytree(model, root)
    (root / WEIGHTS).rename(root / "model.onnx")


def no_configuration(root, model):
    shutil.copytree(model, root)
    (root / "config.json").unlink()


def no_weights(root, model):
    shutil.copytree(model, root)
    (root / WEIGHTS).unlink()


def a_file(root, model):
    shutil.copytree(model, root.with_name("there"))
    shutil.copy(model / WEIGHTS, root)
    shutil.copy(model / "config.json", root.parent)


def pointer(root, model):
    shutil.copytree(model, root)
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (root / WEIGHTS).write_text(text)


def pointer_to_the_tokenizer(root, model):
    pointer(root, model)
    shutil.copy(root / WEIGHTS, root / "config.json")


def empty(root, model):
    root.mkdir()


SAID = {
    lone_shard: r"rename it model\.safetensors$",
    other_name: r"but 'diffusion\.safetensors': .* rename it model\.safetensors$",
    shards_without_index: r"json: download that file and .* missing, 2 of 3$",
    two_files: r"but 'a\.safetensors', 'b\.safetensors': rename the one that is meant",
    cache: rf"is the root of a cache: give \S+/snapshots/{HASH}$",
    cache_without_refs: rf"give \S+/snapshots/{HASH}$",
    cache_of_nothing: r"without a model in it: download the model again$",
    cache_of_models: rf"is a cache of models: give \S+--name/snapshots/{HASH}$",
    folder_of_all_caches: rf"is a cache of models: give \S+/hub/\S+/{HASH}$",
    cache_of_models_that_are_not_there: r"cache of models without a model in it: down",
    cache_of_blobs: r"root of a cache without a model in it: download the model again$",
    half_of_a_download: r"'model\.safetensors\.crdownload', a part of a download: down",
    half_of_a_download_alone: r"has 'model\.safetensors\.incomplete', a part of a down",
    folder_above: r"holds models and is none: give \S+/FastVLM-0\.5B$",
    adapter: r"holds an adapter, .* merge_and_unload\(\)",
    gguf: r"'model-q4_0\.gguf', which is GGUF, llama\.cpp's: download the same model",
    onnx_beside_a_configuration: r"'model\.onnx', which is ONNX: download the same",
    no_configuration: r"has model\.safetensors and no config\.json: download that file",
    no_weights: r"has neither model\.safetensors nor .*: download the weights too$",
    a_file: r"is not a directory but a file: give the folder that holds the weights",
    pointer: r"is a Git LFS pointer, not the tensors: run git lfs pull$",
    pointer_to_the_tokenizer: r"config\.json is a Git LFS pointer, not the file: run",
    empty: r"has no config\.json: give the folder of a model that was downloaded$",
}


@contract
@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_load_says_what_a_directory_is_and_what_to_do(tmp_path, model, make):
    """One sentence of its own for each of the things that people give."""
    make(tmp_path / "given", model)
    with pytest.raises(CheckpointError, match=SAID[make]) as caught:
        refvlm.load(tmp_path / "given")
    assert str(tmp_path / "given") in str(caught.value)


@law
@pytest.mark.parametrize("make", SAID, ids=lambda make: make.__name__)
def test_advice_that_names_a_path_can_be_followed(tmp_path, model, make):
    """Whoever gives the path that an error names gets a model, or a sentence that
    names no other: nobody is sent round in a circle."""
    make(tmp_path / "given", model)
    path, given = tmp_path / "given", []
    while path not in given:
        given.append(path)
        try:
            assert refvlm.load(path).generate(None, [[1, 2]], 1).shape == (1, 1)
            return
        except CheckpointError as error:
            named = re.search(r"(?:give|json,) (\S+)$", str(error))
            if named is None:
                assert re.search("download|rename|merge|pull", str(error))
                return
            path = type(path)(named[1])
    raise AssertionError(f"round in a circle: {given}")


@law
@pytest.mark.parametrize("make", [lone_shard, other_name, two_files])
def test_advice_to_rename_can_be_followed(tmp_path, model, make):
    """The file that is renamed as the error says is the model."""
    make(tmp_path / "given", model)
    with pytest.raises(CheckpointError) as caught:
        refvlm.load(tmp_path / "given")
    file = re.search(r"'([^']+\.safetensors)'", str(caught.value))[1]
    (tmp_path / "given" / file).rename(tmp_path / "given" / WEIGHTS)
    assert refvlm.load(tmp_path / "given").logits(None, [[1]]).shape == (1, 1, 264)


@law
def test_index_and_single_file_are_held_to_one_rule(tmp_path, model):
    """What no inference needs may be there, in shards and in a single file, listed or
    not; what belongs to another model may be in neither."""
    stored = checkpoint.load(model)
    tensors = {name: stored[name] for name in stored}
    buffer = {"model.language_model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4)}
    stranger = {"model.language_model.stranger": np.ones(4)}
    place = "".join(f'"{name}": "a.safetensors", ' for name in tensors)
    for form in ("single", "shards"):
        for extra, fits in (({}, True), (buffer, True), (stranger, False)):
            directory = tmp_path / f"{form}-{fits}-{len(extra)}"
            shutil.copytree(model, directory)
            if form == "shards":
                (directory / WEIGHTS).unlink()
                index = f'{{"weight_map": {{{place[:-2]}}}}}'
                (directory / INDEX).write_text(index)
            file = directory / (WEIGHTS if form == "single" else "a.safetensors")
            checkpoint.save(file, {**tensors, **extra})
            if fits:
                refvlm.load(directory)
            else:
                with pytest.raises(CheckpointError, match="1 unexpected: .*stranger"):
                    refvlm.load(directory)


@oracle
def test_advice_to_convert_a_pickle_can_be_followed(compare, tmp_path):
    """The line that the error prints is run, on two pickles that share a tensor."""
    tied = np.arange(12, dtype=np.float32).reshape(4, 3)

    def ask(torch):
        shared = torch.from_numpy(tied)
        first = {"embedding": shared, "head": shared, "turned": shared.T}
        torch.save(first, tmp_path / "pytorch_model-00001-of-00002.bin")
        torch.save({"b": shared[0]}, tmp_path / "pytorch_model-00002-of-00002.bin")
        torch.save({"seed": 3}, tmp_path / "optimizer.pt")
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(tmp_path)
        line = str(caught.value).partition("with PyTorch: ")[2]
        exec(line, {})
        weights = checkpoint.load(tmp_path)
        return {name: np.array(weights[name]) for name in weights}

    converted = compare.answers(ask, tied)
    assert converted.keys() == {"embedding", "head", "turned", "b"}
    for name in ("embedding", "head"):
        np.testing.assert_array_equal(converted[name], tied)
    np.testing.assert_array_equal(converted["turned"], tied.T)
