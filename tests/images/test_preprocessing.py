"""From pictures to numbers: by hand, by transformers' processor, and back from the file."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from assay.data.labelled import LabelledImages
from assay.data.table import ContractError
from assay.images.preprocessing import Preprocessing, picture_files


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def data(images):
    return LabelledImages(images, np.zeros(len(images), np.int64), ("a",))


def test_pixels_are_standardised_channel_by_channel():
    images = pictures(20, 6, 6, 3)
    images[..., 1] //= 2
    x = Preprocessing.of(data(images))(torch.tensor(images))
    assert x.shape == (20, 3, 6, 6)
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-6)
    assert torch.allclose(x.std((0, 2, 3), unbiased=False), torch.ones(3), atol=1e-6)
    plain = torch.tensor(images).permute(0, 3, 1, 2) / 255
    mean, std = (
        v[None, :, None, None] for v in (plain.mean((0, 2, 3)), plain.std((0, 2, 3), unbiased=False))
    )
    assert torch.allclose(x, (plain - mean) / std, atol=1e-5)


def test_constant_pictures_stay_finite():
    images = np.full((3, 4, 4), 9, np.uint8)
    assert torch.isfinite(Preprocessing.of(data(images))(torch.tensor(images))).all()


def test_grey_pictures_have_one_channel_or_are_repeated():
    images = pictures(4, 5, 5)
    assert Preprocessing.of(data(images))(torch.tensor(images)).shape == (4, 1, 5, 5)
    rgb = Preprocessing.of(data(images), statistics=((0.1, 0.2, 0.3), (1.0, 1.0, 1.0)))
    x = rgb(torch.tensor(images))
    assert x.shape == (4, 3, 5, 5)
    assert torch.allclose(x[:, 0] - x[:, 1], torch.full((4, 5, 5), 0.1), atol=1e-6)


def test_another_size_is_pillows_bicubic():
    images = pictures(2, 20, 20, 3)
    made = Preprocessing.of(data(images), size=9, statistics=((0.0,) * 3, (1 / 255,) * 3))
    expected = np.stack([Image.fromarray(i).resize((9, 9), Image.Resampling.BICUBIC) for i in images])
    found = made(torch.tensor(images)).permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).max() <= 2  # Pillow rounds after each of its two passes.
    assert made(torch.tensor(images)).min() >= 0


def test_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    images = pictures(3, 12, 12, 3)
    made = Preprocessing.of(data(images))
    made.save(tmp_path)
    written = json.loads((tmp_path / "preprocessor_config.json").read_text())
    theirs = transformers.ViTImageProcessorPil(**{k: v for k, v in written.items() if k != "assay"})
    expected = torch.tensor(np.stack(theirs(list(images))["pixel_values"]))
    assert torch.allclose(made(torch.tensor(images)), expected, atol=1e-5)


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("shape", [(5, 6, 6), (5, 6, 6, 3), (5, 6, 4)])
def test_is_written_and_read(shape, size, tmp_path):
    made = Preprocessing.of(data(pictures(*shape)), size=size)
    made.save(tmp_path)
    assert Preprocessing.load(tmp_path) == made


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: expected a preprocessing"):
        Preprocessing.load(tmp_path)


# Pictures of files and arrays


def test_files_are_cropped_and_get_the_channels_learned_from(tmp_path):
    image = pictures(10, 20, 3)
    for name in ("b.png", "a.png"):
        Image.fromarray(image if name == "a.png" else 255 - image).save(tmp_path / name)
    grey = Preprocessing.of(data(pictures(2, 8, 8)))
    found = grey.pictures(tmp_path)
    assert found.shape == (2, 8, 8)  # In the order of the names.
    one = grey.pictures(tmp_path / "a.png")
    assert np.array_equal(one[0], found[0])
    middle = Image.fromarray(image).resize((8, 8), Image.Resampling.BICUBIC, box=(5, 0, 15, 10))
    assert np.abs(one[0] - np.asarray(middle.convert("L"), float)).max() <= 1
    colour = Preprocessing.of(data(pictures(2, 8, 8, 3)))
    assert colour.pictures([tmp_path / "b.png"]).shape == (1, 8, 8, 3)


def test_arrays_and_data_sets_pass_if_they_fit_and_else_are_made_to():
    grey, images = Preprocessing.of(data(pictures(2, 8, 8))), pictures(3, 8, 8)
    assert grey.pictures(images) is images
    assert grey.pictures(data(images)) is images
    assert grey.pictures(pictures(3, 16, 16, 3)).shape == (3, 8, 8)
    assert Preprocessing.of(data(pictures(2, 8, 8, 3))).pictures(images).shape == (3, 8, 8, 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 8, 8)), r"expected images as uint8 \[n, h, w\(, 3\)\], got float64 \(2, 8, 8\)"),
        (np.zeros((8, 8), np.uint8), "expected images as uint8"),
        ("no-such-folder", "no-such-folder: no such file or folder"),
    ],
)
def test_what_is_no_picture_is_refused(source, message):
    with pytest.raises(ContractError, match=message):
        Preprocessing.of(data(pictures(2, 8, 8))).pictures(source)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ContractError, match="expected images in this folder, found none"):
        picture_files(tmp_path)


def test_pictures_that_are_no_squares_must_fit():
    made = Preprocessing.of(data(pictures(2, 8, 6)))
    assert made.pictures(pictures(1, 8, 6)).shape == (1, 8, 6)
    with pytest.raises(ContractError, match="expected pictures of 8 x 6 pixels, got 6 x 8"):
        made.pictures(pictures(1, 6, 8))
