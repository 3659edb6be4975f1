import toy_task

from assay import catalog
from assay.app.cards import cards, reference

DOCSTRING = """A method.

Reference:
    One, Two. "A title
    on two lines". Venue 2001.
    Three. "Another". 2002.
    Implements: Eq. (1).
    Verified: everything.
"""


def test_reference_is_the_papers_in_one_line():
    assert reference(DOCSTRING) == 'One, Two. "A title on two lines". Venue 2001. Three. "Another". 2002.'
    assert reference("A method without a paper.") == ""


def test_every_method_of_the_catalog_has_a_card_with_a_paper():
    for name in catalog.TASKS:
        task = catalog.task(name)
        found = list(cards(task))
        assert [card.name for card in found] == [*task.methods, *task.peers]
        for card in found:
            assert card.what
            assert "\n" not in card.what + card.paper
            assert card.peer == (card.name in task.peers)
            assert card.paper or card.peer


def test_methods_given_as_classes(monkeypatch):
    found = {card.name: card for card in cards(toy_task.task)}
    assert found["mean"].what == "The arithmetic mean, plus a constant error."
    assert found["missing-peer"].missing == "a-package"
    assert found["missing-peer"].peer
    assert found["peer-mean"].missing is None
    monkeypatch.setattr("assay.app.cards.installed_methods", lambda task: {"extra": toy_task.Median})
    names = [card.name for card in cards(toy_task.task)]
    assert names == ["mean", "median", "extra", "peer-mean", "missing-peer"]
