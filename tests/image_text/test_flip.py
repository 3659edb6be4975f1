import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from assay.core.budget import Budget
from assay.core.run import Run
from assay.image_text.clip import CLIP
from assay.image_text.clip_model import CLIPVision, CLIPVisionConfig
from assay.image_text.flip import FLIP, kept_patches, num_patches
from assay.images.vit import ViTConfig

pytest.importorskip("tokenizers")


def test_kept_patches_are_a_uniform_draw_for_each_image():
    keep = kept_patches(0, np.arange(4000), 16, 0.5)
    assert keep.shape == (4000, 8)
    assert (keep.sort(dim=1)[0].diff(dim=1) > 0).all()
    counts = torch.bincount(keep.flatten(), minlength=16)
    assert (counts - 2000).abs().max() < 4.5 * (4000 * 0.25) ** 0.5
    assert (keep[0].sort()[0] != keep[1].sort()[0]).any()
    assert kept_patches(0, np.arange(1), 16, 0.75).shape == (1, 4)
    assert kept_patches(0, np.arange(1), 2, 0.99).shape == (1, 1)


def test_what_is_kept_of_an_image_depends_on_no_other(pairs, small, little_vit):
    everyone = kept_patches(3, np.arange(6), 16, 0.5)
    assert torch.equal(kept_patches(3, np.array([5, 2]), 16, 0.5), everyone[[5, 2]])
    assert not torch.equal(kept_patches(4, np.arange(6), 16, 0.5), everyone)
    make = FLIP(**{**small, "image": little_vit}).inputs(pairs)
    shown = make(np.array([3, 0, 7, 1]), np.random.default_rng(0))
    half = make(np.array([7, 1]), np.random.default_rng(0))  # The other of two ranks.
    assert torch.equal(half.keep, shown.keep[2:])
    assert torch.equal(half.images, shown.images[2:])
    parts = shown.split(3)
    assert [len(part) for part in parts] == [3, 1]
    assert torch.equal(parts[1].keep, shown.keep[3:])
    assert {t.device.type for t in (shown.to("meta").images, shown.to("meta").keep)} == {"meta"}


def test_patches_are_counted(little_vit):
    assert num_patches(little_vit) == 16
    assert num_patches(ViTConfig(image_size=(32, 64), patch_size=16)) == 8


def multiply_adds(tower, x, keep=None):
    with FlopCounterMode(display=False) as counter:
        tower.embed(x, keep)
    return counter.get_total_flops()


@pytest.mark.parametrize(("mask", "share"), [(0.5, 0.495), (0.75, 0.248)])
def test_multiply_adds_are_those_of_the_handbook(mask, share):
    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=16
    )
    with torch.device("meta"):
        tower = CLIPVision(config)
        x = torch.empty(1, 3, 224, 224)
        keep = torch.zeros(1, int(196 * (1 - mask)), dtype=torch.int64)
        whole, part = (multiply_adds(tower, x, k) for k in (None, keep))
    assert part / whole == pytest.approx(share, abs=0.012)


def test_without_a_mask_it_is_clip(pairs, small, little_vit, run):
    few = {**small, "image": little_vit, "examples": 48}
    flip = FLIP(**few, mask=0.0).fit(pairs, run=run).module.state_dict()
    clip = CLIP(**few, learning_rate=FLIP.learning_rate).fit(pairs, run=run).module.state_dict()
    assert all(torch.equal(flip[name], weight) for name, weight in clip.items())


def test_all_patches_are_seen_at_the_end_and_in_evaluation(pairs, small, little_vit, monkeypatch):
    seen = []
    embed = CLIPVision.embed

    def watched(self, images, keep=None):
        seen.append(16 if keep is None else keep.shape[1])
        return embed(self, images, keep)

    monkeypatch.setattr(CLIPVision, "embed", watched)
    method = FLIP(**{**small, "image": little_vit, "examples": 240}, tuning=0.25)
    model = method.fit(pairs, run=Run())
    assert seen == [8] * 15 + [16] * 5
    seen.clear()
    method.fit(pairs, run=Run(budget=Budget(8, "steps")))
    assert seen == [8] * 6 + [16] * 2
    seen.clear()
    one, two = (model.scores(list(pairs.images(size=16)), ["red"]) for _ in range(2))
    assert np.array_equal(one, two)
    assert set(seen) == {16}


def test_what_cannot_be_is_refused(small):
    with pytest.raises(ValueError, match=r"expected mask in \[0, 1\), got 1"):
        FLIP(mask=1)
    with pytest.raises(ValueError, match="whose patches can be left out"):
        FLIP(**small)
