import torch
from torch import nn

from assay.core.budget import Budget
from assay.core.run import Run
from assay.train.moments import Moments


def counted(moments, model, steps):
    """Steps that each set the weight to their number."""
    for _ in range(steps):
        with torch.no_grad():
            model.weight.fill_(moments.step + 1)
        moments()


def test_keeps_the_weights_whenever_another_part_is_done():
    model = nn.Linear(1, 1)
    moments = Moments(model, Run(), steps=10, batch_size=3, epoch=30, count=4)
    counted(moments, model, 10)
    assert [moment.examples for moment in moments.kept] == [9, 15, 24, 30]
    assert [float(moment.weights["weight"]) for moment in moments.kept] == [3, 5, 8, 10]
    assert moments.done == 1


def test_a_budget_takes_the_place_of_the_steps():
    model = nn.Linear(1, 1)
    for words, steps in (("4steps", 4), ("2epochs", 6), ("60examples", 20)):
        moments = Moments(model, Run(budget=Budget.parse(words)), steps=1000, batch_size=3, epoch=9, count=2)
        counted(moments, model, steps)
        assert moments.done == 1
        assert [moment.examples for moment in moments.kept] == [3 * steps // 2, 3 * steps]


def test_leaves_out_what_does_not_change_and_can_keep_nothing():
    model = nn.ModuleDict({"tower": nn.Linear(1, 1), "head": nn.Linear(1, 1)})
    moments = Moments(model, Run(), steps=1, batch_size=1, epoch=1, without="tower.")
    moments()
    assert set(moments.kept[0].weights) == {"head.weight", "head.bias"}
    model["head"].bias.requires_grad_(False)
    frozen = Moments(model, Run(), steps=1, batch_size=1, epoch=1)
    frozen()
    assert set(frozen.kept[0].weights) == {"tower.weight", "tower.bias", "head.weight"}
    none = Moments(model, Run(), steps=1, batch_size=1, epoch=1, count=0)
    none()
    assert (none.step, none.kept) == (1, [])


def test_goes_on_where_it_was():
    model = nn.Linear(1, 1)
    one = Moments(model, Run(), steps=8, batch_size=1, epoch=8, count=4)
    counted(one, model, 5)
    two = Moments(model, Run(), steps=8, batch_size=1, epoch=8, count=4)
    two.load_state_dict(one.state_dict())
    counted(two, model, 3)
    assert [moment.examples for moment in two.kept] == [2, 4, 6, 8]
    assert [float(moment.weights["weight"]) for moment in two.kept] == [2, 4, 6, 8]
