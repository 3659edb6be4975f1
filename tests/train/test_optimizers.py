import pytest
import torch
from torch import nn

from assay.train.optimizers import adamw, muon


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(7, 4)
        self.position = nn.Parameter(torch.zeros(3, 4))
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.patch_embed = nn.Conv2d(1, 4, 2)
        self.hidden = nn.Linear(4, 6)
        self.kernel = nn.Conv2d(6, 5, 3)
        self.norm = nn.LayerNorm(4)
        self.scale = nn.Parameter(torch.zeros(()))
        self.head = nn.Linear(6, 2)


def names_in(optimizer, model, chosen):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)] for group in optimizer.param_groups if chosen(group) for p in group["params"]}


class TestAdamW:
    def test_vectors_and_scalars_are_not_decayed(self):
        model = Network()
        optimizer = adamw(model, 1e-3, weight_decay=0.1)
        kept = names_in(optimizer, model, lambda group: group["weight_decay"] == 0)
        vectors = {name for name, p in model.named_parameters() if p.ndim < 2}
        assert kept == vectors | {"position", "class_token"}
        decayed = names_in(optimizer, model, lambda group: group["weight_decay"] == 0.1)
        assert decayed | kept == {name for name, _ in model.named_parameters()}

    @pytest.mark.parametrize("make", [lambda m: adamw(m, 0.1, weight_decay=0.3), lambda m: muon(m, 0.1, 0.1)])
    def test_tokens_and_tables_of_positions_are_not_decayed(self, make):
        class Tower(nn.Module):
            def __init__(self):
                super().__init__()
                self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
                self.latents = nn.Parameter(torch.zeros(1, 6, 4))
                self.pos_embed = nn.Parameter(torch.zeros(1, 9, 4))
                self.position_embedding = nn.Embedding(9, 4)
                self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
                self.class_embedding = nn.Parameter(torch.zeros(4))
                self.patch_embedding = nn.Conv2d(3, 4, 2)
                self.token_embedding = nn.Embedding(7, 4)
                self.one_output = nn.Linear(4, 1)
                self.composition = nn.Linear(4, 4)  # No position: words are compared whole.

        model = Tower()
        decayed = names_in(make(model), model, lambda group: group["weight_decay"] > 0 or group.get("muon"))
        assert decayed == {
            "patch_embedding.weight",
            "token_embedding.weight",
            "one_output.weight",
            "composition.weight",
        }

    def test_named_parts_are_not_decayed_either(self):
        model = Network()
        optimizer = adamw(model, 1e-3, no_decay=["token_embedding", "kernel.weight", "head.wei"])
        kept = names_in(optimizer, model, lambda group: group["weight_decay"] == 0)
        assert {"token_embedding.weight", "kernel.weight"} <= kept
        assert "head.weight" not in kept  # Whole parts of names only.

    def test_frozen_parameters_are_left_out(self):
        model = Network().requires_grad_(False)
        model.head.requires_grad_(True)
        assert names_in(adamw(model, 1e-3), model, lambda group: True) == {"head.weight", "head.bias"}
        with pytest.raises(ValueError, match="there is nothing to train"):
            adamw(model.requires_grad_(False), 1e-3)

    def test_takes_names_and_bare_parameters(self):
        model = nn.Linear(3, 2)
        for given in (model, list(model.named_parameters()), list(model.parameters())):
            groups = adamw(given, 0.5, betas=(0.5, 0.6), eps=1e-3).param_groups
            assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.01), (1, 0.0)]
            assert {(g["lr"], g["betas"], g["eps"]) for g in groups} == {(0.5, (0.5, 0.6), 1e-3)}

    def test_steps_by_the_formula(self):
        torch_rng = torch.Generator().manual_seed(0)
        weight = nn.Parameter(torch.randn(3, 4, generator=torch_rng, dtype=torch.float64))
        optimizer = adamw([weight], 0.01, weight_decay=0.1, betas=(0.9, 0.99), eps=1e-6)
        w, m, v = weight.detach().clone(), torch.zeros(3, 4).double(), torch.zeros(3, 4).double()
        for t in range(1, 6):
            g = torch.randn(3, 4, generator=torch_rng, dtype=torch.float64)
            weight.grad = g.clone()
            optimizer.step()
            m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
            w = w - 0.01 * 0.1 * w
            w = w - 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-6)
            assert torch.allclose(weight, w, atol=1e-12, rtol=0)


class TestMuon:
    def test_takes_hidden_matrices_and_leaves_the_rest_to_adamw(self):
        model = Network()
        optimizer = muon(model, 0.02, 1e-3, adam_weight_decay=0.3, weight_decay=0.2)
        assert isinstance(optimizer, torch.optim.Optimizer)
        assert names_in(optimizer, model, lambda g: g["muon"]) == {"hidden.weight", "kernel.weight"}
        everything = names_in(optimizer, model, lambda g: True)
        assert everything == {name for name, _ in model.named_parameters()}
        for group in optimizer.param_groups:
            assert group["lr"] == (0.02 if group["muon"] else 1e-3)
        decayed = names_in(optimizer, model, lambda g: not g["muon"] and g["weight_decay"] == 0.3)
        assert decayed == {"token_embedding.weight", "patch_embed.weight", "head.weight"}

    def test_names_can_be_excluded(self):
        model = Network()
        optimizer = muon(model, 0.02, 1e-3, exclude=["hidden"])
        assert names_in(optimizer, model, lambda g: g["muon"]) == {"kernel.weight"}

    def test_a_tied_head_follows_its_embedding(self):
        model = nn.ModuleDict({"table": nn.Embedding(5, 4), "out": nn.Linear(4, 5, bias=False)})
        model["out"].weight = model["table"].weight
        optimizer = muon(model, 0.02, 1e-3)
        assert not any(group["muon"] for group in optimizer.param_groups)

    def test_learns(self):
        torch_rng = torch.Generator().manual_seed(0)
        x, target = torch.randn(64, 4, generator=torch_rng), torch.randn(64, 2, generator=torch_rng)
        model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
        optimizer = muon(model, 0.02, 0.01)
        losses = []
        for _ in range(150):
            loss = (model(x) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
