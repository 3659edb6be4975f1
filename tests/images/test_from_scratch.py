"""The three networks as methods: what they build for which images, that they learn, and their files."""

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.labelled import LabelledImages
from assay.images.classifier import ImageClassifier
from assay.images.from_scratch import ResNetClassifier, SwinClassifier, ViTClassifier
from assay.images.metrics import top_k_accuracy
from assay.images.resnet import ResNet
from assay.images.vit import ViT

SMALL = {"examples": 2400, "batch_size": 24}
METHODS = {
    "resnet": ResNetClassifier(**SMALL, width=4),
    "plain": ResNetClassifier(**SMALL, width=4, shortcuts=False),
    "vit": ViTClassifier(**SMALL, patch_size=3, hidden_size=24, num_layers=2, flip=False),
    "swin": SwinClassifier(**SMALL, embed_dim=12, depths=(1, 1), window_size=3),
}


@pytest.mark.parametrize("name", METHODS)
def test_learns_and_is_saved_and_loaded(name, shapes, others, tmp_path):
    model = METHODS[name].fit(shapes, run=Run())
    log_probs = model.log_probs(others.images)
    assert top_k_accuracy(log_probs, others.labels) > 0.6
    model.save(tmp_path)
    assert np.array_equal(ImageClassifier.load(tmp_path).log_probs(others.images), log_probs)


@pytest.mark.parametrize("name", METHODS)
def test_takes_images_in_colour_of_another_size(name, coloured):
    network = METHODS[name].network(coloured)
    x = METHODS[name].preprocessing(coloured)
    assert network.eval()(x(torch.tensor(coloured.images[:2]))).shape == (2, 3)


def test_a_large_image_gets_a_coarse_stem(coloured):
    big = coloured.take(slice(2))
    network = ResNetClassifier().network(big)
    assert isinstance(network, ResNet)
    assert network.config.stem == "cifar"
    wide = LabelledImages(np.zeros((2, 64, 64, 3), np.uint8), big.labels, big.classes)
    network = ResNetClassifier().network(wide)
    assert isinstance(network, ResNet)
    assert network.config.stem == "imagenet"


@pytest.mark.parametrize("name", METHODS)
def test_only_hidden_matrices_are_decayed(name, shapes):
    network = METHODS[name].network(shapes)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, seen = set(), set()
    for group in METHODS[name].optimizer(network).param_groups:
        seen |= {names[id(parameter)] for parameter in group["params"]}
        if group["weight_decay"]:
            decayed |= {names[id(parameter)] for parameter in group["params"]}
    assert seen == set(names.values())
    tables = ("cls_token", "position_embeddings", "bias_table", "classifier")
    expected = {
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim >= 2 and not any(table in name for table in tables)
    }
    assert decayed == expected


def test_a_plain_net_has_no_shortcut(shapes):
    network = ResNetClassifier(shortcuts=False, depth=14).network(shapes)
    assert isinstance(network, ResNet)
    assert network.config.shortcut == "none"
    assert sum(network.config.depths) == 6


def test_patches_cover_the_image(coloured):
    network = ViTClassifier(patch_size=7).network(coloured)  # 40 pixels are 6 patches, scaled to 42.
    assert isinstance(network, ViT)
    assert network.config.grid == (6, 6)
    assert ViTClassifier(patch_size=7).preprocessing(coloured).size == 42
    assert ViTClassifier(patch_size=4).preprocessing(coloured).size is None
    assert ViTClassifier().network(coloured).config.grid == (4, 4)


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (ResNetClassifier, {"depth": 9}, r"expected a depth of 6n \+ 2, got 9"),
        (ResNetClassifier, {"width": 0}, "expected a width of at least 1, got 0"),
        (ViTClassifier, {"patch_size": 0}, "expected a patch_size of at least 1, got 0"),
        (ViTClassifier, {"hidden_size": 10, "num_heads": 4}, "expected a hidden_size divisible by 4, got 10"),
        (SwinClassifier, {"depths": (1,)}, "one number of heads per stage"),
        (SwinClassifier, {"window_size": 0}, "a window of at least 1 patch"),
        (SwinClassifier, {"examples": -1}, "expected examples above 0, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(cls, changes, message):
    with pytest.raises(ValueError, match=message):
        cls(**changes)
