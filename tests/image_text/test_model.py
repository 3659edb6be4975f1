import json

import numpy as np
import pytest

from assay.core.run import Run
from assay.data.pictures import encode_png
from assay.image_text.clip import CLIP
from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.model import ImageTextModel, gallery_of
from assay.image_text.processor import ImageProcessor
from assay.image_text.siglip_model import SigLIPConfig, SigLIPModel, SigLIPVisionConfig
from assay.image_text.siglip_towers import SigLIPTextConfig
from assay.image_text.text_transformer import TextConfig
from assay.image_text.tokenizer import Rules, Tokenizer, train_tokenizer

pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def model(pairs, small):
    return CLIP(**{**small, "examples": 1200}).fit(pairs, run=Run())


def test_embeddings_have_length_one(model, pairs):
    images, texts = model.encode_image(pairs), model.encode_text(["red bar", "blue square"])
    assert images.shape == (24, 16)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.allclose(model.scores(pairs, ["red bar", "blue square"]), images @ texts.T, atol=1e-6)


def test_pictures_and_pairs_are_encoded_alike(model, pairs):
    pictures = list(pairs.images(size=16))
    assert np.allclose(model.encode_image(pictures), model.encode_image(pairs), atol=1e-5)


def test_search_finds_the_best_pictures_in_order(model, pairs):
    found = model.search("blue square", 3)
    assert found[0].text == "blue square"
    assert found[0].similarity >= found[1].similarity >= found[2].similarity
    own = model.search("blue square", 30, pairs)
    assert len(own) == 24
    assert {own[0].index, own[1].index} == {6, 18}


def test_predicts_the_best_of_its_own_texts(model, pairs, tmp_path):
    right = np.array([pairs.texts(i % 12)[0] for i in range(24)])
    predicted = model.predict(pairs)
    assert (predicted == right).mean() > 0.9
    (tmp_path / "texts.jsonl").write_text(
        "".join(json.dumps({"image": f"{i}.png", "text": "anything"}) + "\n" for i in (4, 1))
    )
    for i in (4, 1):
        (tmp_path / f"{i}.png").write_bytes(encode_png(pairs.images([i], 16)[0]))
    assert model.predict(tmp_path / "texts.jsonl").tolist() == predicted[[4, 1]].tolist()


def test_names_are_classes(model, pairs):
    scores = model.zero_shot(pairs, ["red", "green", "blue", "black"], ["{}", "a {} thing"])
    assert scores.shape == (24, 4)
    assert np.mean(scores.argmax(axis=1) == np.arange(24) // 3 % 4) > 0.7


def test_is_saved_and_loaded(model, pairs, tmp_path):
    model.facts = {"kept": 3}
    model.save(tmp_path)
    again = ImageTextModel.load(tmp_path)
    assert np.array_equal(again.scores(pairs, ["red bar"]), model.scores(pairs, ["red bar"]))
    assert again.facts == {"kept": 3}
    assert len(again.gallery) == 12
    assert again.processor == model.processor
    assert again.tokenizer.rules == model.tokenizer.rules


def test_its_moments_lead_to_what_it_is(model, pairs):
    last = model.scores(pairs, ["red bar"])
    first = model.at(model.moments[0]).scores(pairs, ["red bar"])
    assert not np.allclose(first, last)
    assert np.array_equal(model.at(model.moments[-1]).scores(pairs, ["red bar"]), last)


def test_encoding_leaves_the_training_mode_as_it_was(model, pairs):
    model.module.train()
    one = model.encode_image(list(pairs.images(size=16)))
    assert model.module.training
    model.module.train(False)
    assert np.array_equal(model.encode_image(list(pairs.images(size=16))), one)


def test_a_clip_in_hugging_faces_layout_is_a_model(pairs, tmp_path):
    words = train_tokenizer(["red bar", "blue square"], vocab_size=300, length=12)
    text = TextConfig(
        vocab_size=words.vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=1,
        eos_token_id=5,
    )
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    module = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    module.save_pretrained(tmp_path)
    words.save(tmp_path)
    (tmp_path / "assay_tokenizer.json").unlink()  # The hub knows of no such file.
    ImageProcessor(size=16).save(tmp_path)
    model = ImageTextModel.load(tmp_path)
    assert model.tokenizer.rules == Rules.clip(length=12, start=1, end=5, pad=5)
    scores = model.scores(pairs, ["red bar"])
    pixels = ImageProcessor(size=16)(list(pairs.images(size=16)))
    import torch

    tokens = torch.from_numpy(Tokenizer(words._model, model.tokenizer.rules)(["red bar"]))
    logits = module.train(False)(torch.from_numpy(pixels), tokens) / module.logit_scale.exp()
    assert np.allclose(scores, logits.detach().numpy(), atol=1e-5)
    model.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == "clip"
    assert np.array_equal(ImageTextModel.load(tmp_path / "again").scores(pairs, ["red bar"]), scores)


def test_a_siglip_in_hugging_faces_layout_is_a_model(pairs, tmp_path):
    words = train_tokenizer(["red bar", "blue square"], vocab_size=300, length=12)
    text = SigLIPTextConfig(
        vocab_size=words.vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=20,
    )
    vision = SigLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    SigLIPModel(SigLIPConfig(text_config=text, vision_config=vision)).save_pretrained(tmp_path)
    words.save(tmp_path)
    (tmp_path / "assay_tokenizer.json").unlink()
    ImageProcessor(size=16, fit="stretch").save(tmp_path)
    model = ImageTextModel.load(tmp_path)
    assert model.tokenizer(["Red, bar!"]).shape == (1, 20)
    assert np.array_equal(model.scores(pairs, ["Red, bar!"]), model.scores(pairs, ["red bar"]))


def test_other_folders_are_refused(model, tmp_path):
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "dim": 20}))
    with pytest.raises((ValueError, RuntimeError)):
        ImageTextModel.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match="a model of images and texts, got 'vit'"):
        ImageTextModel.load(tmp_path)


def test_a_gallery_shows_as_many_groups_as_it_can(pairs):
    assert len(gallery_of(pairs)) == 12
    few = gallery_of(pairs, limit=5)
    assert len(set(few.groups.tolist())) == 5


def test_without_a_gallery_there_is_nothing_to_search(model):
    bare = ImageTextModel(model.module, model.tokenizer, model.processor)
    with pytest.raises(ValueError, match="expected pictures to search, got none"):
        bare.search("red")
    with pytest.raises(ValueError, match="expected texts to choose from, got none"):
        bare.predict(model.gallery)
