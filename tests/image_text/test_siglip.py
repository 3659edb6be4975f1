import numpy as np
import pytest
import torch

from assay.image_text.siglip import SigLIP

pytest.importorskip("tokenizers")


def test_learns_what_belongs_together(pairs, small, run):
    model = SigLIP(**{**small, "examples": 1440}).fit(pairs, run=run)
    scores = model.scores(pairs, [pairs.texts(i)[0] for i in range(12)])
    assert (scores.argmax(axis=1) == np.arange(24) % 12).mean() > 0.9


def test_starts_at_the_papers_scale_and_bias(pairs, small, run):
    few = {**small, "examples": 12, "adam_learning_rate": 1e-12, "learning_rate": 1e-12}
    model = SigLIP(**few).fit(pairs, run=run)
    assert model.module.logit_scale.exp().item() == pytest.approx(10)
    assert model.module.logit_bias.item() == pytest.approx(-10)
    first = model.history.records[0].values["loss"]
    # Nearly every pair is a negative: at -10 only matches cost anything, about 10 each.
    assert 7 < first < 13


def test_chunks_give_the_same_weights(pairs, small, run):
    few = {**small, "examples": 60}
    whole = SigLIP(**few).fit(pairs, run=run).module.state_dict()
    parts = SigLIP(**few, chunk=5).fit(pairs, run=run).module.state_dict()
    for name, weight in whole.items():
        assert torch.allclose(parts[name].float(), weight.float(), atol=2e-3), name
