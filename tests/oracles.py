"""Oracles: answers of PyTorch, live where it is installed and recorded where not.

    @oracle
    def test_softmax_equals_torch(compare):
        draw = random_arrays(1)
        compare(ops.softmax, lambda torch: torch.softmax, draw(3, 5), dim=-1)

Inputs are drawn anew at every run, from a generator that does not change. The
float64 answers and gradients are kept in `tests/oracle/`, one safetensors file for
each test file, under a digest of the inputs; `pytest --record-oracles` writes them.
Without torch, these are the answers. With torch, the live answers are compared too.
"""

import contextlib
import hashlib
import importlib.util
import json
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from refvlm.autodiff import Variable, backward

from .spec import assert_close, cast, random_arrays

FOLDER = Path(__file__).parent / "oracle"


class Record:
    """The recorded answers of one test file: name -> arrays, each with a digest."""

    def __init__(self, path):
        self.path = path
        self.arrays, self.digests, self.changed = {}, {}, False
        if path.exists():
            with safe_open(path, "numpy") as file:
                self.arrays = {key: file.get_tensor(key) for key in file.keys()}
                self.digests = json.loads(file.metadata()["digests"])

    def get(self, name, digest):
        if self.digests.get(name) != digest:
            there = importlib.util.find_spec("torch")
            first = "" if there else "install the oracles (make test does), then "
            pytest.fail(
                f"no recorded answer for these inputs of {name}: "
                f"{first}run pytest --record-oracles"
            )
        prefix = name + "/"
        return {
            key.removeprefix(prefix): array
            for key, array in self.arrays.items()
            if key.startswith(prefix)
        }

    def put(self, name, digest, answers):
        prefix = name + "/"
        self.arrays = {k: a for k, a in self.arrays.items() if not k.startswith(prefix)}
        self.arrays |= {prefix + key: array for key, array in answers.items()}
        self.digests[name], self.changed = digest, True

    def save(self):
        if not self.changed:
            return
        self.path.parent.mkdir(exist_ok=True)
        arrays = {key: np.array(a, order="C") for key, a in self.arrays.items()}
        metadata = {"digests": json.dumps(self.digests, sort_keys=True)}
        save_file(dict(sorted(arrays.items())), self.path, metadata)


class Compare:
    """Hold one of our functions against a reference, outputs and gradients."""

    def __init__(self, record, name, recording):
        self.record, self.name, self.recording = record, name, recording
        self.calls = 0

    def __call__(
        self, ours, reference, *args, gradients=True, tolerance=None, **options
    ):
        """`reference(torch)` gives the function; it sees the same args and options.

        In float64 the recorded and the live answer, their gradients, and ours have
        to agree; in float32 ours has to agree with the float64 answer.
        """
        answers = self.answers(
            lambda torch: _torch_answers(
                torch, reference(torch), args, options, gradients
            ),
            (args, options),
        )
        inputs = _floating(args, options)
        expected = {k: v for k, v in answers.items() if k.startswith("gradient.")}
        try:
            found = _our_answers(ours, args, options, expected)
        except TypeError as error:
            # A reader's function that has no vjp yet; every operator of ours has one,
            # or a reason, by a law of its own.
            if not str(error).endswith("has no derivative"):
                raise
            found = _our_answers(ours, args, options, {})
        for key, value in found.items():
            assert_close(value, answers[key], tolerance)
        single = [cast(value, np.float32) for value in args]
        named = {name: cast(value, np.float32) for name, value in options.items()}
        result = ours(*single, **named)
        want = cast(answers["output"], np.float32) if inputs else answers["output"]
        assert_close(result, want)

    def answers(self, ask, inputs, tolerance=None, of_one_scale=False, library="torch"):
        """name -> array: from `ask(torch)` where torch is, else as recorded.

        Where it asks another `library` ("mlx.core"), that has to be there too.

        `tolerance` is how far the two may be apart, where a deep model adds roundings.
        Answers `of_one_scale` are measured by the largest of them all: a gradient that
        is zero on paper is another rounding on every processor.
        """
        self.calls += 1
        name, digest = f"{self.name}#{self.calls}", _digest(inputs)
        live = None
        if _is_there("torch") and _is_there(library):
            with warnings.catch_warnings(action="ignore"):
                live = ask(_quiet_torch())
        if self.recording:
            assert live is not None, f"recording needs torch and {library}"
            self.record.put(name, digest, live)
        recorded = self.record.get(name, digest)
        if live is None:
            return recorded
        assert live.keys() == recorded.keys(), "the record is of another question"
        if of_one_scale:
            together = [
                np.concatenate([a.ravel() for _, a in sorted(answers.items())])
                for answers in (live, recorded)
            ]
            assert_close(*together, tolerance)
        for key, value in live.items():
            assert value.shape == recorded[key].shape, key
            if not of_one_scale:
                assert_close(value, recorded[key], tolerance)
        return live


