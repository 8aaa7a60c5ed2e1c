"""Directories that are not quite a model's: what is there instead, and what to do.

People give the folder above, the root of a cache, an adapter, or the weights of another
program. Each gets one sentence that says what it is and names the path, the command or
the file that is meant; whoever follows it arrives.
"""

from __future__ import annotations

import re
from pathlib import Path

from .documents import is_there, read_text
from .errors import CheckpointError, listed, quoted

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
PARTS = (".incomplete", ".crdownload", ".part", ".partial", ".download", ".aria2")
SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")
OTHERS = {
    ".gguf": "GGUF, llama.cpp's",
    ".onnx": "ONNX",
    ".h5": "TensorFlow's",
    ".msgpack": "Flax's",
    ".npz": "NumPy's",
    ".tflite": "TensorFlow's",
}


def lack(directory: Path, needed: str) -> CheckpointError:
    """What to say of a directory without `needed`: config.json, or the weights."""
    try:
        names = [entry.name for entry in directory.iterdir()]
    except OSError as problem:
        return CheckpointError(f"{directory} cannot be listed: {problem}")
    names = sorted(filter(str.isprintable, names))  # a message quotes them
    files = [name for name in names if name.endswith(".safetensors")]
    pickled = [name for name in names if name.endswith(PICKLES)]
    others = [name for name in names if Path(name).suffix in OTHERS]
    inner = [name for name in names if is_there(directory / name / "config.json")]
    parts = [name for name in names if name.endswith(PARTS)]
    caches = _caches(directory) + _caches(directory / "hub")
    if {"snapshots", "blobs"} & {*names}:
        said = _of_caches("the root of a cache", [directory])
    elif "adapter_config.json" in names:
        said = (
            "holds an adapter, which changes another model (its adapter_config.json "
            "says which) and is none itself: merge the two with merge_and_unload() of "
            "the peft library, save_pretrained() the result, and load that"
        )
    elif files and needed == "config.json":
        said = f"has {listed(files)} and no config.json: download that file too"
    elif files:
        said = _of_safetensors(files)
    elif parts:
        said = f"has {quoted(parts[0])}, a part of a download: download it to its end"
    elif pickled and needed != "config.json":
        return pickle_error([directory / name for name in _weights_of(pickled)])
    elif others:
        kind = OTHERS[Path(others[0]).suffix]
        said = (
            f"has weights of another format, {quoted(others[0])}, which is {kind}: "
            f"download the same model as {SINGLE}, with its config.json"
        )
    elif inner:
        said = f"holds models and is none: give {_one_of(directory, inner)}"
    elif caches:
        said = _of_caches("a cache of models", caches)
    elif needed == "config.json":
        said = "has no config.json: give the folder of a model that was downloaded"
    else:
        said = f"has neither {needed}: download the weights too"
    return CheckpointError(f"{directory} {said}")


def _one_of(directory, names):
    """The path, or the paths among which to choose."""
    return listed([str(directory / name) for name in names], limit=4)


def _caches(folder):
    """The folders of the models that a cache keeps."""
    return sorted(p for p in folder.glob("models--*") if p.name.isprintable())


def _of_caches(what, caches):
    """The models in the caches of one or many, each in the version that is meant."""
    models = sorted(str(path) for cache in caches for path in _versions(cache))
    if not models:
        return f"is {what} without a model in it: download the model again"
    return f"is {what}: give {listed(models, limit=4)}"


def _versions(cache):
    """A cache keeps a model's versions under snapshots, and in refs which is newest."""
    snapshots, newest = cache / "snapshots", cache / "refs" / "main"
    versions = [p for p in snapshots.glob("*") if is_there(p / "config.json")]
    versions = [path for path in versions if path.name.isprintable()]
    if newest.is_file():
        named = snapshots / read_text(newest, 1 << 10).strip()
        versions = [path for path in versions if path == named] or versions
    return versions


def _of_safetensors(files):
    """Weights under another name, or in shards of which nobody says what they hold."""
    counts = [int(shard[2]) for shard in map(SHARD.search, files) if shard]
    if len(files) == 1 and (not counts or counts == [1]):
        return (
            f"has no {SINGLE}, but {quoted(files[0])}: if that is the whole model, "
            f"rename it {SINGLE}"
        )
    if counts:
        missing = max(counts) - len(counts)
        also = f" and the shards that are missing, {missing} of {max(counts)}"
        also = also if missing > 0 else ""
        return f"has shards and no {INDEX}: download that file{also}"
    return (
        f"has no {SINGLE} and no {INDEX}, but {listed(list(map(quoted, files)))}: "
        f"rename the one that is meant {SINGLE}"
    )


def _weights_of(pickled):
    """The pickles that hold the model, and not how it was trained."""
    return [name for name in pickled if name.startswith("pytorch_model")] or pickled[:1]


def pickle_error(paths: list[Path]) -> CheckpointError:
    """A pickle is never opened; here is how to convert it."""
    files, target = list(map(str, paths)), str(paths[0].with_name(SINGLE))
    return CheckpointError(
        f"{paths[0]} is a pickle, a program that runs when it is opened, and is never "
        "opened here. Convert it once, where you trust it, with PyTorch: "
        "import safetensors.torch, torch; safetensors.torch.save_file({name: "
        f"tensor.contiguous().clone() for file in {files!r} for name, tensor in "
        f"torch.load(file, weights_only=True).items()}}, {target!r})"
    )
