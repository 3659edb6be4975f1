import math
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from assay.image_text.contrast import (
    BIAS_OF_SIGMOID,
    LARGEST_LOG_SCALE,
    LOG_SCALE_OF_SIGMOID,
    LOG_SCALE_OF_SOFTMAX,
    sigmoid_loss,
    softmax_loss,
    unit,
)


def pairs(count, dim, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    made = [unit(torch.randn(count, dim, generator=rng, dtype=dtype)) for _ in range(2)]
    return [x.requires_grad_() for x in made]


def scalar(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def logits_by_loops(images, texts, scale, bias):
    return [[scale * sum(a * b for a, b in zip(i, t, strict=True)) + bias for t in texts] for i in images]


def softmax_by_loops(images, texts, log_scale, groups=None):
    z = logits_by_loops(images.tolist(), texts.tolist(), math.exp(log_scale), 0.0)
    n = len(z)
    total = 0.0
    for i in range(n):
        seen = [j for j in range(n) if groups is None or j == i or groups[i] != groups[j]]
        total += math.log(sum(math.exp(z[i][j]) for j in seen)) - z[i][i]
        total += math.log(sum(math.exp(z[j][i]) for j in seen)) - z[i][i]
    return total / (2 * n)


def sigmoid_by_loops(images, texts, log_scale, bias, groups=None):
    z = logits_by_loops(images.tolist(), texts.tolist(), math.exp(log_scale), bias)
    n = len(z)
    total = 0.0
    for i in range(n):
        for j in range(n):
            if groups is not None and i != j and groups[i] == groups[j]:
                continue
            y = 1 if i == j else -1
            total += math.log1p(math.exp(-y * z[i][j]))
    return total / n


GROUPS = [None, torch.tensor([0, 1, 0, 2, 3, 1, 0])]


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 100])
class TestAgainstLoops:
    def test_softmax(self, groups, chunk):
        images, texts = pairs(7, 5)
        found = softmax_loss(images, texts, scalar(1.3), groups=groups, chunk=chunk)
        wanted = softmax_by_loops(images, texts, 1.3, None if groups is None else groups.tolist())
        assert abs(found.item() - wanted) < 1e-12

    def test_sigmoid(self, groups, chunk):
        images, texts = pairs(7, 5)
        found = sigmoid_loss(images, texts, scalar(1.3), scalar(-2.0), groups=groups, chunk=chunk)
        wanted = sigmoid_by_loops(images, texts, 1.3, -2.0, None if groups is None else groups.tolist())
        assert abs(found.item() - wanted) < 1e-12

    def test_gradients_are_those_of_finite_differences(self, groups, chunk):
        images, texts = pairs(7, 3)
        assert torch.autograd.gradcheck(
            lambda i, t, s: softmax_loss(i, t, s, groups=groups, chunk=chunk), (images, texts, scalar(0.5))
        )
        assert torch.autograd.gradcheck(
            lambda i, t, s, b: sigmoid_loss(i, t, s, b, groups=groups, chunk=chunk),
            (images, texts, scalar(0.5), scalar(-1.0)),
        )


@pytest.mark.parametrize("chunk", [None, 2])
class TestProperties:
    def test_one_pair_is_found_by_softmax(self, chunk):
        images, texts = pairs(1, 4)
        assert softmax_loss(images, texts, scalar(2.0), chunk=chunk).item() == 0

    def test_identical_pairs_leave_guessing(self, chunk):
        one = unit(torch.ones(6, 4, dtype=torch.float64))
        assert softmax_loss(one, one, scalar(2.0), chunk=chunk).item() == pytest.approx(math.log(6))

    def test_pairs_of_one_group_are_no_negatives(self, chunk):
        one = unit(torch.ones(6, 4, dtype=torch.float64))
        together = torch.zeros(6, dtype=torch.int64)
        assert softmax_loss(one, one, scalar(2.0), groups=together, chunk=chunk).item() == 0

    def test_the_order_of_pairs_and_the_names_of_towers_do_not_matter(self, chunk):
        images, texts = pairs(6, 4)
        order = torch.tensor([3, 1, 5, 0, 2, 4])
        for loss in (
            lambda i, t: softmax_loss(i, t, scalar(1.0), chunk=chunk),
            lambda i, t: sigmoid_loss(i, t, scalar(1.0), scalar(-1.0), chunk=chunk),
        ):
            known = loss(images, texts).item()
            assert loss(images[order], texts[order]).item() == pytest.approx(known, abs=1e-12)
            assert loss(texts, images).item() == pytest.approx(known, abs=1e-12)

    def test_sigmoid_sums_over_texts_and_averages_over_images(self, chunk):
        # All logits are b when the features are 0: the loss is softplus(-b) + (n - 1) softplus(b).
        nothing = torch.zeros(3, 2, dtype=torch.float64)
        found = sigmoid_loss(nothing, nothing, scalar(1.0), scalar(0.5), chunk=chunk).item()
        assert found == pytest.approx(math.log1p(math.exp(-0.5)) + 2 * math.log1p(math.exp(0.5)), abs=1e-14)
        slopes = []
        for count in (3, 30):
            bias = scalar(0.0)
            nothing = torch.zeros(count, 2, dtype=torch.float64)
            sigmoid_loss(nothing, nothing, scalar(1.0), bias, chunk=chunk).backward()
            slopes.append(bias.grad.item())
        assert slopes == pytest.approx([0.5 * 3 - 1, 0.5 * 30 - 1])

    def test_a_bias_of_minus_ten_starts_where_most_pairs_are_settled(self, chunk):
        rng = torch.Generator().manual_seed(0)
        images, texts = (unit(torch.randn(1024, 256, generator=rng, dtype=torch.float64)) for _ in range(2))
        low = sigmoid_loss(images, texts, scalar(LOG_SCALE_OF_SIGMOID), scalar(BIAS_OF_SIGMOID), chunk=chunk)
        high = sigmoid_loss(images, texts, scalar(LOG_SCALE_OF_SIGMOID), scalar(0.0), chunk=chunk)
        assert low.item() == pytest.approx(10.05, abs=0.1)
        assert high.item() == pytest.approx(1024 * math.log(2), rel=0.1)


