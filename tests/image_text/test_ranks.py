import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from assay.image_text.contrast import sigmoid_loss, softmax_loss, unit
from assay.image_text.ranks import gathered, sigmoid_loss_of_ranks, softmax_loss_of_ranks, world

PROGRAM = Path(__file__).with_name("on_ranks.py")
_spec = importlib.util.spec_from_file_location("on_ranks", PROGRAM)
on_ranks = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(on_ranks)


def on(ranks, folder):
    """What rank 0 wrote, after every rank has run the program."""
    command = [sys.executable, str(PROGRAM)]
    files = [str(folder / "rendezvous"), str(folder / "found.npz")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen([*command, str(r), str(ranks), *files], env=environment) for r in range(ranks)
    ]
    assert [process.wait(timeout=120) for process in started] == [0] * ranks
    return np.load(folder / "found.npz")


@pytest.mark.parametrize("ranks", [2, 3])
def test_many_ranks_are_one(ranks, tmp_path):
    many, one = on(ranks, tmp_path), on_ranks.measured()
    assert str(many["refusal"]).startswith("expected as many pairs on every rank, got 2, 3")
    for name, wanted in one.items():
        assert np.abs(wanted).min() >= 0
        assert np.abs(many[name] - wanted).max() < 1e-10, name
        assert np.abs(wanted[1:]).max() > 1e-3  # There is a gradient to compare.
    if ranks == 2:
        check_fits(many)


def check_fits(many):
    """Holds fits by many ranks against those of one: equal pictures and texts were drawn, up to rounding."""
    one, other = on_ranks.fitted(), on_ranks.fitted(seed=6)
    for name, wanted in one.items():
        found = many[f"fit of {name}"]
        assert found[0] == pytest.approx(wanted[0], rel=1e-6), name  # The first loss.
        error, apart = (np.abs(x - wanted).max() for x in (found, other[name]))
        assert error < 2e-3, name  # Steps in bfloat16 make more of rounding.
        assert error < apart / 100, name


def test_the_variants_of_a_loss_agree():
    found = on_ranks.measured()
    for groups in ("groups", "no groups"):
        assert np.allclose(found[f"softmax, {groups}"], found[f"softmax in chunks, {groups}"], atol=1e-12)
        assert np.allclose(
            found[f"sigmoid gathered, {groups}"], found[f"sigmoid on a ring, {groups}"], atol=1e-12
        )


def test_one_rank_communicates_nothing():
    x = unit(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    y, scale = x.flip(0), torch.zeros(())
    assert world() == 1
    assert gathered(x) is x
    assert softmax_loss_of_ranks(x, y, scale) == softmax_loss(x, y, scale)
    assert sigmoid_loss_of_ranks(x, y, scale, scale, ring=True) == sigmoid_loss(x, y, scale, scale)
