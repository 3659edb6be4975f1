import pytest
import torch
from torch import nn

from assay.train.gradcache import cached_features


def towers(dropout=0.0):
    torch_rng = torch.Generator().manual_seed(0)
    found = [
        nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 4)).double()
        for _ in range(2)
    ]
    with torch.no_grad():
        for tower in found:
            for p in tower.parameters():
                p.copy_(torch.randn(p.shape, generator=torch_rng, dtype=p.dtype))
    inputs = [torch.randn(12, 5, generator=torch_rng, dtype=torch.float64) for _ in range(2)]
    return found, inputs


def contrast(a, b):
    """Softmax loss over all pairs, both ways."""
    logits = 3 * nn.functional.normalize(a, dim=1) @ nn.functional.normalize(b, dim=1).T
    labels = torch.arange(len(a))
    return (nn.functional.cross_entropy(logits, labels) + nn.functional.cross_entropy(logits.T, labels)) / 2


def gradients(found):
    return [p.grad for tower in found for p in tower.parameters()]


@pytest.mark.parametrize("micro_batch", [1, 5, 12, 100])
def test_equals_the_whole_batch(micro_batch):
    found, inputs = towers()
    loss = contrast(*(tower(x) for tower, x in zip(found, inputs, strict=True)))
    loss.backward()
    expected = [g.clone() for g in gradients(found)]
    for tower in found:
        tower.zero_grad()
    cached = contrast(
        *(cached_features(tower, x, micro_batch=micro_batch) for tower, x in zip(found, inputs, strict=True))
    )
    cached.backward()
    assert abs(cached - loss) < 1e-12
    for a, b in zip(gradients(found), expected, strict=True):
        assert torch.allclose(a, b, atol=1e-12, rtol=0)


def test_summing_the_losses_of_parts_is_another_objective():
    found, inputs = towers()
    whole = contrast(*(tower(x) for tower, x in zip(found, inputs, strict=True)))
    parts = [contrast(*(t(x[i : i + 4]) for t, x in zip(found, inputs, strict=True))) for i in (0, 4, 8)]
    assert abs(whole - sum(parts) / 3) > 0.1


def test_both_passes_draw_the_same_dropout():
    [tower, _], [x, _] = towers(dropout=0.5)
    torch_state = torch.get_rng_state()
    masks = []
    tower[2].register_forward_hook(lambda module, args, out: masks.append((out != 0).clone()))
    features = cached_features(tower, x, micro_batch=5)
    features.square().sum().backward()
    torch.set_rng_state(torch_state)
    first, second = masks[:3], masks[3:]
    assert len(second) == 3
    kept = {tuple(mask.flatten().tolist()) for mask in first}
    assert kept == {tuple(mask.flatten().tolist()) for mask in second}


def test_the_generator_goes_on_as_after_one_pass():
    [tower, _], [x, _] = towers(dropout=0.5)
    draws = []
    for backward in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(3)
            features = cached_features(tower, x, micro_batch=5)
            if backward:
                features.sum().backward()
            draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1]


@pytest.mark.parametrize("micro_batch", [2, 4])
def test_activations_of_a_part_only_are_held(micro_batch):
    """Between forward and backward nothing inside the encoder is kept, but the inputs."""
    [tower, _], [x, _] = towers()
    saved = []

    def bytes_saved(encode):
        saved.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
            return encode()

    bytes_saved(lambda: tower(x))
    assert any(shape[0] == 12 for shape in saved)
    bytes_saved(lambda: cached_features(tower, x, micro_batch=micro_batch))
    assert not any(len(shape) == 2 and shape[0] == 12 for shape in saved)


def test_several_inputs_and_no_gradient():
    pair = nn.Bilinear(3, 2, 4).double()
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(7, n, generator=rng, dtype=torch.float64) for n in (3, 2))
    with torch.no_grad():
        found = cached_features(pair, a, b, micro_batch=3)
    assert not found.requires_grad
    assert torch.allclose(found, pair(a, b), atol=1e-12)


@pytest.mark.parametrize(("rows", "micro_batch"), [((3, 4), 2), ((3, 3), 0)])
def test_mistakes_are_named(rows, micro_batch):
    with pytest.raises(ValueError, match="expected inputs with one number of rows"):
        cached_features(lambda a, b: a, *(torch.zeros(n, 2) for n in rows), micro_batch=micro_batch)
