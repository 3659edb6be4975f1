import pytest
import torch

from assay.image_text.siglip2_model import SigLIP2Config, SigLIP2Model, SigLIP2VisionConfig
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
    "num_patches": 9,
    "patch_size": 7,
}
GRIDS = torch.tensor([[3, 3], [2, 4], [1, 5]])
PLACES = 10


def tokens(count=3):
    return torch.randint(0, 37, (count, 11), generator=torch.Generator().manual_seed(0))


def patches():
    x = torch.randn(3, PLACES, 147, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    padding = torch.arange(PLACES)[None] >= GRIDS.prod(dim=1)[:, None]
    return x, padding


def theirs(folder):
    config = transformers.Siglip2Config(text_config=TEXT, vision_config=VISION)
    model = transformers.Siglip2Model._from_config(config, attn_implementation="sdpa").double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype))
    model.save_pretrained(folder)
    return model.train(False)


def test_equals_transformers_through_the_files(tmp_path):
    reference = theirs(tmp_path / "theirs")
    model = SigLIP2Model.from_pretrained(tmp_path / "theirs").double()
    x, padding = patches()
    found = model(x, padding, GRIDS, tokens())
    inputs = {
        "input_ids": tokens(),
        "pixel_values": x,
        "pixel_attention_mask": (~padding).int(),
        "spatial_shapes": GRIDS,
    }
    wanted = reference(**inputs).logits_per_image
    assert (found - wanted).abs().max() < 1e-5  # It resizes positions in float32.
    square = {**inputs, "input_ids": tokens()[:1]}
    alone = model(x[:1], padding[:1], GRIDS[:1], tokens()[:1])
    assert (alone - reference(**square).logits_per_image[:1]).abs().max() < 1e-5

    model.save_pretrained(tmp_path / "ours")
    again, info = transformers.Siglip2Model.from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64, attn_implementation="sdpa"
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    out = again.train(False)(**inputs).logits_per_image
    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * cotangent).sum().backward()
    (out * cotangent).sum().backward()
    mine = SigLIP2Model.names.to_disk({name: p.grad for name, p in model.named_parameters()})
    others = dict(again.named_parameters())
    assert mine.keys() == others.keys()
    for name, p in others.items():
        assert (mine[name] - p.grad).abs().max() < 1e-5 * max(1, float(p.grad.abs().max())), name


def small():
    return SigLIP2Model(
        SigLIP2Config(text_config=SigLIPTextConfig(**TEXT), vision_config=SigLIP2VisionConfig(**VISION))
    ).double()


def test_equals_siglip_on_a_square():
    flexible = small()
    fixed = SigLIPModel(
        SigLIPConfig(
            text_config=SigLIPTextConfig(**TEXT),
            vision_config=SigLIPVisionConfig(
                **{k: v for k, v in VISION.items() if k != "num_patches"}, image_size=21
            ),
        )
    ).double()
    state = fixed.state_dict()
    kernel = "vision_model.patch_embedding.weight"
    state[kernel] = state[kernel].permute(0, 2, 3, 1).flatten(1)  # A patch is (row, column, channel).
    flexible.load_state_dict(state)
    image = torch.randn(1, 3, 21, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = image.reshape(1, 3, 3, 7, 3, 7).permute(0, 2, 4, 3, 5, 1).reshape(1, 9, 147)
    found = flexible.encode_image(grid, torch.zeros(1, 9, dtype=torch.bool), torch.tensor([[3, 3]]))
    assert (found - fixed.encode_image(image)).abs().max() < 1e-12


def test_filling_changes_nothing():
    model = small()
    x, padding = patches()
    together = model.encode_image(x, padding, GRIDS)
    for i, count in enumerate(GRIDS.prod(dim=1).tolist()):
        alone = model.encode_image(
            x[i : i + 1, :count], torch.zeros(1, count, dtype=torch.bool), GRIDS[i : i + 1]
        )
        assert (together[i] - alone[0]).abs().max() < 1e-12
    other = torch.where(padding[:, :, None], 7.0, x)
    assert (model.encode_image(other, padding, GRIDS) - together).abs().max() < 1e-12


def test_shrinking_positions_averages_them():
    model = small()
    with torch.no_grad():
        model.vision_model.position_embedding.weight.copy_(torch.eye(9, 30))
    one = model.vision_model.positions(1, 1)[0, :9]  # Antialiased: every place has a share in it.
    assert (one > 0.03).all()
    assert one.sum().item() == pytest.approx(1)
    assert torch.equal(model.vision_model.positions(3, 3), torch.eye(9, 30, dtype=torch.float64))


def test_what_does_not_fit_is_refused():
    model = small()
    x, padding = patches()
    with pytest.raises(ValueError, match="expected 3 x 2 patches in an image, got 9"):
        model.encode_image(x, padding, torch.tensor([[3, 2], [2, 4], [1, 5]]))
    with pytest.raises(ValueError, match="1 to 64 patches a side, got 1 x 65"):
        model.vision_model.positions(1, 65)


def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = SigLIP2Model(SigLIP2Config(text_config=SigLIPTextConfig(vocab_size=256_000)))
    assert sum(p.numel() for p in model.parameters()) == 375_234_050
