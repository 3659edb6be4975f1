from dataclasses import replace

import numpy as np
import pytest
from random_densities import all_vectors, finite_differences, random_model

from assay.core.run import Run
from assay.density.contract import BinaryData
from assay.density.fvsbn import FVSBNModel
from assay.density.likelihood import log_likelihood
from assay.density.made import MADE, cuts, draw_degrees, made_gradient, made_logits, masked, masks
from assay.density.panels import joined, panels, split

FAMILIES = ["made", "deep-made", "undirected-made", "made-without-hidden"]


def paths(degrees):
    """How many ways lead from an input (row) to an output (column), counted one by one."""
    layers, direct = masks(degrees)
    D = len(degrees[0])
    counts = np.zeros((D, D), int)
    for start in range(D):
        reached = [int(i == start) for i in range(D)]
        for mask in layers:
            reached = [
                sum(reached[i] * int(mask[i, k]) for i in range(len(mask))) for k in range(mask.shape[1])
            ]
        if layers:
            counts[start] += reached
        counts[start] += [int(direct[start, d]) for d in range(D)]
    return counts


class TestMasks:
    @pytest.mark.parametrize("hidden", [(), (1,), (3,), (12,), (5, 4), (9, 9, 9)])
    @pytest.mark.parametrize("D", [1, 2, 6])
    def test_every_path_leads_to_a_later_bit(self, D, hidden):
        rng = np.random.default_rng(D)
        order = rng.permutation(D)
        counts = paths(draw_degrees(order, hidden, rng))
        earlier = order[:, None] < order[None, :]
        assert np.array_equal(counts > 0, earlier)  # The direct connections reach all of them.

    def test_hidden_units_alone_reach_all_later_bits(self):
        rng = np.random.default_rng(0)
        degrees = draw_degrees(rng.permutation(7), (6, 8), rng)
        layers, direct = masks(degrees)
        reached = np.eye(7, dtype=int)
        for mask in layers:
            reached = reached @ mask
        assert np.array_equal(reached > 0, direct)

    def test_output_mask_is_strict(self):
        degrees = [np.array([1, 2, 3]), np.array([1, 2])]
        (first, output), direct = masks(degrees)
        assert first.tolist() == [[True, True], [False, True], [False, False]]
        assert output.tolist() == [[False, True, True], [False, False, True]]
        assert direct.tolist() == [[False, True, True], [False, False, True], [False, False, False]]

    @pytest.mark.parametrize("units", [1, 4, 9, 10, 25])
    def test_degrees_are_in_their_range_and_all_there_if_they_can_be(self, units):
        rng = np.random.default_rng(units)
        inputs, hidden, top = draw_degrees(rng.permutation(10), (units, 30), rng)
        assert sorted(inputs) == list(range(1, 11))
        assert hidden.min() >= 1
        assert hidden.max() <= 9
        assert top.min() == hidden.min()  # A lower one would see nothing and be wasted.
        assert len(set(hidden.tolist())) == min(units, 9)

    def test_degrees_are_drawn_anew(self):
        rng = np.random.default_rng(0)
        one, two = (draw_degrees(np.arange(20), (19,), rng)[1] for _ in range(2))
        assert not np.array_equal(one, two)


@pytest.mark.parametrize("family", FAMILIES)
class TestNetwork:
    def test_is_the_network_written_as_loops(self, family):
        model = random_model(family, 4)
        degrees = model.degrees(0)
        layers, direct = masks(degrees)
        for row in all_vectors(4).astype(float):
            below = row
            for i in range(len(degrees) - 1):
                W, c = model.weights[f"W{i}"], model.weights[f"c{i}"]
                below = [
                    max(0.0, c[k] + sum(below[j] * W[j, k] for j in range(len(below)) if layers[i][j, k]))
                    for k in range(len(c))
                ]
            for d in range(4):
                logit = model.weights["b"][d]
                if len(degrees) > 1:
                    W = model.weights[f"W{len(degrees) - 1}"]
                    logit += sum(below[k] * W[k, d] for k in range(len(below)) if layers[-1][k, d])
                if "direct" in model.weights:
                    logit += sum(row[j] * model.weights["direct"][j, d] for j in range(4) if direct[j, d])
                assert model.logits(row[None])[0, d] == pytest.approx(logit, abs=1e-12)

    def test_gradient_agrees_with_finite_differences(self, family):
        model = random_model(family, 5, hidden=6)
        x = np.random.default_rng(0).integers(0, 2, (7, 5)).astype(float)
        degrees = model.degrees(0)

        def naive(w):
            logits, _ = made_logits(x, masked(w, cuts(degrees)), len(degrees) - 1, model.plan)
            return -log_likelihood(logits, x).mean()

        loss, slope = made_gradient(x, model.weights, model.cuts(0), len(degrees) - 1, model.plan)
        assert loss == pytest.approx(naive(model.weights), abs=1e-12)
        assert set(slope) == set(model.weights)
        for name, expected in finite_differences(naive, model.weights).items():
            assert slope[name] == pytest.approx(expected, abs=1e-7), name

    def test_gradient_agrees_with_automatic_differentiation(self, family):
        torch = pytest.importorskip("torch")
        model = random_model(family, 8, hidden=11)
        x = np.random.default_rng(1).integers(0, 2, (6, 8)).astype(float)
        degrees = model.degrees(0)
        layers, direct = masks(degrees)
        w = {name: torch.tensor(value, requires_grad=True) for name, value in model.weights.items()}
        rows = below = torch.tensor(x)
        for i in range(len(degrees) - 1):
            below = torch.relu(below @ (w[f"W{i}"] * torch.tensor(layers[i])) + w[f"c{i}"])
        logits = w["b"].expand(6, 8)
        if len(degrees) > 1:
            logits = logits + below @ (w[f"W{len(degrees) - 1}"] * torch.tensor(layers[-1]))
        if "direct" in w:
            logits = logits + rows @ (w["direct"] * torch.tensor(direct))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, rows, reduction="sum") / 6
        loss.backward()
        value, slope = made_gradient(x, model.weights, model.cuts(0), len(degrees) - 1, model.plan)
        assert value == pytest.approx(loss.item(), abs=1e-10)
        for name in w:
            assert slope[name] == pytest.approx(w[name].grad.numpy(), abs=1e-10), name

    def test_panels_of_the_matrices_give_the_same_loss_and_gradient(self, family):
        model = random_model(family, 9, hidden=14)
        x = np.random.default_rng(2).integers(0, 2, (6, 9)).astype(float)
        cut = model.cuts(0)
        plan = {name: panels(name, mask > 0) for name, mask in cut.items()}
        assert all(len(placed) > 1 for placed in plan.values())
        loss, slope = made_gradient(x, model.weights, cut, model.num_hidden, model.plan)
        weights = split(model.weights, plan)
        value, parts = made_gradient(x, weights, split(cut, plan), model.num_hidden, plan)
        assert value == pytest.approx(loss, abs=1e-12)
        assert set(parts) == set(weights)
        zeros = {name: np.zeros_like(w) for name, w in model.weights.items()}
        found = joined(parts, plan, zeros)
        for name, expected in slope.items():
            assert found[name] == pytest.approx(expected, abs=1e-12), name

    def test_weights_that_are_cut_off_do_not_matter(self, family):
        model = random_model(family, 5)
        layers, direct = masks(model.degrees(0))
        weights = {name: np.array(w) for name, w in model.weights.items()}
        for i, mask in enumerate(layers):
            weights[f"W{i}"][~mask] = 1e6
        if "direct" in weights:
            weights["direct"][~direct] = 1e6
        x = all_vectors(5)
        assert np.array_equal(replace(model, weights=weights).log_prob(x), model.log_prob(x))


