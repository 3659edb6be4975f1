"""What holds for SigLIP and SigLIP 2 alike: configuration, text tower, pooling head, start, files."""

import json

import pytest
import torch
from siglip_parity import TEXT, VISION, tokens

from assay.image_text.siglip2_model import SigLIP2Config, SigLIP2Model, SigLIP2VisionConfig
from assay.image_text.siglip_model import SigLIPConfig, SigLIPModel, SigLIPVisionConfig
from assay.image_text.siglip_towers import AttentionPool, SigLIPTextConfig

KINDS = {
    "siglip": (SigLIPModel, SigLIPConfig, SigLIPVisionConfig(**VISION, image_size=21)),
    "siglip2": (SigLIP2Model, SigLIP2Config, SigLIP2VisionConfig(**VISION, num_patches=9)),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def made(kind, **text):
    model, config, vision = kind
    return model(config(text_config=SigLIPTextConfig(**TEXT | text), vision_config=vision))


def test_configurations_survive_their_files(kind):
    config = made(kind).config
    written = json.loads(json.dumps(config.to_json()))
    assert type(config).from_json(written) == config
    other = next(one for one in KINDS.values() if one is not kind)[1]
    with pytest.raises(ValueError, match=f"expected a configuration of {other.model_type}, got"):
        other.from_json(written)


def test_what_files_do_not_say_is_the_formats_default(kind):
    _, config, _ = kind
    plain = config.from_json({"model_type": config.model_type, "vision_config": {"patch_size": 14}})
    assert plain.text_config == SigLIPTextConfig()
    assert (plain.vision_config.patch_size, plain.vision_config.hidden_size) == (14, 768)


def test_starts_at_the_papers_scale_and_bias(kind):
    model = made(kind)
    assert model.logit_scale.exp().item() == pytest.approx(10)
    assert model.logit_bias.item() == -10


def test_the_filling_is_part_of_a_text(kind):
    model = made(kind).double()
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 37
    assert (model.encode_text(changed) - model.encode_text(tokens())).abs().min() > 0
    with pytest.raises(ValueError, match=r"filled up to 11 tokens.*, got 8"):
        model.encode_text(tokens()[:, :8])


def test_every_token_sees_every_token(kind):
    transformer = made(kind).double().text_model.transformer
    states = transformer(tokens())
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 37
    assert (transformer(changed) - states).abs().amax(dim=(0, 2)).min() > 0


def test_what_does_not_fit_is_refused(kind, tmp_path):
    with pytest.raises(ValueError, match="of one size, got 24 and 30"):
        made(kind, projection_size=None)
    model = made(kind)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["vision_use_head"] = False
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="with a pooling head"):
        type(model).from_pretrained(tmp_path)


def test_the_head_is_attention_by_torchs_own_module():
    head = AttentionPool(12, 3, 20, "gelu", 1e-6).double()
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    with torch.no_grad():
        for p in head.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
        theirs.in_proj_weight.copy_(head.attention.qkv.weight)
        theirs.in_proj_bias.copy_(head.attention.qkv.bias)
        theirs.out_proj.load_state_dict(head.attention.out.state_dict())
    x = torch.randn(4, 6, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padding = torch.arange(6)[None] >= torch.tensor([6, 1, 3, 5])[:, None]
    probe = head.probe.expand(4, -1, -1)
    y = theirs(probe, x, x, key_padding_mask=padding, need_weights=False)[0][:, 0]
    assert torch.allclose(head(x, padding), y + head.mlp(head.norm(y)), rtol=0, atol=1e-12)
