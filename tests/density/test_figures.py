import struct
import zlib
from dataclasses import dataclass

import numpy as np
import pytest

from assay.core.comparison import compare
from assay.density.bernoulli import BernoulliModel
from assay.density.likelihood import log_likelihood


def decoded(file):
    """The grey values of a PNG without filters, read chunk by chunk."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(file):
        (size,) = struct.unpack(">I", file[at : at + 4])
        kind, content = file[at + 4 : at + 8], file[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", file[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + content)
        chunks[kind] = content
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, colour) == (8, 0)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:]


@dataclass(frozen=True, kw_only=True)
class Coins:
    """A user's own method: fair coins, with no more than log_prob."""

    bias: float = 0.0

    def fit(self, data, *, run):
        return self

    def log_prob(self, x):
        return log_likelihood(np.full(x.shape, self.bias), x)


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    methods = ["bernoulli", "fvsbn", "made", Coins]
    runs = tmp_path_factory.mktemp("runs")
    return compare("density", scale="smoke", seeds=2, methods=methods, progress=False, runs=runs)


class TestBoard:
    def test_every_method_finished(self, board):
        assert {row.name: row.status for row in board.rows} == dict.fromkeys(
            [row.name for row in board.rows], "ok"
        )
        assert len(board.rows) == 4
        assert board.ranking[-1].values("bits per dimension") == pytest.approx((1.0, 1.0))

    def test_pictures_show_the_models_that_can_draw(self, board):
        samples, completions = board.figures
        assert "bits of the data were made by threshold" in samples.caption
        assert "bernoulli" in samples.caption
        grey = decoded(samples.image)
        assert set(np.unique(grey)) <= {0, 128, 255}
        scale = 640 // (16 * 8)
        assert grey.shape == ((3 * 2 * 9 - 1) * scale, (16 * 9 - 1) * scale)
        assert completions.title == "In-painting"
        assert decoded(completions.image).shape[1] == (16 * 9 - 1) * (640 // 128)

    def test_completions_keep_the_upper_half(self, board):
        scale = 640 // 128
        grey = decoded(board.figures[1].image)[::scale, ::scale]
        first = grey[:4]
        for row in range(1, 7):
            assert np.array_equal(grey[row * 9 : row * 9 + 4], first)

    def test_without_pictures_there_are_none(self, tmp_path):
        x = np.random.default_rng(0).integers(0, 2, (40, 3))
        plain = compare("density", x, methods=["bernoulli"], seeds=1, progress=False, runs=tmp_path)
        assert plain.figures == ()
        assert isinstance(plain.best, BernoulliModel)
