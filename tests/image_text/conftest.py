import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.pairs import Pairs

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220), "black": (0, 0, 0)}
SHAPES = ("square", "bar", "stripe")
CHINESE = {
    "red": "红",
    "green": "绿",
    "blue": "蓝",
    "black": "黑",
    "square": "方",
    "bar": "横",
    "stripe": "竖",
}


def drawn(colour, shape, shift):
    picture = np.full((16, 16, 3), 255, np.uint8)
    rows, columns = {"square": (8, 8), "bar": (3, 13), "stripe": (13, 3)}[shape]
    top, left = 1 + shift % 2, 1 + shift // 2
    picture[top : top + rows, left : left + columns] = COLOURS[colour]
    return picture


@pytest.fixture(scope="session")
def pairs():
    """Twelve things, each drawn twice, with English and Chinese texts."""
    pictures, texts, groups, kinds = [], {"en": [], "zh": []}, [], []
    for shift in (0, 3):
        for colour in COLOURS:
            for shape in SHAPES:
                pictures.append(drawn(colour, shape, shift))
                texts["en"].append([f"{colour} {shape}", f"a {shape} in {colour}"])
                texts["zh"].append([f"{CHINESE[colour]}色{CHINESE[shape]}形"] if shift == 0 else [])
                groups.append(f"{colour} {shape}")
                kinds.append(shape)
    return Pairs.of(pictures, texts, groups=groups, columns={"label": kinds}, name="shapes")


@pytest.fixture
def run():
    return Run(seed=3)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small():
    """Settings with which a fit on `pairs` takes a second."""
    from assay.image_text.towers import WordsConfig
    from assay.images.resnet import ResNetConfig

    tower = ResNetConfig(
        stem="cifar",
        embedding_size=8,
        hidden_sizes=(8, 16),
        depths=(1, 1),
        layer_type="basic",
        num_classes=0,
    )
    text = WordsConfig(width=16, vocab_size=300)
    return {"image": tower, "text": text, "size": 16, "dim": 16, "batch_size": 12, "examples": 480}


@pytest.fixture(scope="session")
def little_vit():
    """A vision transformer of 16 patches."""
    from assay.image_text.clip_model import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
        hidden_act="gelu",
    )
