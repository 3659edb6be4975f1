"""What every fitted classifier does with pictures, classes and files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from assay.data.labelled import LabelledImages
from assay.images.classifier import ImageClassifier, NetworkClassifier
from assay.images.findings import Findings
from assay.images.pixel_linear import PixelLinear, PixelLinearConfig
from assay.images.preprocessing import Preprocessing
from assay.images.resnet import ResNet, ResNetConfig
from assay.train.moments import Moment


@pytest.fixture
def model(shapes):
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        network = ResNet(ResNetConfig.cifar(8, width=4, num_channels=1, num_classes=3))
    return NetworkClassifier(network.train(), shapes.classes, Preprocessing.of(shapes))


def test_log_probs_are_those_of_the_network(model, others):
    x = model.preprocessing(torch.tensor(others.images))
    with torch.no_grad():
        expected = model.network(x).double().log_softmax(1).numpy()
    found = model.log_probs(others.images)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(1), 1)
    assert model.log_probs(others.images[:0]).shape == (0, 3)


def test_an_outcome_does_not_depend_on_its_companions(model, others):
    every = model.log_probs(others.images)
    alone = np.concatenate([model.log_probs(others.images[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, every[:5], atol=1e-5)


def test_pictures_of_files_get_classes(model, others, tmp_path):
    for i in range(3):
        Image.fromarray(others.images[i]).save(tmp_path / f"{i}.png")
    probs = model.predict_proba(tmp_path)
    np.testing.assert_allclose(probs, np.exp(model.log_probs(others.images[:3])), atol=1e-6)
    assert model.predict(tmp_path) == [model.classes[i] for i in probs.argmax(1)]
    assert model.classes_.tolist() == ["rows", "columns", "square"]


def test_is_saved_with_everything_that_pictures_go_through(model, others, tmp_path):
    model.findings = Findings.of(model.log_probs(others.images), others)
    model.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "classifier.json",
        "config.json",
        "findings.safetensors",
        "model.safetensors",
        "preprocessor_config.json",
    }
    labels = json.loads((tmp_path / "config.json").read_text())["id2label"]
    assert labels == {"0": "rows", "1": "columns", "2": "square"}
    again = ImageClassifier.load(tmp_path)
    assert np.array_equal(again.log_probs(others.images), model.log_probs(others.images))
    assert np.array_equal(again.findings.confusion, model.findings.confusion)


def test_without_a_test_there_are_no_findings(model, tmp_path):
    model.save(tmp_path)
    assert ImageClassifier.load(tmp_path).findings is None


def test_is_what_it_was_at_a_moment(model, others):
    then = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    before = model.log_probs(others.images)
    with torch.no_grad():
        model.network.classifier.bias += torch.tensor([1.0, 0.0, 0.0])
    assert not np.array_equal(model.log_probs(others.images), before)
    assert np.array_equal(model.at(Moment(1, then)).log_probs(others.images), before)
    assert not np.array_equal(model.log_probs(others.images), before)  # And it stays what it is.


def test_moves_to_a_device(model):
    assert model.on("cpu") is model


def test_the_preprocessing_makes_the_scale_of_pixels_nothing(others):
    brighter = (others.images // 2 + 100).astype(np.uint8)
    halves = others.images // 2 * 2
    parts = [LabelledImages(i, others.labels, others.classes) for i in (halves, brighter)]
    layer = PixelLinear(PixelLinearConfig(shape=(1, 12, 12), num_classes=3))
    one, two = (
        NetworkClassifier(layer, others.classes, Preprocessing.of(p)).log_probs(p.images) for p in parts
    )
    np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("content", ["", "{}", '{"family": "tree", "classes": []}', '{"family": "network"}'])
def test_a_folder_that_holds_no_classifier_is_named(content, tmp_path):
    (tmp_path / "classifier.json").write_text(content)
    with pytest.raises(ValueError, match="expected an image classifier"):
        ImageClassifier.load(tmp_path)