def _is_there(library):
    """Whether a library, or a module inside one, is installed."""
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False


def _quiet_torch():
    import torch

    torch.set_num_threads(1)
    return torch


def import_torchvision():
    """torchvision, which timm and transformers import, beside a PyTorch for the CPU.

    Its wheel lacks two compiled operators there: they are declared, never called.
    """
    import torch

    try:
        import torchvision
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
        _kept.append(library)
        import torchvision
    return torchvision


_kept = []


def in_double(torch, decoder, theta, dim):
    """Let transformers' Qwen2 compute in float64 throughout.

    It takes its rotary angles and its norms in float32 whatever its dtype, which
    leaves seven digits; its sdpa attention does not.
    """
    frequencies = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)

    def rotary(x, position_ids):
        angles = position_ids[..., None].double() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    def rms_norm(module):
        shape, eps = module.weight.shape, module.variance_epsilon
        return lambda x: torch.nn.functional.rms_norm(x, shape, module.weight, eps)

    decoder.rotary_emb.forward = rotary
    for module in decoder.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = rms_norm(module)


@contextlib.contextmanager
def all_double(torch):
    """Whatever is built and run in here takes float32 for float64.

    transformers names float32 in its rotary angles, its norms and its softmax, whatever
    the dtype of the model, and leaves what it computes of whole numbers to the default.
    """
    default = torch.get_default_dtype()
    with (
        mock.patch.object(torch, "float", torch.float64),
        mock.patch.object(torch, "float32", torch.float64),
    ):
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


def _floating(args, options):
    """position or name -> array, for every floating input."""
    named = {**{str(i): value for i, value in enumerate(args)}, **options}
    return {
        key: value
        for key, value in named.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }


def _torch_answers(torch, function, args, options, gradients):
    """The reference's output and, by autograd, the gradients of its inputs."""
    leaves = {}

    def convert(key, value):
        if not isinstance(value, np.ndarray):
            return value
        tensor = torch.from_numpy(value.copy())
        if gradients and value.dtype.kind == "f":
            leaves[key] = tensor.requires_grad_()
        return tensor

    given = [convert(str(i), value) for i, value in enumerate(args)]
    out = function(*given, **{k: convert(k, v) for k, v in options.items()})
    answers = {"output": out.detach().numpy().copy()}
    if gradients:
        out.backward(torch.from_numpy(_cotangent(out.shape)))
        answers |= {
            f"gradient.{key}": leaf.grad.numpy().copy()
            for key, leaf in leaves.items()
            if leaf.grad is not None
        }
    return answers


def _our_answers(ours, args, options, expected):
    leaves = {
        key: Variable(value)
        for key, value in _floating(args, options).items()
        if f"gradient.{key}" in expected
    }
    given = [leaves.get(str(i), value) for i, value in enumerate(args)]
    out = ours(*given, **{name: leaves.get(name, v) for name, v in options.items()})
    if not leaves:
        return {"output": out}
    found = backward(out, _cotangent(out.shape))
    return {"output": out.value} | {
        f"gradient.{key}": found.get(leaf, np.zeros_like(leaf.value))
        for key, leaf in leaves.items()
    }


def _cotangent(shape):
    return np.asarray(random_arrays(99)(*shape))


def _digest(value):
    """A short name for these inputs, the same on every machine."""
    digest = hashlib.sha256()

    def add(part):
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, (tuple, list)):
            digest.update(b"(")
            for item in part:
                add(item)
        elif isinstance(part, dict):
            for key in sorted(part):
                digest.update(str(key).encode())
                add(part[key])
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()[:16]
