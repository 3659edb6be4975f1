import numpy as np
from random_densities import decoded

from assay.density.pictures import png, sheet


class TestPictures:
    def test_png_is_read_back(self):
        grey = np.random.default_rng(0).integers(0, 256, (5, 7)).astype(np.uint8)
        assert np.array_equal(decoded(png(grey)), grey)

    def test_sheet(self):
        tiles = np.arange(2 * 3 * 1 * 2, dtype=np.uint8).reshape(2, 3, 1, 2)
        expected = [[0, 1, 128, 2, 3, 128, 4, 5], [128] * 8, [6, 7, 128, 8, 9, 128, 10, 11]]
        assert sheet(tiles).tolist() == expected
        assert sheet(tiles, scale=2).shape == (6, 16)