@pytest.mark.parametrize("chunk", [None, 64])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_large_batches_in_single_precision_are_those_in_double(chunk, sigmoid):
    rng = torch.Generator().manual_seed(0)
    features = [unit(torch.randn(256, 128, generator=rng)) for _ in range(2)]
    found = {}
    for dtype in (torch.float32, torch.float64):
        leaves = [f.to(dtype).requires_grad_() for f in (*features, torch.tensor(2.0))]
        if sigmoid:
            leaves.append(torch.tensor(-5.0, dtype=dtype, requires_grad=True))
        loss = (sigmoid_loss if sigmoid else softmax_loss)(*leaves, chunk=chunk)
        found[dtype] = [loss.detach(), *torch.autograd.grad(loss, leaves)]
    for single, double in zip(found[torch.float32], found[torch.float64], strict=True):
        assert (single - double).abs().max() < 1e-5 * max(1, float(double.abs().max()))


def test_constants_are_those_of_the_papers():
    assert pytest.approx(math.log(1 / 0.07)) == LOG_SCALE_OF_SOFTMAX
    assert pytest.approx(math.log(10)) == LOG_SCALE_OF_SIGMOID
    assert pytest.approx(math.log(100)) == LARGEST_LOG_SCALE


def test_unit_features_have_length_one_and_zeros_stay():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    y = unit(x)
    assert y.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]
    y.sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("loss", [softmax_loss, lambda i, t, s, **k: sigmoid_loss(i, t, s, s, **k)])
def test_what_does_not_fit_is_refused(loss):
    images, texts = pairs(3, 4)
    with pytest.raises(ValueError, match=r"got shapes \(3, 4\) and \(2, 4\)"):
        loss(images, texts[:2], scalar(0.0))
    with pytest.raises(ValueError, match="at least one"):
        loss(images[:0], texts[:0], scalar(0.0))
    with pytest.raises(ValueError, match="a group for each of 3 pairs"):
        loss(images, texts, scalar(0.0), groups=torch.zeros(2))


class Held(TorchDispatchMode):
    """Counts the bytes of the tensors alive at the same time."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self._seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for x in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(x, torch.Tensor) and x.untyped_storage()._cdata not in self._seen:
                self._add(x.untyped_storage())
        return made

    def _add(self, storage):
        key, size = storage._cdata, storage.nbytes()
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key, size):
        self._seen.discard(key)
        self.now -= size


class TestMemory:
    N, CHUNK, DIM = 512, 32, 8

    def peak(self, chunk, loss):
        images, texts = pairs(self.N, self.DIM, dtype=torch.float32)
        with Held() as held:
            loss(images, texts, chunk).backward()
        return held.peak

    @pytest.mark.parametrize(
        "loss",
        [
            lambda i, t, c: softmax_loss(i, t, torch.zeros((), requires_grad=True), chunk=c),
            lambda i, t, c: sigmoid_loss(
                i, t, torch.zeros((), requires_grad=True), torch.zeros((), requires_grad=True), chunk=c
            ),
        ],
    )
    def test_chunks_of_rows_are_all_that_is_held_forward_and_backward(self, loss):
        block, features = 4 * self.CHUNK * self.N, 4 * self.N * self.DIM
        assert self.peak(self.CHUNK, loss) < 5 * block + 12 * features
        assert self.peak(None, loss) > 2 * 4 * self.N**2
