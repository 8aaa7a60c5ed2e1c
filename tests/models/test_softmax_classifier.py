"""The spec of refvlm/models/softmax_classifier.py."""

import numpy as np
import pytest

import refvlm
from refvlm import ops, scenes
from refvlm.autodiff import value_and_grad
from refvlm.checkpoint import Weights
from refvlm.models.softmax_classifier import (
    class_scores,
    classify,
    softmax_classifier,
    softmax_classifier_shapes,
)
from refvlm.pretrained import shipped_model
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

TENSORS = random_weights(softmax_classifier_shapes(5, 3), seed=1)
WEIGHTS = Weights(TENSORS)
FEATURES = random_arrays(2)(4, 5)


@example
def test_softmax_classifier_of_two_names():
    """Scores of log 1 and log 3 are shares of 1 and 3."""
    weights = {"weight": np.eye(2), "bias": np.array([0.0, np.log(3)])}
    assert_close(softmax_classifier(np.zeros(2), weights), np.array([0.25, 0.75]))
    assert classify(np.zeros((1, 2)), weights, ["cat", "dog"]) == ["dog"]


@law
def test_softmax_classifier_says_something_of_everything():
    """The shares of the list are one in all, of noise as of anything: there is no
    place for what is not on it."""
    noise = random_arrays(3)(7, 5, scale=100.0)
    assert_close(softmax_classifier(noise, WEIGHTS).sum(-1), np.ones(7))
    assert set(classify(noise, WEIGHTS, "abc")) <= set("abc")


@law
def test_softmax_classifier_learns_a_new_name_by_a_new_row_only():
    """A name more leaves the order of the others as it was, and takes of each its
    share."""
    longer = random_weights(softmax_classifier_shapes(5, 4), seed=4)
    longer = {n: np.concatenate([TENSORS[n], longer[n][3:]]) for n in longer}
    before = softmax_classifier(FEATURES, WEIGHTS)
    after = softmax_classifier(FEATURES, longer)
    assert (after[:, :3] < before).all()
    assert_close(after[:, :3] / after[:, :3].sum(-1, keepdims=True), before)


@oracle
def test_softmax_classifier_equals_torch(compare):
    """A linear map, its softmax, F.cross_entropy and the gradient of both weights."""
    right = np.array([2, 0, 1, 1])

    def ask(torch):
        x = {n: torch.tensor(a, requires_grad=True) for n, a in TENSORS.items()}
        h = torch.from_numpy(FEATURES)
        scores = torch.nn.functional.linear(h, x["weight"], x["bias"])
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(right))
        loss.backward()
        shares = torch.softmax(scores, -1).detach().numpy()
        gradients = {f"gradient.{n}": w.grad.numpy() for n, w in x.items()}
        return {"p": shares, "loss": loss.detach().numpy()} | gradients

    answers = compare.answers(ask, (TENSORS, FEATURES, right))
    assert_close(softmax_classifier(FEATURES, WEIGHTS), answers["p"])

    def loss(weights):
        return ops.cross_entropy(class_scores(FEATURES, weights), right)

    value, gradients = value_and_grad(loss)(TENSORS)
    assert_close(np.asarray(value), answers["loss"])
    for name, gradient in gradients.items():
        assert_close(gradient, answers[f"gradient.{name}"])


@derivative
def test_softmax_classifier_learns_shapes_from_features_of_clip_tiny():
    """Thirty steps down the slope, and it names five shapes; a star, which is not on
    its list, it calls by another name every time."""
    clip = refvlm.load(shipped_model("clip-tiny"))
    rng = np.random.default_rng(0)
    known = [s for s in scenes.SHAPES if s != "star"]
    drawn = [scenes.sample(rng, count=1) for _ in range(200)]
    shapes = [scene.objects[0].shape for scene in drawn]
    features = clip.image_features([scenes.draw(scene) for scene in drawn])
    listed = np.array([shape in known for shape in shapes])
    right = np.array([known.index(s) for s, there in zip(shapes, listed) if there])
    weights = {
        name: np.zeros(shape, np.float32)
        for name, shape in softmax_classifier_shapes(features.shape[1], 5).items()
    }

    def loss(weights):
        return ops.cross_entropy(class_scores(features[listed], weights), right)

    for _ in range(30):
        _, slope = value_and_grad(loss)(weights)
        weights = {name: weights[name] - 10 * slope[name] for name in weights}
    said = classify(features, weights, known)
    assert np.mean([a == b for a, b in zip(said, shapes)]) > 0.7
    assert not any(a == b for a, b, there in zip(said, shapes, listed) if not there)


@contract
def test_softmax_classifier_refuses_what_does_not_fit():
    """Features of another width, and a list that is not the one it was trained on."""
    with pytest.raises(ShapeError, match=r"features are \(4, 6\), but weight reads 5"):
        softmax_classifier(np.zeros((4, 6)), WEIGHTS)
    with pytest.raises(ValueError, match="2 names, but weight has a row for each of 3"):
        classify(FEATURES, WEIGHTS, ["cat", "dog"])
    assert softmax_classifier(FEATURES[:0], WEIGHTS).shape == (0, 3)
