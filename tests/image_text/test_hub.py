import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.app.search import Search
from assay.data.pictures import encode_png
from assay.image_text.clip_model import CLIPModel
from assay.image_text.hub import load_tokenizer
from assay.image_text.model import ImageTextModel
from assay.image_text.processor import ImageProcessor, NaFlexProcessor
from assay.image_text.siglip2_model import SigLIP2Model
from assay.image_text.siglip_model import SigLIPModel
from assay.image_text.tokenizer import Rules

pytest.importorskip("PIL")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:.* texts have more than .* and were cut")

TEXTS = ["Red bar!", "a  BLUE square, red", "red blue red blue red blue red blue red blue red blue"]
PLAIN = ["red bar", "a blue square red", "red blue red blue red blue red blue red blue red blue"]
"""As SigLIP's texts are prepared, which none of transformers' fast tokenizers does."""
LENGTH = 12
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SQUARE = {"height": 16, "width": 16}


def numbered(special, joint=""):
    """Numbers for the special tokens, then for some letters, alone and with `joint` behind them."""
    alone = list("abdelqrsu")
    written = [*special, *alone, *(letter + joint for letter in alone if joint)]
    return {token: number for number, token in enumerate(written)}


def clip():
    vocabulary = numbered(["!", "#", "$"], "</w>")
    vocabulary |= {mark: len(vocabulary) + i for i, mark in enumerate(["<|startoftext|>", "<|endoftext|>"])}
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=LENGTH)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=SQUARE)
    text = {**SIZES, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    # As in the published files; they are another tokenizer's, and 2 stands for "the largest number".
    text |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    vision = {**SIZES, "image_size": 16, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    return transformers.CLIPModel(config), transformers.CLIPProcessor(images, tokenizer)


def siglip():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((c, -3.0) for c in "abdelqrsu")]
    fast = tokenizers.Tokenizer(tokenizers.models.Unigram([*pieces, ("▁red", -1.0)], unk_id=2))
    fast.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    fast.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=LENGTH
    )
    images = transformers.SiglipImageProcessor(size=SQUARE)
    text = {**SIZES, "vocab_size": len(pieces) + 1, "max_position_embeddings": LENGTH}
    vision = {**SIZES, "image_size": 16, "patch_size": 8}
    config = transformers.SiglipConfig(text_config=text, vision_config=vision)
    return transformers.SiglipModel(config), transformers.SiglipProcessor(images, tokenizer)


def siglip2():
    vocabulary = numbered(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"])
    tokenizer = transformers.Siglip2Tokenizer(
        vocab=vocabulary, merges=[], add_eos_token=True, padding_side="right", model_max_length=LENGTH
    )
    images = transformers.Siglip2ImageProcessor(patch_size=4, max_num_patches=12)
    text = {**SIZES, "vocab_size": len(vocabulary), "max_position_embeddings": LENGTH, "projection_size": 16}
    vision = {**SIZES, "num_patches": 9, "patch_size": 4}
    config = transformers.Siglip2Config(text_config=text, vision_config=vision)
    return transformers.Siglip2Model(config), transformers.Siglip2Processor(images, tokenizer)


KINDS = {"clip": clip, "siglip": siglip, "siglip2": siglip2}


def pictures():
    """Of several proportions."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in [(16, 16), (30, 20), (12, 40)]]


def cosines(model, processor, texts):
    """transformers' similarities of the pictures and texts, prepared by its own processor."""
    filled = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "pt"}
    inputs = dict(processor.tokenizer(texts, **filled))
    inputs |= processor.image_processor(pictures(), return_tensors="pt", input_data_format="channels_last")
    if not isinstance(model, transformers.CLIPModel):
        del inputs["attention_mask"]  # Neither SigLIP was trained with one.
    inputs.pop("token_type_ids", None)
    with torch.inference_mode():
        out = model.train(False)(**inputs)
    return (out.image_embeds @ out.text_embeds.T).numpy()