def test_without_hidden_layers_it_is_fvsbn():
    model = random_model("made-without-hidden", 6)
    fvsbn = FVSBNModel(
        weights={"W": model.weights["direct"], "b": model.weights["b"]}, structure=dict(model.structure)
    )
    x = all_vectors(6)
    assert model.log_prob(x) == pytest.approx(fvsbn.log_prob(x), abs=1e-12)


class TestMethod:
    def data(self):
        return BinaryData(random_model("deep-made", 6, seed=5).sample(600, np.random.default_rng(0)))

    def test_training_leaves_cut_weights_alone(self):
        method = MADE(hidden=10, max_epochs=3, num_masks=1)
        model = method.fit(self.data(), run=Run())
        start = method.start(self.data(), Run().rng("weights"), Run().rng("orders"))
        layers, direct = masks(model.degrees(0))
        for name, mask in (("W0", layers[0]), ("W1", layers[1]), ("direct", direct)):
            changed = model.weights[name] != start.weights[name]
            assert not changed[~mask].any()
            assert changed[mask].any()

    @pytest.mark.parametrize("random_orders", [False, True])
    def test_training_by_panels_is_training_of_the_whole(self, random_orders, monkeypatch):
        method = MADE(hidden=10, max_epochs=4, num_masks=1, random_orders=random_orders)
        parts = method.fit(self.data(), run=Run())
        monkeypatch.setattr("assay.density.panels._WORTH_IT", 0)
        whole = method.fit(self.data(), run=Run())
        assert [moment.epoch for moment in parts.history] == [1, 2, 3, 4]
        for name, w in whole.weights.items():
            assert parts.weights[name] == pytest.approx(w, abs=1e-5), name
            assert parts.history[1].weights[name] == pytest.approx(whole.history[1].weights[name], abs=1e-5)

    @pytest.mark.parametrize("hidden", [12, (8, 7), ()])
    def test_learns_and_still_sums_to_one(self, hidden):
        data = self.data()
        model = MADE(hidden=hidden, max_epochs=20, num_masks=2, random_orders=True).fit(data, run=Run())
        start = MADE(hidden=hidden).start(data, Run().rng("weights"), Run().rng("orders"))
        assert model.log_prob(data.x).mean() > start.log_prob(data.x).mean() + 0.05
        assert np.exp(model.log_prob(all_vectors(6))).sum() == pytest.approx(1, abs=1e-5)

    def test_sets_of_masks_are_named_in_the_model(self):
        model = MADE(hidden=10, max_epochs=1, num_masks=3, random_orders=True).fit(self.data(), run=Run())
        assert model.num_members == 3
        assert len(np.unique(model.structure["orders"], axis=0)) == 3
        assert model.structure["degrees0"].shape == (3, 10)
        method = MADE(hidden=10, max_epochs=1, num_masks=2, random_orders=False)
        natural = method.fit(self.data(), run=Run())
        assert (natural.structure["orders"] == np.arange(6)).all()

    def test_settings_are_checked(self):
        for settings in ({"hidden": 0}, {"hidden": (3, 0)}, {"num_masks": 0}):
            with pytest.raises(ValueError, match="at least 1"):
                MADE(**settings)
        with pytest.raises(ValueError, match="nothing is connected"):
            MADE(hidden=(), direct=False)
        with pytest.raises(ValueError, match="expected batch_size above 0"):
            MADE(batch_size=0)
