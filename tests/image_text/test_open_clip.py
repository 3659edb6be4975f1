import importlib.util
import json
from dataclasses import replace

import pytest
import torch
from torchvision_operators import declared

from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.contrast import softmax_loss, unit
from assay.image_text.open_clip import NAMES, from_open_clip, read_open_clip, to_open_clip, write_open_clip
from assay.image_text.processor import ImageProcessor
from assay.image_text.text_transformer import TextConfig

VISION = CLIPVisionConfig(
    hidden_size=30,
    intermediate_size=50,
    num_hidden_layers=2,
    num_attention_heads=5,
    image_size=21,
    patch_size=7,
    hidden_act="gelu",
)
TEXT = TextConfig(
    vocab_size=37,
    hidden_size=24,
    intermediate_size=40,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=11,
    bos_token_id=35,
    eos_token_id=36,
    pad_token_id=0,
    hidden_act="gelu",
)


def model():
    return CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=18))


def test_names_and_shapes_are_open_clips():
    ours = model()
    out = to_open_clip(ours)
    assert out["visual.proj"].shape == (30, 18)
    assert out["text_projection"].shape == (24, 18)
    assert torch.equal(out["text_projection"], ours.text_projection.weight.T)
    assert out["visual.transformer.resblocks.1.attn.in_proj_weight"].shape == (90, 30)
    assert out["transformer.resblocks.2.attn.in_proj_bias"].shape == (72,)
    assert out["visual.conv1.weight"].shape == (30, 3, 7, 7)
    assert out["visual.positional_embedding"].shape == (10, 30)
    assert {"visual.class_embedding", "visual.ln_pre.weight", "visual.ln_post.bias", "logit_scale"} < set(out)
    assert {"token_embedding.weight", "positional_embedding", "ln_final.weight"} < set(out)
    assert {"transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.0.mlp.c_proj.bias"} < set(out)
    assert sum(t.numel() for t in out.values()) == sum(p.numel() for p in ours.parameters())


@pytest.mark.skipif(importlib.util.find_spec("open_clip") is None, reason="a peer that is seldom installed")
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_loss_and_gradients_are_open_clips(act):
    operators = declared()
    from open_clip.loss import ClipLoss
    from open_clip.model import CLIP

    assert operators is not None
    text = replace(TEXT, hidden_act=act, intermediate_size=96)
    vision = replace(VISION, hidden_act=act, intermediate_size=120)
    ours = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=18)).double()
    theirs = CLIP(
        18,
        vision_cfg={"layers": 2, "width": 30, "head_width": 6, "image_size": 21, "patch_size": 7},
        text_cfg={"context_length": 11, "vocab_size": 37, "width": 24, "heads": 4, "layers": 3},
        quick_gelu=act == "quick_gelu",
    ).double()
    theirs.load_state_dict(to_open_clip(ours))
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(5, 3, 21, 21, generator=rng, dtype=torch.float64)
    tokens = torch.randint(1, 35, (5, 11), generator=rng)
    tokens[:, 6:] = 36
    found = softmax_loss(unit(ours.encode_image(images)), unit(ours.encode_text(tokens)), ours.logit_scale)
    wanted = ClipLoss()(*theirs(images, tokens))
    assert abs(found - wanted) < 1e-12
    found.backward()
    wanted.backward()
    mine = NAMES.to_disk({name: p.grad for name, p in ours.named_parameters()})
    for name, p in theirs.named_parameters():
        other = p.grad.T if name in ("visual.proj", "text_projection") else p.grad
        assert (mine[name] - other).abs().max() < 1e-12, name


def test_stacked_queries_keys_and_values_are_multihead_attentions():
    """The stacked matrix is the one of torch's own module, of which open_clip's blocks are built."""
    block = model().double().text_model.blocks[0]
    reference = torch.nn.MultiheadAttention(24, 4, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(block.attention.qkv.weight)
        reference.in_proj_bias.copy_(block.attention.qkv.bias)
        reference.out_proj.load_state_dict(block.attention.out.state_dict())
    x = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(block.attention(x), reference(x, x, x, need_weights=False)[0], atol=1e-12)


def test_there_and_back_is_the_same_model():
    ours = model()
    tensors = {**to_open_clip(ours), "attn_mask": torch.zeros(11, 11)}
    again = from_open_clip(tensors, hidden_act="gelu", head_dim=6)
    assert again.config.text_config == TEXT
    assert again.config.vision_config.num_attention_heads == 5
    assert again.config.vision_config == VISION
    for name, p in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], p), name


