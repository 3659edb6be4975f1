import json

import pytest
import torch

from assay.image_text.siglip_model import (
    SigLIPConfig,
    SigLIPModel,
    SigLIPTextConfig,
    SigLIPVisionConfig,
)

transformers = pytest.importorskip("transformers")

TEXT = {
    "vocab_size": 37,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 11,
    "projection_size": 30,
}
VISION = {
    "hidden_size": 30,
    "intermediate_size": 50,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "image_size": 21,
    "patch_size": 7,
}


def tokens(count=3, length=11):
    return torch.randint(0, 37, (count, length), generator=torch.Generator().manual_seed(0))


def pixels(count=3, side=21):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def theirs(folder):
    config = transformers.SiglipConfig(text_config=TEXT, vision_config=VISION)
    model = transformers.SiglipModel._from_config(config, attn_implementation="sdpa").double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype))
    model.save_pretrained(folder)
    return model.train(False)


def test_equals_transformers_through_the_files(tmp_path):
    reference = theirs(tmp_path / "theirs")
    model = SigLIPModel.from_pretrained(tmp_path / "theirs").double()
    found = model(pixels(), tokens())
    wanted = reference(input_ids=tokens(), pixel_values=pixels()).logits_per_image
    assert (found - wanted).abs().max() < 1e-10

    model.save_pretrained(tmp_path / "ours")
    again, info = transformers.SiglipModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64, attn_implementation="sdpa"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    out = again.train(False)(input_ids=tokens(), pixel_values=pixels(), return_loss=True)
    assert (found - out.logits_per_image).abs().max() < 1e-10

    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * cotangent).sum().backward()
    (out.logits_per_image * cotangent).sum().backward()
    mine = SigLIPModel.names.to_disk({name: p.grad for name, p in model.named_parameters()})
    others = dict(again.named_parameters())
    assert mine.keys() == others.keys()
    for name, p in others.items():
        assert (mine[name] - p.grad).abs().max() < 1e-10 * max(1, float(p.grad.abs().max())), name


def small():
    return SigLIPModel(
        SigLIPConfig(text_config=SigLIPTextConfig(**TEXT), vision_config=SigLIPVisionConfig(**VISION))
    ).double()


def test_starts_at_the_papers_scale_and_bias():
    model = SigLIPModel(
        SigLIPConfig(text_config=SigLIPTextConfig(**TEXT), vision_config=SigLIPVisionConfig(**VISION))
    )
    assert model.logit_scale.exp().item() == pytest.approx(10)
    assert model.logit_bias.item() == -10


def test_the_filling_is_part_of_a_text():
    model = small()
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 37
    assert (model.encode_text(changed) - model.encode_text(tokens())).abs().min() > 0
    with pytest.raises(ValueError, match=r"filled up to 11 tokens.*, got 8"):
        model.encode_text(tokens()[:, :8])


def test_every_token_sees_every_token():
    model = small()
    states = model.text_model.transformer(tokens())
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 37
    assert (model.text_model.transformer(changed) - states).abs().amax(dim=(0, 2)).min() > 0


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="of one size, got 24 and 30"):
        SigLIPModel(
            SigLIPConfig(
                text_config=SigLIPTextConfig(**{**TEXT, "projection_size": None}),
                vision_config=SigLIPVisionConfig(**VISION),
            )
        )
    with pytest.raises(ValueError, match="21 x 21 pixels"):
        small().encode_image(pixels(side=28))
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["vision_use_head"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="with a pooling head"):
        SigLIPModel.from_pretrained(tmp_path)


def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = SigLIPModel(SigLIPConfig())
    assert sum(p.numel() for p in model.parameters()) == 203_155_970
