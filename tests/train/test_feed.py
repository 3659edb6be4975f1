import numpy as np
import pytest
import torch

from assay.train.batches import Batches
from assay.train.feed import Feed


class Pass:
    """Can be iterated again, without a length or a state."""

    def __init__(self, *values):
        self.values = values

    def __iter__(self):
        return iter([(value,) for value in self.values])


def take(feed, groups, count=1):
    found = [feed.group(count, "cpu") for _ in range(groups)]
    return [None if group is None else [batch[0] for batch in group] for group in found]


def test_one_pass_unless_endless():
    assert take(Feed(Pass(1, 2), endless=False), 3) == [[1], [2], None]
    assert take(Feed(Pass(1, 2), endless=True), 5) == [[1], [2], [1], [2], [1]]


def test_what_can_be_iterated_once_ends():
    assert take(Feed(iter([(1,), (2,)]), endless=True), 3) == [[1], [2], None]
    assert take(Feed(Pass(), endless=True), 1) == [None]


def test_groups_reach_over_passes_and_are_whole():
    assert take(Feed(Pass(1, 2, 3), endless=True), 3, count=2) == [[1, 2], [3, 1], [2, 3]]
    assert take(Feed(Pass(1, 2, 3), endless=False), 2, count=2) == [[1, 2], None]


def test_no_batch_is_drawn_before_it_is_needed():
    drawn = []

    def numbers():
        for i in range(10):
            drawn.append(i)
            yield (i,)

    feed = Feed(numbers(), endless=True)
    feed.group(2, "cpu")
    assert drawn == [0, 1]


def test_epochs_are_counted_in_parts_where_the_length_is_known():
    feed = Feed(Batches(torch.zeros(8), 2, np.random.default_rng(0)), endless=True)
    take(feed, 6)
    assert feed.epochs == 1.5
    unknown = Feed(Pass(1, 2), endless=True)
    take(unknown, 5)
    assert unknown.epochs == 2


def test_tensors_are_moved_and_other_things_are_not():
    [[batch]] = [Feed(iter([(torch.ones(2), "word", 3)]), endless=False).group(1, "meta")]
    assert batch[0].device.type == "meta"
    assert batch[1:] == ("word", 3)


@pytest.mark.parametrize("taken", range(7))
@pytest.mark.parametrize("kind", ["batches", "pass"])
def test_resumes_at_any_batch(taken, kind):
    def make():
        if kind == "pass":
            return Feed(Pass(1, 2, 3), endless=True)
        return Feed(Batches(torch.arange(6), 2, np.random.default_rng(0)), endless=True)

    def values(feed, count):
        return [torch.as_tensor(group).tolist() if kind == "pass" else group[0].tolist()
                for group in take(feed, count)]  # fmt: skip

    plain = values(make(), 10)
    first, second = make(), make()
    found = values(first, taken)
    second.load_state_dict(first.state_dict())
    assert second.taken == taken
    assert found + values(second, 10 - taken) == plain
    assert second.epochs == pytest.approx(10 / 3 if kind == "batches" else 3)


def test_too_few_batches_to_pass_over_are_named():
    state = {"taken": 5, "passes": 0, "batches": None}
    with pytest.raises(ValueError, match="expected 5 batches to pass over, got 2"):
        Feed(iter([(1,), (2,)]), endless=False).load_state_dict(state)


def test_whatever_can_be_moved_is_moved():
    class Parts:
        def to(self, device, **options):
            return f"parts on {device}"

    feed = Feed([(torch.zeros(2), Parts(), 3)], endless=False)
    [(tensor, parts, number)] = feed.group(1, "meta")
    assert (tensor.device.type, parts, number) == ("meta", "parts on meta", 3)