@pytest.fixture(params=KINDS)
def saved(request, tmp_path):
    """A kind, a model of transformers with its processor, and the folder both are saved in."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model, processor = KINDS[request.param]()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.2 * torch.randn(p.shape))
    folder = tmp_path / "theirs"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return request.param, model, processor, folder


def test_similarities_are_transformers_own_through_folders_of_either(saved, tmp_path):
    kind, model, processor, folder = saved
    ours = ImageTextModel.load(folder)
    wanted = cosines(model, processor, PLAIN if kind == "siglip" else TEXTS)
    assert np.ptp(wanted) > 0.05
    assert np.abs(ours.scores(pictures(), TEXTS) - wanted).max() < 1e-5

    ours.save(tmp_path / "ours")
    reloaded = ImageTextModel.load(tmp_path / "ours")
    assert np.array_equal(reloaded.scores(pictures(), TEXTS), ours.scores(pictures(), TEXTS))
    again = transformers.AutoModel.from_pretrained(tmp_path / "ours")
    assert type(again) is type(model)
    prepared = transformers.AutoProcessor.from_pretrained(tmp_path / "ours")
    assert type(prepared) is type(processor)
    found = cosines(again, prepared, PLAIN if kind == "siglip" else TEXTS)
    assert np.abs(found - wanted).max() < 1e-5


def test_the_rules_are_those_that_the_tokenizer_itself_has(saved):
    kind, _, _, folder = saved
    models = {"clip": CLIPModel, "siglip": SigLIPModel, "siglip2": SigLIP2Model}
    wanted = {
        "clip": Rules.clip(length=LENGTH, start=21, end=22, pad=22),  # Not 0 and 2, as config.json has it.
        "siglip": Rules.siglip(length=LENGTH),
        "siglip2": Rules.siglip2(length=LENGTH),
    }
    assert load_tokenizer(folder, models[kind].from_pretrained(folder)).rules == wanted[kind]


def test_a_folder_of_the_hub_itself_describes_images_in_a_file_of_its_own(saved):
    kind, _, processor, folder = saved
    nested = ImageTextModel.load(folder).processor
    (folder / "processor_config.json").unlink()
    processor.image_processor.save_pretrained(folder)
    found = ImageTextModel.load(folder).processor
    assert found == nested
    assert isinstance(found, NaFlexProcessor if kind == "siglip2" else ImageProcessor)


def test_a_clip_goes_to_open_clip_s_layout_and_back(saved, tmp_path):
    kind, _, _, folder = saved
    ours, there = ImageTextModel.load(folder), tmp_path / "there"
    if kind != "clip":
        with pytest.raises(ValueError, match=r"expected a CLIPModel, as open_clip has them, got SigLIP"):
            ours.save_open_clip(there)
        return
    ours.save_open_clip(there)
    assert not (there / "config.json").exists()
    again = ImageTextModel.load(there)
    assert again.tokenizer.rules == ours.tokenizer.rules
    assert np.array_equal(again.scores(pictures(), TEXTS), ours.scores(pictures(), TEXTS))
    ours.tokenizer.rules = replace(ours.tokenizer.rules, end=21)
    with pytest.raises(ValueError, match="open_clip ends texts with the last token, 22, this model with 21"):
        ours.save_open_clip(there)


def test_is_searched_and_knows_classes(saved, tmp_path, capsys):
    folder, own, sheet = saved[3], tmp_path / "own", tmp_path / "found.png"
    own.mkdir()
    for i, picture in enumerate(pictures()):
        (own / f"{i}.png").write_bytes(encode_png(picture))
        (own / f"{i}.txt").write_text(f"picture {i}")
    assert Search(model=folder, text="red bar", data=str(own), sheet=sheet).run() == 0
    model = ImageTextModel.load(folder)
    best = int(model.scores(pictures(), ["red bar"])[:, 0].argmax())
    assert f"picture {best}" in capsys.readouterr().out.splitlines()[1]
    scores = model.zero_shot(pictures(), ["red", "blue"], ["{}", "a {}"])
    mean = model.encode_text(["red", "a red"]).mean(axis=0)
    assert np.allclose(scores[:, 0] * np.linalg.norm(mean), model.encode_image(pictures()) @ mean, atol=1e-5)
    with pytest.raises(ValueError, match="expected pictures to search, got none"):
        Search(model=folder, text="red bar", sheet=sheet).run()


def test_siglips_own_tokenizer_is_read(tmp_path):
    """What transformers saves of it is spiece.model alone."""
    pytest.importorskip("sentencepiece")
    from trained_spiece import trained

    (tmp_path / "spiece.model").write_bytes(trained())
    tokenizer = transformers.SiglipTokenizer(str(tmp_path / "spiece.model"), model_max_length=LENGTH)
    model, processor = siglip()
    config = model.config.to_dict()
    config["text_config"] |= {"vocab_size": len(tokenizer)}
    model = transformers.SiglipModel(transformers.SiglipConfig(**config))
    processor = transformers.SiglipProcessor(processor.image_processor, tokenizer)
    folder = tmp_path / "theirs"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    assert not (folder / "tokenizer.json").exists()
    wanted = cosines(model, processor, TEXTS)  # It prepares texts itself.
    ours = ImageTextModel.load(folder)
    assert np.abs(ours.scores(pictures(), TEXTS) - wanted).max() < 1e-5
    ours.save(tmp_path / "ours")
    assert np.array_equal(
        ImageTextModel.load(tmp_path / "ours").scores(pictures(), TEXTS), ours.scores(pictures(), TEXTS)
    )
    fast = transformers.AutoProcessor.from_pretrained(tmp_path / "ours")
    assert np.abs(cosines(model, fast, PLAIN) - wanted).max() < 1e-5


def test_weights_in_half_precision_are_models_too(saved):
    _, model, processor, folder = saved
    model.half().save_pretrained(folder)
    wanted = cosines(model.float(), processor, PLAIN)
    assert np.abs(ImageTextModel.load(folder).scores(pictures(), PLAIN) - wanted).max() < 1e-5


def test_damaged_folders_are_named(saved):
    _, _, _, folder = saved
    (folder / "tokenizer_config.json").write_text("[]")
    if json.loads((folder / "config.json").read_text())["model_type"] != "siglip":
        with pytest.raises(ValueError, match=r"tokenizer_config\.json: expected the settings"):
            ImageTextModel.load(folder)
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(ValueError, match=r"spiece\.model: expected a model of SentencePiece"):
        ImageTextModel.load(folder)
    (folder / "spiece.model").unlink()
    with pytest.raises(ValueError, match=r"tokenizer\.json: expected a tokenizer"):
        ImageTextModel.load(folder)
