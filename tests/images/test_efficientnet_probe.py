"""The classifier is the linear probe of the pretrained features."""

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.images.classifier import ImageClassifier
from assay.images.efficientnet_lite import MEAN, STD, EfficientNetLite0
from assay.images.efficientnet_probe import EfficientNetProbe
from assay.images.metrics import top_k_accuracy
from assay.images.probe import linear_probe


@pytest.fixture(scope="module")
def pretrained():
    try:
        return EfficientNetLite0(0, pretrained=True).eval()
    except FetchError as error:
        pytest.skip(f"the weights cannot be fetched here: {error}")


def test_a_probe_is_a_linear_layer_on_the_features(pretrained, shapes, others, tmp_path):
    data = shapes.take(slice(60))
    model = EfficientNetProbe(size=32, penalties=(0.01,)).fit(data, run=Run(seed=3))
    assert model.preprocessing.mean == MEAN
    assert model.preprocessing.std == STD
    with torch.no_grad():
        features = pretrained.embed(model.preprocessing(torch.tensor(data.images)))
        weight, bias = linear_probe(
            features, torch.tensor(data.labels), classes=3, penalties=(0.01,), run=Run(seed=3)
        )
        test = pretrained.embed(model.preprocessing(torch.tensor(others.images)))
    expected = (test @ weight.T + bias).double().log_softmax(1).numpy()
    found = model.log_probs(others.images)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert top_k_accuracy(found, others.labels) > 0.7
    model.save(tmp_path)
    assert np.array_equal(ImageClassifier.load(tmp_path).log_probs(others.images), found)


def test_a_probe_looks_at_so_many_images(pretrained, shapes):
    told = []
    run = Run(progress=lambda fraction, text: told.append(text))
    EfficientNetProbe(size=32, max_images=20, penalties=(0.1,)).fit(shapes, run=run)
    assert told.count("features") == 1  # One batch.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 16}, "expected a size of at least 32, the network's stride, got 16"),
        ({"penalties": (0.0,)}, "expected penalties above 0"),
        ({"max_images": 1}, "expected max_images of at least 2, got 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetProbe(**changes)
