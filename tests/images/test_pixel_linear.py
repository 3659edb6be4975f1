"""Softmax regression on pixels: one layer, its minimum, and its files."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from assay.core.run import Run
from assay.images.classifier import ImageClassifier
from assay.images.metrics import log_loss, top_k_accuracy
from assay.images.pixel_linear import PixelLinear, PixelLinearClassifier, PixelLinearConfig


def test_is_one_layer_on_all_numbers():
    layer = PixelLinear(PixelLinearConfig(shape=(3, 2, 2), num_classes=5))
    x = torch.randn(4, 3, 2, 2)
    expected = x.reshape(4, 12) @ layer.classifier.weight.T + layer.classifier.bias
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert layer.embed(x).shape == (4, layer.num_features)


@pytest.mark.parametrize("part", ["shapes", "coloured"])
def test_the_minimum_is_sklearns(part, request):
    data = request.getfixturevalue(part).take(slice(50))
    model = PixelLinearClassifier(penalties=(0.1,)).fit(data, run=Run())
    flat = data.images.reshape(len(data), -1) / 255
    centred = (flat - flat.mean(0)) / flat.std(0, ddof=1)
    theirs = LogisticRegression(C=1 / (0.1 * len(data)), tol=1e-10, max_iter=10_000).fit(centred, data.labels)
    np.testing.assert_allclose(np.exp(model.log_probs(data.images)), theirs.predict_proba(centred), atol=5e-3)


def test_learns_and_is_deterministic(shapes, others):
    one, two = (PixelLinearClassifier().fit(shapes, run=Run(seed=4)) for _ in range(2))
    log_probs = one.log_probs(others.images)
    assert np.array_equal(log_probs, two.log_probs(others.images))
    assert top_k_accuracy(log_probs, others.labels) > 0.6
    assert log_loss(log_probs, others.labels) < np.log(3)


def test_is_saved_and_loaded(shapes, others, tmp_path):
    model = PixelLinearClassifier(penalties=(0.1,)).fit(shapes, run=Run())
    model.save(tmp_path)
    again = ImageClassifier.load(tmp_path)
    assert np.array_equal(again.log_probs(others.images), model.log_probs(others.images))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="expected the model type assay-pixel-linear, got 'vit'"):
        PixelLinear.from_pretrained(tmp_path)


def test_what_makes_no_sense_is_refused(shapes):
    for penalties in ((), (0.0,), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="expected penalties above 0"):
            PixelLinearClassifier(penalties=penalties)
    with pytest.raises(ValueError, match="expected at least 2 images to learn from, got 1"):
        PixelLinearClassifier().fit(shapes.take(slice(1)), run=Run())
