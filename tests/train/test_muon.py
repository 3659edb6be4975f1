import copy
import math

import pytest
import torch
from torch import nn

from assay.train.muon import COEFFICIENTS, Muon, orthogonalized

SHAPES = [(6, 6), (4, 9), (9, 4), (1, 5), (5, 1)]


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def polynomial(s, steps):
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return s


class TestOrthogonalized:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("steps", [1, 3, 5])
    def test_moves_singular_values_by_the_polynomial_and_keeps_their_vectors(self, shape, steps):
        matrix = random(*shape)
        U, S, V = torch.linalg.svd(matrix, full_matrices=False)
        expected = U @ torch.diag(polynomial(S / matrix.norm(), steps)) @ V
        found = orthogonalized(matrix[None], steps=steps)[0]
        assert torch.allclose(found, expected, atol=1e-10, rtol=0)

    def test_singular_values_end_near_one_unless_they_are_tiny(self):
        for seed in range(20):
            matrix = random(16, 24, seed=seed)
            values = torch.linalg.svdvals(orthogonalized(matrix[None])[0])
            assert values.min() > 0.6
            assert values.max() < 1.3

    def test_the_scale_of_the_gradient_does_not_matter(self):
        matrix = random(5, 7)
        assert torch.allclose(orthogonalized(matrix[None]), orthogonalized(1e6 * matrix[None]), atol=1e-12)

    def test_many_at_once_are_each_alone(self):
        matrices = random(4, 3, 8)
        together = orthogonalized(matrices)
        for matrix, found in zip(matrices, together, strict=True):
            assert torch.allclose(orthogonalized(matrix[None])[0], found, atol=1e-14)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_one_alone_is_one_of_many(self, shape):
        matrix = random(*shape)
        assert torch.allclose(orthogonalized(matrix), orthogonalized(matrix[None])[0], atol=1e-14)

    def test_no_graph_is_built(self):
        assert not orthogonalized(random(3, 4).requires_grad_()).requires_grad

    def test_zero_stays_zero_and_the_input_is_left_alone(self):
        matrix = random(3, 3)
        kept = matrix.clone()
        orthogonalized(matrix[None])
        assert torch.equal(matrix, kept)
        assert not orthogonalized(torch.zeros(1, 3, 4)).any()


def run(optimizer, parameters, steps=5):
    for step in range(steps):
        for i, parameter in enumerate(parameters):
            parameter.grad = random(*parameter.shape, seed=100 * step + i, dtype=parameter.dtype)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def start(dtype, shapes=((6, 6), (4, 9), (9, 4), (6, 6))):
    return [nn.Parameter(random(*shape, seed=i, dtype=dtype)) for i, shape in enumerate(shapes)]


