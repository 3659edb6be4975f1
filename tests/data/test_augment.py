import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from assay.data.augment import (
    crop,
    emoji_recipe,
    flip,
    jitter,
    random_flip,
    random_jitter,
    random_resized_crop,
    random_shift,
    shift,
    uniforms,
)


@pytest.fixture(params=["colour", "grey"])
def images(request, rng):
    shape = (6, 9, 12, 3) if request.param == "colour" else (6, 9, 12)
    return rng.integers(0, 256, shape, np.uint8)


class TestUniforms:
    def test_rows_belong_to_items(self, rng):
        items = rng.permutation(50)
        whole = uniforms(3, 1, np.arange(50), 4)
        np.testing.assert_array_equal(uniforms(3, 1, items, 4), whole[items])
        np.testing.assert_array_equal(uniforms(3, 1, np.arange(50), 2), whole[:, :2])

    def test_any_other_argument_gives_other_numbers(self):
        draws = [
            uniforms(seed, epoch, np.arange(20), 3, stream=stream)
            for seed in range(4)
            for epoch in range(4)
            for stream in range(4)
        ]
        values = np.concatenate(draws).ravel()
        assert len(np.unique(values)) == len(values)

    def test_they_are_uniform_and_independent(self):
        draws = uniforms(7, 0, np.arange(20_000), 3)
        assert draws.min() >= 0
        assert draws.max() < 1
        for column in draws.T:
            assert stats.kstest(column, "uniform").pvalue > 1e-3
            assert abs(np.corrcoef(column[:-1], column[1:])[0, 1]) < 0.03
        assert np.abs(np.corrcoef(draws.T) - np.eye(3)).max() < 0.03
        epochs = np.stack([uniforms(7, epoch, np.arange(5_000), 1)[:, 0] for epoch in range(3)])
        assert np.abs(np.corrcoef(epochs) - np.eye(3)).max() < 0.06

    def test_against_splitmix_in_plain_integers(self):
        def mixed(state: int) -> int:
            state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
            return state ^ (state >> 31)

        golden, state = 0x9E3779B97F4A7C15, 0
        for part in (5, 2, 9):
            state = mixed((state + (part + 1) * golden) % 2**64)
        for item in (0, 17):
            row = mixed((state + (item + 1) * golden) % 2**64)
            expected = [mixed((row + (k + 1) * golden) % 2**64) / 2**64 for k in range(4)]
            np.testing.assert_allclose(
                uniforms(5, 2, np.array([item]), 4, stream=9)[0], expected, atol=2**-53
            )


class TestOracles:
    def test_flip(self, images):
        mirrored = np.array([True, False, True, False, False, True])
        expected = [image[:, ::-1] if yes else image for image, yes in zip(images, mirrored, strict=True)]
        np.testing.assert_array_equal(flip(images, mirrored), expected)

    def test_shift(self, images, rng):
        down, right = rng.integers(-10, 11, (2, 6))
        expected = np.full_like(images, 7)
        for n in range(6):
            for y in range(9):
                for x in range(12):
                    if 0 <= y + down[n] < 9 and 0 <= x + right[n] < 12:
                        expected[n, y + down[n], x + right[n]] = images[n, y, x]
        np.testing.assert_array_equal(shift(images, down, right, fill=7), expected)

    def test_crop(self, images, rng):
        """Bilinear interpolation written out for every pixel, in float64."""
        boxes = np.stack(
            [rng.uniform(0, 4, 6), rng.uniform(0, 5, 6), rng.uniform(1, 5, 6), rng.uniform(1, 7, 6)], 1
        )
        boxes[0] = (0, 0, 9, 12)
        boxes[1] = (-2, -2, 14, 16)  # Beyond the edges.
        size = 5
        expected = np.zeros((6, size, size, *images.shape[3:]))
        for n, (top, left, height, width) in enumerate(boxes):
            for i in range(size):
                for j in range(size):
                    y = min(max(top + (i + 0.5) * height / size - 0.5, 0), 8)
                    x = min(max(left + (j + 0.5) * width / size - 0.5, 0), 11)
                    y0, x0 = int(y), int(x)
                    y1, x1 = min(y0 + 1, 8), min(x0 + 1, 11)
                    part = images[n].astype(float)
                    above = part[y0, x0] * (1 - (x - x0)) + part[y0, x1] * (x - x0)
                    below = part[y1, x0] * (1 - (x - x0)) + part[y1, x1] * (x - x0)
                    expected[n, i, j] = above * (1 - (y - y0)) + below * (y - y0)
        found = crop(images, boxes, size)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.5 + 1e-3

    def test_jitter(self, images, rng):
        brightness, contrast, saturation = rng.uniform(0.3, 1.8, (3, 6))
        weights = np.array([0.299, 0.587, 0.114])
        for n in range(6):
            values = np.clip(images[n] * brightness[n], 0, 255)
            mean = (values @ weights if images.ndim == 4 else values).mean()
            values = np.clip(mean + contrast[n] * (values - mean), 0, 255)
            if images.ndim == 4:
                grey = (values @ weights)[..., None]
                values = np.clip(grey + saturation[n] * (values - grey), 0, 255)
            found = jitter(images, brightness, contrast, saturation)[n]
            assert np.abs(found - values).max() <= 0.5 + 1e-3


