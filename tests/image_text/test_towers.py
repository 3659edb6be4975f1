import json

import pytest
import torch

from assay.image_text.processor import HALF
from assay.image_text.towers import (
    IMAGE_TOWERS,
    TEXT_TOWERS,
    PretrainedConfig,
    WordsConfig,
    build_image,
    build_text,
    colours,
    from_json,
    image_config,
    image_size,
    text_config,
    to_json,
)
from assay.images.efficientnet_lite import MEAN, STD
from assay.images.resnet import ResNetConfig
from assay.images.swin import SwinConfig
from assay.images.vit import ViTConfig


@pytest.mark.parametrize("name", IMAGE_TOWERS)
def test_image_towers_have_features(name):
    config = image_config(name, image_size(name))
    tower = build_image(config).train(False)
    x = torch.randn(2, 3, image_size(name), image_size(name))
    assert tower.embed(x).shape == (2, tower.num_features)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig.resnet(18, num_classes=0),
        ViTConfig(image_size=32, patch_size=8, hidden_size=24, num_attention_heads=2, num_hidden_layers=1),
        SwinConfig(embed_dim=12, depths=(1, 1), num_heads=(1, 2), patch_size=4, window_size=4),
    ],
    ids=lambda config: type(config).__name__,
)
def test_backbones_of_the_images_wing_are_towers(config):
    tower = build_image(image_config(config, 32)).train(False)
    assert tower.embed(torch.randn(1, 3, 32, 32)).shape == (1, tower.num_features)
    assert from_json(json.loads(json.dumps(to_json(image_config(config, 32))))) == image_config(config, 32)


LARGE = ("minilm", "sentences")


@pytest.mark.parametrize("name", [name for name in TEXT_TOWERS if name not in LARGE])
def test_text_towers_have_features(name):
    config = text_config(name)
    tower = build_text(config)
    tokens = torch.tensor([[1, 7, 9, 2], [1, 5, 2, 0]])
    assert tower(tokens).shape == (2, tower.num_features)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_words_have_no_order_and_filling_does_not_count():
    tower = build_text(WordsConfig(width=8, vocab_size=20))
    one = tower(torch.tensor([[4, 9, 7]]))
    assert torch.allclose(one, tower(torch.tensor([[7, 4, 9]])), atol=1e-6)
    assert torch.allclose(one, tower(torch.tensor([[4, 9, 7, 0, 0]])), atol=1e-6)


def test_cells_of_the_pretrained_tower_say_where():
    tower = build_image(PretrainedConfig(grid=2, earlier=())).train(False)
    one = build_image(PretrainedConfig(grid=1, earlier=())).train(False)
    one.load_state_dict(tower.state_dict())
    x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    cells = tower.embed(x).reshape(1, 1280, 4)
    assert torch.allclose(cells.mean(dim=2), one.embed(x), atol=1e-5)
    assert (cells[..., 0] - cells[..., 3]).abs().max() > 0


def test_earlier_maps_come_before_the_last_one():
    tower = build_image(PretrainedConfig()).train(False)
    last = build_image(PretrainedConfig(earlier=())).train(False)
    last.load_state_dict(tower.state_dict())
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = tower.embed(x)
    assert tower.num_features == 16 * 64 + 24 * 64 + (40 + 80 + 112) * 16 + 192 * 4 + 1280 * 4
    assert torch.equal(features[:, -1280 * 4 :], last.embed(x))
    # By hand: the first block's map of 32 x 32 in cells of 4 x 4, and that of the fifth stage as it is.
    maps = torch.nn.functional.relu6(tower.net.stem(x))
    for number, block in enumerate(tower.net.blocks[:11]):
        maps = block(maps)
        if number == 0:
            cells = maps.reshape(2, 16, 8, 4, 8, 4).mean(dim=(3, 5))
            assert torch.allclose(features[:, : 16 * 64], cells.flatten(1), atol=1e-5)
    start = 16 * 64 + 24 * 64 + (40 + 80) * 16
    assert torch.equal(features[:, start : start + 112 * 16], maps.flatten(1))


@pytest.mark.parametrize("settings", [{"grid": 0}, {"earlier": (2, 2)}, {"earlier": (1, 1, 1, 1, 1, 0)}])
def test_grids_that_cannot_be_are_refused(settings):
    with pytest.raises(ValueError, match="expected a grid above 0 and none or 6 earlier ones"):
        PretrainedConfig(**settings)


def test_sizes_and_colours_follow_the_tower():
    assert image_config("vit", 48).image_size == 48
    assert image_config(ViTConfig(image_size=32, patch_size=8), 64).image_size == 64
    assert colours(image_config("resnet", 32)) == (HALF, HALF)
    assert colours(PretrainedConfig()) == (MEAN, STD)


def test_unknown_towers_are_named():
    with pytest.raises(ValueError, match=r"expected image to be resnet, .*, got 'resnett'"):
        image_config("resnett", 32)
    with pytest.raises(ValueError, match=r"expected text to be words, .*, got 'word'"):
        text_config("word")
    with pytest.raises(ValueError, match="expected a tower of resnet"):
        from_json({"kind": "no"})
    with pytest.raises(ValueError, match="the configuration of a tower"):
        build_image(3)
