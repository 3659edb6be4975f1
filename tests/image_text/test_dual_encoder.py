import json

import pytest
import torch

from assay.image_text.dual_encoder import DualConfig, DualEncoder, Projection, clamp_scale
from assay.image_text.towers import WordsConfig, image_config


def config(**changes):
    words = WordsConfig(width=8, vocab_size=20)
    return DualConfig(image=image_config("resnet", 16), text=words, dim=6, log_scale=1.0, **changes)


def test_is_built_again_from_json():
    one = config(bias=-10.0, standardise=True, dropout=0.1)
    assert DualConfig.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_images_and_texts_meet_in_one_space():
    module = DualEncoder(config())
    assert module.encode_image(torch.randn(4, 3, 16, 16)).shape == (4, 6)
    assert module.encode_text(torch.tensor([[1, 5, 2]])).shape == (1, 6)
    assert module.logit_bias is None
    assert DualEncoder(config(bias=-10.0)).logit_bias.item() == -10


def test_a_projection_standardises_by_what_it_measured():
    x = 3 + 2 * torch.randn(50, 7, generator=torch.Generator().manual_seed(0))
    projection = Projection(7, 3, standardise=True)
    projection.measure(x)
    wanted = (x - x.mean(0)) / x.std(0, correction=0) @ projection.weight.T
    assert torch.allclose(projection(x), wanted, atol=1e-5)
    assert set(projection.state_dict()) == {"weight", "mean", "deviation"}
    assert set(Projection(7, 3).state_dict()) == {"weight"}
    constant = Projection(2, 2, standardise=True)
    constant.measure(torch.ones(5, 2))
    assert torch.isfinite(constant(torch.ones(1, 2))).all()


def test_a_locked_tower_stays_as_it_is():
    module = DualEncoder(config())
    module.lock()
    module.train()
    assert not module.vision_model.training
    assert module.text_model.training
    before = {name: t.clone() for name, t in module.vision_model.state_dict().items()}
    out = module.encode_image(torch.randn(4, 3, 16, 16))
    out.sum().backward()
    assert module.visual_projection.weight.grad is not None
    assert all(p.grad is None for p in module.vision_model.parameters())
    assert all(torch.equal(before[name], t) for name, t in module.vision_model.state_dict().items())


def test_a_steady_tower_learns_by_the_statistics_it_came_with():
    module = DualEncoder(config())
    module.keep_statistics()
    module.train()
    assert not module.vision_model.training
    assert module.text_model.training
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = module.encode_image(x)
    out.square().sum().backward()
    assert all(p.grad is not None for p in module.vision_model.parameters())
    assert torch.allclose(out[:1], module.train(False).encode_image(x[:1]), atol=1e-5)


def test_a_locked_tower_keeps_no_activations():
    module = DualEncoder(config())

    def saved():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            module.encode_image(torch.randn(4, 3, 16, 16))
        return sum(sizes)

    free = saved()
    module.lock()
    assert saved() < free / 50


def test_the_scale_is_clamped_after_the_step_and_still_learns():
    module = DualEncoder(config())
    with torch.no_grad():
        module.logit_scale.fill_(5.0)
    module.logit_scale.exp().backward()
    assert module.logit_scale.grad.item() > 0
    clamp_scale(module)
    assert module.logit_scale.item() == pytest.approx(4.6052, abs=1e-4)
    with torch.no_grad():
        module.logit_scale.fill_(-1.0)
    clamp_scale(module)
    assert module.logit_scale.item() == 0
