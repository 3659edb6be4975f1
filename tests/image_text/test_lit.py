import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.image_text.contrast import LOG_SCALE_OF_SOFTMAX
from assay.image_text.lit import LiT
from assay.image_text.towers import PretrainedConfig

pytest.importorskip("tokenizers")


def tuned(pairs, settings, seed=0, start=0):
    """A module with a random image tower, and its history, tuned with these settings."""
    method = LiT(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(start)
        module, tokenizer = method.towers(
            pairs, Run(), log_scale=LOG_SCALE_OF_SOFTMAX, standardise=True, dropout=method.dropout
        )
        before = {name: t.clone() for name, t in module.vision_model.state_dict().items()}
        history, _ = method.tune(module, tokenizer, pairs, Run(seed=seed))
    return module, before, history


def test_the_image_tower_stays_the_same_to_the_bit(pairs, small):
    module, before, history = tuned(pairs, small)
    assert all(torch.equal(before[name], t) for name, t in module.vision_model.state_dict().items())
    assert history.records[-1].values["loss"] < history.records[0].values["loss"]


def test_kept_features_train_as_live_ones_do(pairs, small):
    # Features are kept in batches of another size, so that sums differ in their last bits.
    few = {**small, "examples": 120, "dropout": 0.0, "batch_size": 8}
    kept, live = (tuned(pairs, {**few, "views": views})[0].state_dict() for views in (1, 0))
    for name, weight in kept.items():
        assert torch.allclose(live[name].float(), weight.float(), atol=5e-3), name


def test_an_unlocked_tower_learns_too(pairs, small):
    module, before, _ = tuned(pairs, {**small, "locked": False, "examples": 48})
    assert not any(torch.equal(before[name], p) for name, p in module.vision_model.named_parameters())
    statistics = dict(module.vision_model.named_buffers())
    assert any("running_mean" in name for name in statistics)
    assert all(torch.equal(before[name], t) for name, t in statistics.items())


def test_versions_of_pictures_differ_but_for_the_first(pairs, small):
    method = LiT(**small, views=3)
    module, _ = method.towers(pairs, Run(), log_scale=1.0)
    states = method.states(module, pairs, Run(), views=3)
    assert states.shape[:2] == (3, 24)
    assert torch.equal(states[0], method.states(module, pairs, Run(), views=1)[0])
    assert (states[1] - states[0]).abs().max() > 1e-4
    assert (states[2] - states[1]).abs().max() > 1e-4


def test_needs_a_pretrained_tower(pairs, small, run):
    with pytest.raises(ValueError, match="expected a pretrained image tower, efficientnet-lite0"):
        LiT(**small).fit(pairs, run=run)


def test_learns_what_real_weights_see(pairs, small, run):
    from assay.data.fetch import FetchError

    settings = {**small, "image": PretrainedConfig(grid=2), "size": 64, "examples": 960}
    try:
        model = LiT(**settings).fit(pairs, run=run)
    except FetchError as error:
        pytest.skip(str(error))
    scores = model.scores(pairs, [pairs.texts(i)[0] for i in range(12)])
    assert (scores.argmax(axis=1) == np.arange(24) % 12).mean() > 0.9