def test_crop_is_that_of_torch(rng):
    torch = pytest.importorskip("torch")
    images = rng.integers(0, 256, (3, 10, 14, 3), np.uint8)
    boxes = np.array([[2, 3, 6, 8]] * 3)
    for size in (4, 8, 11):
        part = torch.tensor(images[:, 2:8, 3:11]).permute(0, 3, 1, 2).double()
        expected = torch.nn.functional.interpolate(part, (size, size), mode="bilinear", align_corners=False)
        found = crop(images, boxes, size)
        inner = slice(1, -1)  # At the part's edge torch sees no pixels beyond it, and `crop` does.
        difference = np.abs(found - expected.permute(0, 2, 3, 1).numpy())[:, inner, inner]
        assert difference.max() <= 0.5 + 1e-3


RANDOM = {
    "crop": lambda images, seed, epoch, items: random_resized_crop(images, seed, epoch, items, size=8),
    "flip": random_flip,
    "shift": lambda images, seed, epoch, items: random_shift(images, seed, epoch, items, pixels=3),
    "jitter": random_jitter,
    "emoji": emoji_recipe,
}


@pytest.mark.parametrize("augment", RANDOM.values(), ids=RANDOM)
class TestRandom:
    @pytest.fixture
    def squares(self, rng):
        return rng.integers(0, 256, (64, 12, 12, 3), np.uint8)

    def test_an_image_depends_on_seed_epoch_and_item_alone(self, augment, squares, rng):
        before = squares.copy()
        whole = augment(squares, 1, 2, np.arange(64))
        some = rng.permutation(64)[:20]
        np.testing.assert_array_equal(augment(squares[some], 1, 2, some), whole[some])
        np.testing.assert_array_equal(augment(squares[some[:1]], 1, 2, some[:1])[0], whole[some[0]])
        np.testing.assert_array_equal(squares, before)
        assert whole.dtype == np.uint8

    @pytest.mark.parametrize("other", [(2, 2, 0), (1, 3, 0), (1, 2, 64)])
    def test_another_seed_epoch_or_item_is_another_draw(self, augment, squares, other):
        seed, epoch, offset = other
        first = augment(squares, 1, 2, np.arange(64))
        second = augment(squares, seed, epoch, np.arange(64) + offset)
        assert (first != second).any((1, 2, 3)).mean() > 0.2

    def test_no_images(self, augment, squares):
        assert len(augment(squares[:0], 1, 2, np.arange(0))) == 0


class TestRanges:
    def test_flip_mirrors_half_of_them(self, rng):
        images = rng.integers(0, 256, (2000, 2, 2), np.uint8)
        found = random_flip(images, 0, 0, np.arange(2000))
        mirrored = (found == images[:, :, ::-1]).all((1, 2))
        assert abs(mirrored.mean() - 0.5) < 0.05
        assert (mirrored | (found == images).all((1, 2))).all()

    def test_shifts_are_all_within_reach_and_all_met(self):
        images = np.full((2000, 7, 7), 255, np.uint8)
        images[:, 3, 3] = 0
        found = random_shift(images, 0, 0, np.arange(2000), pixels=2)
        places = np.argwhere(found == 0)
        assert len(places) == 2000
        assert {tuple(place) for place in places[:, 1:]} == {(y, x) for y in range(1, 6) for x in range(1, 6)}

    def test_crops_lie_within_the_image_and_have_the_asked_area(self):
        """On an image whose two channels are the coordinates, a crop tells where it was."""
        y, x = np.meshgrid(np.arange(200), np.arange(200), indexing="ij")
        images = np.broadcast_to(np.stack([y, x, x * 0], -1).astype(np.uint8), (300, 200, 200, 3))
        found = random_resized_crop(images, 0, 0, np.arange(300), size=50, scale=(0.2, 0.6)).astype(float)
        tall = (found[:, -1, 0, 0] - found[:, 0, 0, 0]) * 50 / 49
        wide = (found[:, 0, -1, 1] - found[:, 0, 0, 1]) * 50 / 49
        share = tall * wide / 200**2
        assert share.min() > 0.2 - 0.02
        assert share.max() < 0.6 + 0.02
        assert abs(share.mean() - 0.4) < 0.03
        assert (wide / tall).min() > 3 / 4 - 0.05
        assert (wide / tall).max() < 4 / 3 + 0.05

    def test_a_strength_of_zero_and_a_whole_crop_change_nothing(self, images):
        items = np.arange(6)
        np.testing.assert_array_equal(random_jitter(images, 0, 0, items, strength=0), images)
        np.testing.assert_array_equal(random_shift(images, 0, 0, items, pixels=0), images)
        square = images[:, :, :9]
        whole = random_resized_crop(square, 0, 0, items, size=9, scale=(1, 1), ratio=(1, 1))
        np.testing.assert_array_equal(whole, square)

    def test_the_recipe_for_emoji_leaves_a_symbol_as_it_is(self, smoke_emoji):
        """An augmented picture is nearer to its own original than to most others'."""
        images = smoke_emoji.images(range(100), 32)
        found = emoji_recipe(images, 0, 0, np.arange(100)).reshape(100, -1).astype(float)
        plain = images.reshape(100, -1).astype(float)
        distances = ((found[:, None] - plain[None]) ** 2).mean(-1)
        rank = (distances < np.diag(distances)[:, None]).sum(1)
        assert np.median(rank) <= 5
        assert emoji_recipe(images, 0, 0, np.arange(100), size=24).shape == (100, 24, 24, 3)


def test_processes_agree():
    script = (
        "import numpy as np; from assay.data.augment import emoji_recipe; import hashlib\n"
        "images = np.arange(4 * 16 * 16 * 3, dtype=np.uint8).reshape(4, 16, 16, 3)\n"
        "print(hashlib.sha256(emoji_recipe(images, 3, 1, np.arange(4)).tobytes()).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1
