import json

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.model import ImageTextModel
from assay.image_text.processor import NaFlexProcessor
from assay.image_text.siglip2 import SigLIP2, changed
from assay.image_text.siglip2_model import SigLIP2VisionConfig
from assay.image_text.task import task
from assay.image_text.towers import WordsConfig

pytest.importorskip("tokenizers")

TOWER = SigLIP2VisionConfig(
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_patches=16,
    patch_size=4,
    hidden_act="gelu",
)
SMALL = {
    "image": TOWER,
    "text": WordsConfig(width=16, vocab_size=300),
    "dim": 16,
    "batch_size": 12,
    "length": 32,
    "examples": 1440,
    "learning_rate": 0.05,
    "augment": False,
    "max_num_patches": 16,
}
SHAPES = {"wide banner": (8, 32), "tall column": (32, 8), "plain square": (16, 16), "long line": (4, 48)}


@pytest.fixture(scope="module")
def proportions():
    """Grey pictures that differ in nothing but their proportions, and a little in their tone."""
    rng = np.random.default_rng(0)
    shapes = list(SHAPES.values()) * 6
    pictures = [np.full((*shape, 3), rng.integers(90, 160), np.uint8) for shape in shapes]
    texts = list(SHAPES) * 6
    return Pairs.of(pictures, texts, groups=texts, columns={"label": texts}, name="proportions")


@pytest.fixture(scope="module")
def model(proportions):
    return SigLIP2(**SMALL).fit(proportions, run=Run(seed=3))


def test_sees_proportions_of_which_a_square_shows_nothing(model, proportions):
    scores = model.scores(proportions, list(SHAPES))
    assert (scores.argmax(axis=1) == np.arange(24) % 4).mean() > 0.9
    squares = list(proportions.images(size=16))  # Grey squares, whatever they were.
    assert len(set(model.scores(squares, list(SHAPES)).argmax(axis=1))) == 1


def test_starts_at_the_papers_scale_and_bias(proportions):
    few = {**SMALL, "examples": 12, "adam_learning_rate": 1e-12, "learning_rate": 1e-12}
    module = SigLIP2(**few).fit(proportions, run=Run(seed=3)).module
    assert module.logit_scale.exp().item() == pytest.approx(10)
    assert module.logit_bias.item() == pytest.approx(-10)


def test_is_saved_loaded_searched_and_names_classes(model, proportions, tmp_path):
    model.save(tmp_path)
    again = task.load_model(tmp_path)
    assert isinstance(again, ImageTextModel)
    assert again.processor == model.processor == NaFlexProcessor(patch_size=4, max_num_patches=16)
    assert np.array_equal(
        again.scores(proportions, ["tall column"]), model.scores(proportions, ["tall column"])
    )
    assert [found.text for found in again.search("wide banner", 1)] == ["wide banner"]
    classes = again.zero_shot(proportions, [name.split()[0] for name in SHAPES], ["{}"])
    assert (classes.argmax(axis=1) == np.arange(24) % 4).mean() > 0.9
    pictures = [np.full((8, 32, 3), 120, np.uint8), np.full((32, 8, 3), 120, np.uint8)]
    assert again.scores(pictures, list(SHAPES)).argmax(axis=1).tolist() == [0, 1]


def test_answers_the_questions_of_the_task(proportions):
    data, exam = task.split(proportions, 0)
    fitted = task.fit(SigLIP2(**{**SMALL, "examples": 24}), data, Run(seed=3))
    scores = task.score(task.predict(fitted, exam, Run()), exam)
    assert {"R@1", "text R@1", "zero-shot"} <= scores.keys()


def test_features_in_parts_train_to_the_same(proportions):
    few = {**SMALL, "examples": 48}
    whole = SigLIP2(**few).fit(proportions, run=Run(seed=3))
    parts = SigLIP2(**few, micro_batch=5).fit(proportions, run=Run(seed=3))
    losses = [[value for _, value in fitted.history.curve("loss")] for fitted in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)


def test_augmented_pictures_are_other_ones(proportions):
    make = SigLIP2(**{**SMALL, "augment": True}).inputs(proportions)
    indices = np.arange(8)
    one, two = (make(indices, np.random.default_rng(seed)) for seed in (0, 1))
    assert not torch.equal(one.values, two.values)
    assert torch.equal(one.values, make(indices, np.random.default_rng(0)).values)


def test_inputs_are_patches_in_the_pictures_own_proportions(proportions):
    images = SigLIP2(**SMALL).inputs(proportions)(np.array([2, 0, 1, 3]), np.random.default_rng(0))
    assert images.grids.tolist() == [[4, 4], [2, 8], [8, 2], [1, 12]]
    assert images.values.shape == (4, 16, 48)
    assert images.padding.sum(dim=1).tolist() == [0, 0, 0, 4]


def test_changed_parts_depend_on_seed_and_item_alone():
    pictures = [np.random.default_rng(i).integers(0, 256, (20 + i, 30 - i, 3), np.uint8) for i in range(5)]
    items = np.arange(5)
    found = changed(pictures, 7, items)
    for i in (3, 0):
        assert np.array_equal(changed([pictures[i]], 7, items[i : i + 1])[0], found[i])
    assert any(
        a.shape != b.shape or not np.array_equal(a, b)
        for a, b in zip(found, changed(pictures, 8, items), strict=True)
    )
    for part, picture in zip(found, pictures, strict=True):
        assert part.size < picture.size
        assert part.size > 0.6 * picture.size
        stretch = part.shape[1] / part.shape[0] * picture.shape[0] / picture.shape[1]
        assert 0.75 < stretch < 1.35  # By design 0.85 to 1.18, and whole pixels.
    assert changed([np.zeros((1, 1, 3), np.uint8)], 0, np.array([0]))[0].shape == (1, 1, 3)


def test_squares_are_taken_by_the_methods_of_squares(pairs):
    from assay.image_text.clip import CLIP

    few = {key: value for key, value in SMALL.items() if key != "max_num_patches"}
    fitted = CLIP(**{**few, "size": 16, "examples": 24}).fit(pairs, run=Run(seed=3))
    assert fitted.encode_image(pairs).shape == (24, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image": "resnet"}, "for pictures of any proportions, got 'resnet'"),
        ({"size": 32}, "expected no size, as pictures keep their proportions, got 32"),
        ({"max_num_patches": 0}, "expected max_num_patches above 0, got 0"),
        ({"dim": 0}, "expected dim above 0"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SigLIP2(**settings)


def test_its_configuration_is_json(model):
    assert json.loads(json.dumps(model.module.config.to_json()))["image"]["kind"] == "naflex"