PROCESSOR = ImageProcessor(size=21, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), resample="bilinear")


@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_a_folder_holds_the_model_and_what_prepares_its_images(tmp_path, act, fit):
    vision, text = replace(VISION, hidden_act=act), replace(TEXT, hidden_act=act)
    ours = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=18))
    processor = replace(PROCESSOR, fit=fit)
    write_open_clip(tmp_path / "new", ours, processor)
    again, read = read_open_clip(tmp_path / "new")
    assert (again.config.vision_config, again.config.text_config) == (vision, text)
    assert read == processor
    for name, p in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], p), name
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "open_clip_config.json",
        "open_clip_model.safetensors",
    ]


def test_what_a_published_folder_leaves_out_has_open_clips_defaults(tmp_path):
    write_open_clip(tmp_path, model(), PROCESSOR)
    path = tmp_path / "open_clip_config.json"
    written = json.loads(path.read_text())
    del written["preprocess_cfg"], written["model_cfg"]["quick_gelu"]
    path.write_text(json.dumps(written))
    again, read = read_open_clip(tmp_path)
    assert again.config.vision_config.hidden_act == "gelu"
    assert read == ImageProcessor(size=21)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_cfg": {"timm_model_name": "vit"}}, "vision_cfg with timm_model_name"),
        ({"text_cfg": {"no_causal_mask": True}}, "text_cfg with no_causal_mask"),
        ({"custom_text": True}, "model_cfg with custom_text"),
        ({"vision_cfg": None}, "expected the description of a CLIP of open_clip, got"),
    ],
)
def test_folders_of_other_models_are_refused(tmp_path, change, message):
    write_open_clip(tmp_path, model(), PROCESSOR)
    path = tmp_path / "open_clip_config.json"
    written = json.loads(path.read_text())
    for name, value in change.items():
        if isinstance(value, dict):
            written["model_cfg"][name] |= value
        else:
            written["model_cfg"][name] = value
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match=message):
        read_open_clip(tmp_path)


def test_pickled_weights_are_not_read(tmp_path):
    write_open_clip(tmp_path, model(), PROCESSOR)
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(ValueError, match=r"open_clip_pytorch_model.bin is a pickle, which is not read"):
        read_open_clip(tmp_path)


def test_an_activation_that_open_clip_does_not_have_is_refused(tmp_path):
    vision = replace(VISION, hidden_act="gelu_pytorch_tanh")
    other = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=18))
    with pytest.raises(ValueError, match="expected gelu or quick_gelu in both towers, got gelu_pytorch_tanh"):
        write_open_clip(tmp_path, other, PROCESSOR)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("open_clip") is None, reason="a peer that is seldom installed")
@pytest.mark.parametrize("act", ["quick_gelu", "gelu"])
def test_open_clip_reads_the_folder(tmp_path, act):
    operators = declared()
    import open_clip

    assert operators is not None
    vision = replace(VISION, hidden_act=act, intermediate_size=120)
    text = replace(TEXT, hidden_act=act, intermediate_size=96)
    ours = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=18))
    write_open_clip(tmp_path, ours, PROCESSOR)
    theirs = open_clip.create_model(f"local-dir:{tmp_path}")
    assert tuple(theirs.visual.image_mean) == PROCESSOR.mean
    images = torch.randn(2, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([[35, 3, 36, 0, 0, 0, 0, 0, 0, 0, 0], [35, 1, 2, 3, 4, 5, 6, 7, 8, 9, 36]])
    with torch.no_grad():
        assert torch.allclose(ours.encode_image(images), theirs.encode_image(images), atol=1e-5)
        assert torch.allclose(ours.encode_text(tokens), theirs.encode_text(tokens), atol=1e-5)


def test_other_weights_are_refused():
    tensors = to_open_clip(model())
    with pytest.raises(ValueError, match=r"got no 'visual.conv1.weight'"):
        from_open_clip({k: v for k, v in tensors.items() if k != "visual.conv1.weight"}, hidden_act="gelu")
    with pytest.raises(ValueError, match=r"1 missing: ln_final.bias"):
        from_open_clip(
            {k: v for k, v in tensors.items() if k != "ln_final.bias"}, hidden_act="gelu", head_dim=6
        )