class TestStep:
    @pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
    @pytest.mark.parametrize("nesterov", [True, False])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.1])
    def test_equals_torchs_within_its_bfloat16(self, scale, nesterov, weight_decay):
        ours, theirs = start(torch.float32), start(torch.float32)
        group = {"params": ours, "lr": 0.02, "weight_decay": weight_decay, "muon": True}
        options = {"nesterov": nesterov, "momentum": 0.9}
        peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=weight_decay, adjust_lr_fn=scale, **options)
        before = start(torch.float32)
        found = run(Muon([group], scale=scale, dtype=torch.bfloat16, **options), ours)
        for a, b, c in zip(found, run(peer, theirs), before, strict=True):
            assert (a - b).norm() < 0.01 * (b - c).norm()

    @pytest.mark.parametrize("shape", [(384, 400), (400, 384)])  # Large ones go alone, as torch's do.
    def test_equals_torchs_to_the_bit_in_bfloat16(self, shape):
        ours, theirs = start(torch.float32, [shape]), start(torch.float32, [shape])
        group = {"params": ours, "lr": 0.02, "weight_decay": 0.1, "muon": True}
        peer = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
        found = run(Muon([group], dtype=torch.bfloat16), ours, steps=2)
        assert torch.equal(found[0], run(peer, theirs, steps=2)[0])

    def test_full_precision_is_closer_to_the_formula_than_bfloat16(self):
        [matrix] = start(torch.float64, [(8, 12)])
        gradient = random(8, 12, seed=7)
        U, S, V = torch.linalg.svd(gradient, full_matrices=False)
        exact = U @ torch.diag(polynomial(S / gradient.norm(), 5)) @ V
        kept = matrix.detach().clone()
        matrix.grad = gradient
        Muon([{"params": [matrix], "lr": 0.1, "weight_decay": 0.0, "muon": True}], momentum=0.95).step()
        assert torch.allclose(matrix, kept - 0.1 * exact, atol=1e-10, rtol=0)

    def test_decay_shrinks_before_the_step_and_the_shape_scales_it(self):
        for scale, factor in (("original", math.sqrt(3)), ("match_rms_adamw", 0.2 * math.sqrt(12))):
            [tall] = start(torch.float64, [(12, 4)])
            kept = tall.detach().clone()
            tall.grad = random(12, 4, seed=3)
            step = orthogonalized(tall.grad[None])[0]
            group = {"params": [tall], "lr": 0.1, "weight_decay": 0.5, "muon": True}
            Muon([group], scale=scale).step()
            assert torch.allclose(tall, kept * (1 - 0.1 * 0.5) - 0.1 * factor * step, atol=1e-12)

    def test_kernels_are_rows_by_all_the_rest(self):
        kernel = nn.Parameter(random(4, 2, 3, 3))
        matrix = nn.Parameter(kernel.detach().reshape(4, 18).clone())
        kernel.grad, gradient = random(4, 2, 3, 3, seed=1), random(4, 2, 3, 3, seed=1)
        matrix.grad = gradient.reshape(4, 18)
        for parameter in (kernel, matrix):
            Muon([{"params": [parameter], "lr": 0.1, "weight_decay": 0.0, "muon": True}]).step()
        assert torch.equal(kernel.reshape(4, 18), matrix)

    def test_the_other_groups_are_adamws(self):
        ours, theirs = start(torch.float32), start(torch.float32)
        group = {"params": ours, "lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.99), "muon": False}
        peer = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1, betas=(0.8, 0.99), fused=True)
        for a, b in zip(run(Muon([group]), ours), run(peer, theirs), strict=True):
            assert torch.equal(a, b)

    def test_large_matrices_go_alone_to_the_same_end(self, monkeypatch):
        found = []
        for small in (0, 1 << 17):
            monkeypatch.setattr("assay.train.muon._SMALL", small)
            parameters = start(torch.float64)
            group = {"params": parameters, "lr": 0.1, "weight_decay": 0.0, "muon": True}
            found.append(run(Muon([group]), parameters))
        for a, b in zip(*found, strict=True):
            assert torch.allclose(a, b, atol=1e-12)

    def test_parameters_without_gradients_stay(self):
        used, unused = start(torch.float32, [(3, 3), (3, 3)])
        kept = unused.detach().clone()
        used.grad = random(3, 3, dtype=torch.float32)
        optimizer = Muon([{"params": [used, unused], "lr": 0.1, "weight_decay": 0.1, "muon": True}])
        optimizer.step()
        assert torch.equal(unused, kept)
        assert len(optimizer.state) == 1

    def test_goes_on_exactly_from_its_state(self):
        def make():
            parameters = start(torch.float32, [(4, 5), (3,)])
            groups = [
                {"params": parameters[:1], "lr": 0.1, "weight_decay": 0.0, "muon": True},
                {"params": parameters[1:], "lr": 0.1, "weight_decay": 0.0, "muon": False},
            ]
            return parameters, Muon(groups)

        def steps(parameters, optimizer, chosen):
            for step in chosen:
                for i, parameter in enumerate(parameters):
                    parameter.grad = random(*parameter.shape, seed=10 * step + i, dtype=torch.float32)
                optimizer.step()

        parameters, optimizer = make()
        steps(parameters, optimizer, range(3))
        again, other = make()
        with torch.no_grad():
            for a, b in zip(again, parameters, strict=True):
                a.copy_(b)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        steps(parameters, optimizer, range(3, 6))
        steps(again, other, range(3, 6))
        for a, b in zip(again, parameters, strict=True):
            assert torch.equal(a, b)

    def test_a_closure_is_called_with_gradients(self):
        [matrix] = start(torch.float32, [(3, 3)])
        optimizer = Muon([{"params": [matrix], "lr": 0.1, "weight_decay": 0.0, "muon": True}])

        def closure():
            loss = matrix.square().sum()
            loss.backward()
            return loss.item()

        before = matrix.detach().clone()
        assert optimizer.step(closure) == pytest.approx(before.square().sum().item())
        assert not torch.equal(matrix, before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"expected momentum in \[0, 1\), got 1\.0"),
        ({"scale": "wide"}, "expected scale to be one of original, match_rms_adamw, got 'wide'"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Muon([{"params": start(torch.float32), "muon": True}], **options)
