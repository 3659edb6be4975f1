import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.pairs import Pairs
from assay.image_text.captions import Captions, PairBatches, all_texts
from assay.image_text.tokenizer import train_tokenizer

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def tokenizer(pairs):
    return train_tokenizer(all_texts(pairs), vocab_size=300, length=16)


def texts_of(tokenizer, tokens):
    return [tokenizer._model.decode(row.tolist()).strip() for row in tokens]


def test_every_text_of_every_language_is_drawn_equally_often(pairs, tokenizer):
    captions = Captions(pairs, tokenizer)
    rng = np.random.default_rng(0)
    drawn = texts_of(tokenizer, captions.drawn(np.zeros(4000, np.int64), rng))
    counts = {text: drawn.count(text) for text in set(drawn)}
    assert set(counts) == set(pairs.texts(0))
    assert abs(counts["红色方形"] - 2000) < 200  # Half of the time its only Chinese text,
    assert abs(counts["red square"] - 1000) < 150  # and a quarter each of the English ones.


def test_a_language_without_a_text_is_not_drawn(pairs, tokenizer):
    captions = Captions(pairs, tokenizer)
    drawn = texts_of(tokenizer, captions.drawn(np.full(200, 12), np.random.default_rng(0)))
    assert set(drawn) == {"red square", "a square in red"}


def test_only_the_languages_asked_for_are_drawn(pairs, tokenizer):
    captions = Captions(pairs, tokenizer, ["en"])
    drawn = texts_of(tokenizer, captions.drawn(np.zeros(100, np.int64), np.random.default_rng(0)))
    assert set(drawn) == {"red square", "a square in red"}
    assert all_texts(pairs, ["zh"])[:2] == ["红色方形", "红色横形"]
    with pytest.raises(ValueError, match="pair 12 has no text in zh"):
        Captions(pairs, tokenizer, ["zh"])


def batches(pairs, tokenizer, batch_size=8):
    def inputs(indices, rng):
        return torch.from_numpy(indices + rng.random(len(indices)))

    return PairBatches(inputs, Captions(pairs, tokenizer).drawn, pairs.groups, batch_size, Run(seed=1))


def test_an_epoch_shows_every_pair_once_with_its_own_text(pairs, tokenizer):
    made = batches(pairs, tokenizer)
    assert len(made) == 3
    shown = []
    for images, tokens, groups in made:
        indices = images.long().tolist()
        shown += indices
        assert groups.tolist() == pairs.groups[indices].tolist()
        for index, text in zip(indices, texts_of(tokenizer, tokens), strict=True):
            assert text in pairs.texts(index)
    assert sorted(shown) == list(range(24))


def test_is_resumed_at_any_batch(pairs, tokenizer):
    whole = batches(pairs, tokenizer)
    expected = [batch for _ in range(2) for batch in whole]
    for stop in range(len(expected)):
        first = batches(pairs, tokenizer)
        taken = 0
        while taken < stop:
            for _ in first:
                taken += 1
                if taken == stop:
                    break
        second = batches(pairs, tokenizer)
        second.load_state_dict(first.state_dict())
        rest = list(second)
        for got, wanted in zip(rest, expected[stop:], strict=False):
            assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_few_pairs_are_one_batch(pairs, tokenizer):
    made = batches(pairs, tokenizer, batch_size=1000)
    assert made.batch_size == 24
    assert len(made) == 1


@pytest.fixture(scope="module")
def tagged(pairs):
    few = [pairs.images([i], 16)[0] for i in range(3)]
    tags = {"tags_en": [["warm", "bright"], [], ["cold"]]}
    return Pairs.of(few, {"en": ["red", "green", "blue"], "zh": ["红", "绿", "蓝"]}, columns=tags)


def test_so_large_a_share_of_the_draws_are_tags(tagged):
    tokenizer = train_tokenizer(all_texts(tagged, tags=True), vocab_size=300, length=16)
    captions = Captions(tagged, tokenizer, tags=0.4)
    drawn = texts_of(tokenizer, captions.drawn(np.zeros(4000, np.int64), np.random.default_rng(0)))
    counts = {text: drawn.count(text) / 4000 for text in set(drawn)}
    assert counts == pytest.approx({"red": 0.3, "红": 0.3, "warm": 0.2, "bright": 0.2}, abs=0.04)
    # A pair without tags, and a language without a column of them.
    assert set(texts_of(tokenizer, captions.drawn(np.full(200, 1), np.random.default_rng(0)))) == {
        "green",
        "绿",
    }
    chinese = Captions(tagged, tokenizer, ["zh"], tags=1.0)
    assert texts_of(tokenizer, chinese.drawn(np.arange(3), np.random.default_rng(0))) == ["红", "绿", "蓝"]


def test_tags_are_texts_where_they_are_asked_for(tagged):
    assert all_texts(tagged) == ["red", "红", "green", "绿", "blue", "蓝"]
    assert all_texts(tagged, ["en"], tags=True) == ["red", "green", "blue", "warm", "bright", "cold"]
