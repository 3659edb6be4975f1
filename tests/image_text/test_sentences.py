import json

import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.data.fetch import FetchError
from assay.image_text import sentences
from assay.image_text.bert import Bert, BertConfig
from assay.image_text.captions import all_texts
from assay.image_text.clip import CLIP
from assay.image_text.model import ImageTextModel
from assay.image_text.sentences import Sentences, SentencesConfig
from assay.image_text.towers import build_text, from_json, to_json

SIZES = {
    "vocab_size": 12,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 8,
}
CONFIG = SentencesConfig(**SIZES, num_words=20, width=6, unknown=3)
TOKENS = torch.tensor([[1, 5, 9, 2], [1, 15, 2, 0], [1, 5, 9, 2], [1, 3, 2, 0]])


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return build_text(CONFIG)


def test_states_are_the_encoders_and_kept(tower, monkeypatch):
    wanted = torch.nn.functional.normalize(tower.encoder(torch.where(TOKENS < 12, TOKENS, 3)), dim=1)
    found = tower.states(TOKENS)
    assert torch.allclose(found, wanted, atol=1e-6)
    monkeypatch.setattr(tower.encoder, "forward", lambda tokens: pytest.fail(f"asked again of {tokens}"))
    wider = torch.nn.functional.pad(TOKENS[[2, 1]], (0, 3))  # Filling makes no other text.
    assert torch.equal(tower.states(wider), found[[2, 1]])


def test_no_more_states_are_kept_than_there_is_room_for(tower, monkeypatch):
    monkeypatch.setattr(sentences, "_KEPT", 3)
    first = tower.states(TOKENS)
    other = torch.tensor([[1, 7, 2, 0], [1, 5, 9, 2]])
    again = tower.states(other)
    assert torch.allclose(again[1], first[0], atol=1e-6)
    assert len(tower._known) == 2


def test_states_asked_for_without_gradients_serve_a_training(tower):
    with torch.inference_mode():
        tower.states(TOKENS)
    tower(TOKENS).sum().backward()
    trained = {name for name, p in tower.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in tower.named_parameters() if not name.startswith("encoder.")}


def test_features_by_hand(tower):
    with torch.no_grad():
        tower.embedding.weight.normal_()
        tower.embedding.weight[0] = 0
    gelu = torch.nn.functional.gelu
    for tokens, found in zip(TOKENS, tower(TOKENS), strict=True):
        kept = tokens[tokens != 0]
        words = tower.embedding.weight[kept].mean(dim=0)
        state = tower.encoder(torch.where(kept < 12, kept, 3)[None])[0]
        state = 0.2 * 12**0.5 * state / state.norm()
        wanted = words + tower.word2(gelu(tower.word1(words)))
        wanted = wanted + tower.meaning(state) + tower.meaning2(gelu(tower.meaning1(state)))
        assert torch.allclose(found, wanted, atol=1e-5)


def test_the_configuration_is_written_and_read():
    assert from_json(json.loads(json.dumps(to_json(CONFIG)))) == CONFIG


def test_characters_that_the_vocabulary_lacks_get_tokens(pairs):
    package = pytest.importorskip("tokenizers")
    known = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3, "red": 4, "square": 5, "色": 6}
    words = package.Tokenizer(package.models.WordPiece(known, unk_token="[UNK]"))
    words.pre_tokenizer = package.pre_tokenizers.BertPreTokenizer()
    from assay.image_text.tokenizer import Rules, Tokenizer

    tokenizer = Tokenizer(words, Rules(length=12, start=1, end=2, pad=0))
    encoder = Bert(BertConfig(**{**SIZES, "vocab_size": 7}))
    tower = Sentences.around(encoder, tokenizer, all_texts(pairs))
    new = sorted({c for text in all_texts(pairs, ["zh"]) for c in text} - {"色"})
    assert tower.config.num_words == 7 + len(new) == tokenizer.vocab_size
    assert tokenizer(["红色方形"]).tolist() == [
        [1, 7 + new.index("红"), 6, *(7 + new.index(c) for c in "方形"), 2]
    ]
    assert tokenizer(["red bar"]).tolist() == [[1, 4, 3, 2]]
    assert tower(torch.from_numpy(tokenizer(["红色方形", "red bar"]))).shape == (2, 256)


def test_learns_and_is_saved_without_changing_the_encoder(pairs, small, tmp_path):
    pytest.importorskip("tokenizers")
    text = SentencesConfig(
        **{**SIZES, "vocab_size": 300, "max_position_embeddings": 24}, num_words=300, width=16
    )
    method = CLIP(**{**small, "text": text, "examples": 600})
    model = method.fit(pairs, run=Run())
    encoder = model.module.text_model.encoder
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    assert not any("encoder" in name for name in model.moments[0].weights)
    losses = [value for _, value in model.history.curve("loss")]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path)
    again = ImageTextModel.load(tmp_path)
    assert np.allclose(again.scores(pairs, ["red bar"]), model.scores(pairs, ["red bar"]), atol=1e-6)


def test_real_weights_bring_texts_of_one_meaning_together(pairs, small):
    pytest.importorskip("tokenizers")
    method = CLIP(**{**small, "text": "sentences"})
    try:
        module, tokenizer = method.towers(pairs, Run(), log_scale=1.0)
    except FetchError as error:
        pytest.skip(str(error))
    said = torch.from_numpy(tokenizer(["a beverage", "something to drink", "a mountain", "红色方形"]))
    states = module.text_model.states(said)
    assert states[0] @ states[1] > states[0] @ states[2] + 0.2
    assert module.text_model.config.num_words > 30522
    assert 100 not in said[3].tolist()
