import warnings

import numpy as np
import pytest

from assay.image_text.tokenizer import Rules, Tokenizer, canonical, train_tokenizer

tokenizers = pytest.importorskip("tokenizers")

CAPTIONS = ["red apple", "green apple", "red heart", "grinning face", "红苹果", "笑脸"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(CAPTIONS, vocab_size=300, length=8)


def test_every_text_has_tokens_and_comes_back(tokenizer):
    long = Tokenizer(tokenizer._model, Rules.clip(length=30, start=1, end=2, pad=0))
    for text in ["red apple", "é🙂", "红心", "a\tb"]:
        row = long([text])[0]
        assert row[0] == 1
        assert (row == 2).sum() == 1
    ids = tokenizer(["Red Apple"])[0, 1:-1]
    assert tokenizer._model.decode(ids.tolist()).strip() == "red apple"
    assert tokenizer.vocab_size <= 300


def test_rows_are_filled_to_the_longest(tokenizer):
    rows = tokenizer(["red", "red apple green heart"])
    assert rows.dtype == np.int64
    end = rows[0].tolist().index(2)
    assert (rows[0, end + 1 :] == 0).all()
    assert rows[1, -1] == 2


def test_a_text_that_is_cut_keeps_its_end_and_is_told(tokenizer):
    with pytest.warns(UserWarning, match="1 of 2 texts have more than 6 tokens and were cut: 'zzzz"):
        rows = tokenizer(["red", "zzzz qqqq xxxx"])
    assert rows.shape == (2, 8)
    assert rows[1, -1] == 2


def test_an_empty_text_is_named(tokenizer):
    with pytest.raises(ValueError, match="text 1: expected words, got '  '"):
        tokenizer(["red", "  "])


def test_siglip_is_always_full():
    model = train_tokenizer(CAPTIONS, vocab_size=300, length=8)._model
    rows = Tokenizer(model, Rules.siglip(end=2))(["Red, apple!", "heart"])
    assert rows.shape == (2, 64)
    assert (rows[:, -1] == 2).all()
    assert (Tokenizer(model, Rules.siglip(end=2))(["red apple"]) == rows[0]).all()
    with pytest.raises(ValueError, match="text 0"):
        Tokenizer(model, Rules.siglip(end=2))(["?!"])


def test_siglip2_keeps_punctuation_but_not_case():
    model = train_tokenizer(CAPTIONS, vocab_size=300, length=8)._model
    rules = Rules.siglip2(end=2)
    rows = Tokenizer(model, rules)(["Red, apple!", "heart"])
    assert rows.shape == (2, 64)
    assert (rows[:, -1] == 0).all()
    assert ((rows == 2).sum(axis=1) == 1).all()
    assert rules.prepared("Red, apple!") == "red, apple!"


def test_clip_pads_with_its_end_by_default():
    assert Rules.clip() == Rules(length=77, start=49406, end=49407, pad=49407)


def test_canonical_texts():
    assert canonical("  A  Photo, of\na (Cat)! ") == "a photo of a cat"


def test_is_saved_and_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = Tokenizer.load(tmp_path)
    assert again.rules == tokenizer.rules
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(again(CAPTIONS), tokenizer(CAPTIONS))
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer, got FileNotFoundError"):
        Tokenizer.load(tmp_path / "nowhere")
    (tmp_path / "assay_tokenizer.json").write_text('{"length": 8}')
    with pytest.raises(ValueError, match=r"assay_tokenizer\.json: expected a tokenizer's rules"):
        Tokenizer.load(tmp_path)


def test_what_a_published_tokenizer_adds_is_not_added_twice(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    model = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    model.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", 1), ("<|endoftext|>", 2)],
    )
    model.enable_padding(length=50)
    assert np.array_equal(Tokenizer(model, tokenizer.rules)(["red apple"]), tokenizer(["red apple"]))


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ValueError, match="at least 259 tokens, got 100"):
        train_tokenizer(CAPTIONS, vocab_size=100, length=8)
