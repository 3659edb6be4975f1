import json

import pytest
import torch

from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.text_transformer import TextConfig

transformers = pytest.importorskip("transformers")

# Image, patch, depths, heads and widths all differ, so that no transposed tensor passes.
TEXT = {
    "vocab_size": 37,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 11,
    "bos_token_id": 34,
    "eos_token_id": 35,
    "pad_token_id": 1,
}
VISION = {
    "hidden_size": 30,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "image_size": 21,
    "patch_size": 7,
}


def tokens(count=3, length=9, eos=35, seed=0):
    rng = torch.Generator().manual_seed(seed)
    made = torch.randint(2, 33, (count, length), generator=rng)
    for row, end in enumerate(range(length - 1, length - 1 - count, -1)):
        made[row, end] = eos
        made[row, end + 1 :] = 1
    return made


def pixels(count=3, side=21, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, side, side, generator=rng, dtype=torch.float64)


def theirs(folder, act="quick_gelu", **text):
    config = transformers.CLIPConfig(
        text_config={**TEXT, "hidden_act": act, **text},
        vision_config={**VISION, "hidden_act": act},
        projection_dim=18,
    )
    model = transformers.CLIPModel._from_config(config, attn_implementation="sdpa").double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():  # Not at their start, where many are 0 or 1.
            p.add_(0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype))
    model.save_pretrained(folder)
    return model.train(False)


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("eos", [2, 35])
def test_equals_transformers_through_the_files(act, eos, tmp_path):
    reference = theirs(tmp_path / "theirs", act, eos_token_id=eos)
    model = CLIPModel.from_pretrained(tmp_path / "theirs").double()
    assert model.config.text_config.hidden_act == act
    found = model(pixels(), tokens())
    wanted = reference(input_ids=tokens(), pixel_values=pixels()).logits_per_image
    assert (found - wanted).abs().max() < 1e-10

    model.save_pretrained(tmp_path / "ours")
    again, info = transformers.CLIPModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64, attn_implementation="sdpa"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    out = again.train(False)(input_ids=tokens(), pixel_values=pixels(), return_loss=True)
    assert (found - out.logits_per_image).abs().max() < 1e-10

    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * cotangent).sum().backward()
    (out.logits_per_image * cotangent).sum().backward()
    mine = CLIPModel.names.to_disk({name: p.grad for name, p in model.named_parameters()})
    others = dict(again.named_parameters())
    assert mine.keys() == others.keys()
    for name, p in others.items():
        assert (mine[name] - p.grad).abs().max() < 1e-10 * max(1, float(p.grad.abs().max())), name


def test_a_longer_text_and_another_image_size_are_refused(tmp_path):
    theirs(tmp_path)
    model = CLIPModel.from_pretrained(tmp_path).double()
    with pytest.raises(ValueError, match="at most 11 tokens, got 12"):
        model.encode_text(tokens(length=12))
    with pytest.raises(ValueError, match=r"21 x 21 pixels, got \(28, 28\)"):
        model.encode_image(pixels(side=28))


def test_another_model_and_missing_tensors_are_named(tmp_path):
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(ValueError, match=r"config\.json: expected a configuration of clip, got 'bert'"):
        CLIPModel.from_pretrained(tmp_path)
    config["text_config"]["num_hidden_layers"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"16 missing: text_model.encoder.layers.3"):
        CLIPModel.from_pretrained(tmp_path)


def small():
    config = CLIPConfig(text_config=TextConfig(**TEXT), vision_config=CLIPVisionConfig(**VISION))
    return CLIPModel(config).double()


def test_texts_are_causal_and_images_are_not():
    model = small()
    states = model.text_model(tokens())
    changed = tokens()
    changed[:, 5] = 33
    difference = (model.text_model(changed) - states).abs().amax(dim=(0, 2))
    assert difference[:5].max() == 0
    assert difference[5:].min() > 0
    x = pixels(1).requires_grad_()
    model.encode_image(x).square().sum().backward()
    assert (x.grad.abs().amax(dim=1) > 0).all()


def test_what_follows_the_end_does_not_count():
    model = small()
    one, two = tokens(), tokens()
    two[1, 8:] = 0
    assert torch.equal(model.encode_text(one)[1], model.encode_text(two)[1])


def test_kept_patches_know_where_they_were():
    model = small()
    x = pixels(2)
    everything = torch.arange(9).expand(2, 9)
    assert torch.allclose(model.encode_image(x, everything), model.encode_image(x), atol=1e-12)
    shuffled = torch.tensor([[8, 1, 0, 2, 4, 3, 7, 6, 5]] * 2)
    assert torch.allclose(model.encode_image(x, shuffled), model.encode_image(x), atol=1e-12)
    few = torch.tensor([[0, 4], [8, 1]])
    assert not torch.allclose(model.encode_image(x, few), model.encode_image(x), atol=1e-3)
    untouched = x.clone()
    untouched[0, :, 7:14, :7] = 0  # Patch 3 of image 0, which is not kept.
    assert torch.equal(model.encode_image(untouched, few), model.encode_image(x, few))


def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig())
    assert sum(p.numel() for p in model.parameters()) == 151_277_313
