import pytest
import torch
from siglip_parity import TEXT, VISION, check_through_files, reference, tokens

from assay.image_text.processor import NaFlexProcessor
from assay.image_text.siglip2_model import Patches, SigLIP2Config, SigLIP2Model, SigLIP2VisionConfig
from assay.image_text.siglip_model import SigLIPConfig, SigLIPModel, SigLIPVisionConfig
from assay.image_text.siglip_towers import SigLIPTextConfig

transformers = pytest.importorskip("transformers")

GRIDS = torch.tensor([[3, 3], [2, 4], [1, 5]])
PLACES = 10


def patches():
    x = torch.randn(3, PLACES, 147, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Patches(x, torch.arange(PLACES)[None] >= GRIDS.prod(dim=1)[:, None], GRIDS)


def test_equals_transformers_through_the_files(tmp_path):
    config = transformers.Siglip2Config(text_config=TEXT, vision_config={**VISION, "num_patches": 9})
    theirs = reference(transformers.Siglip2Model, config, tmp_path / "theirs")
    images = patches()
    inputs = {
        "input_ids": tokens(),
        "pixel_values": images.values,
        "pixel_attention_mask": (~images.padding).int(),
        "spatial_shapes": GRIDS,
    }
    # It resizes positions in float32.
    check_through_files(SigLIP2Model, theirs, images, inputs, tmp_path, tolerance=1e-5)


def small():
    return SigLIP2Model(
        SigLIP2Config(
            text_config=SigLIPTextConfig(**TEXT), vision_config=SigLIP2VisionConfig(**VISION, num_patches=9)
        )
    ).double()


def test_equals_siglip_on_a_square():
    flexible = small()
    vision = SigLIPVisionConfig(**VISION, image_size=21)
    fixed = SigLIPModel(SigLIPConfig(text_config=SigLIPTextConfig(**TEXT), vision_config=vision)).double()
    state = fixed.state_dict()
    kernel = "vision_model.patch_embedding.weight"
    state[kernel] = state[kernel].permute(0, 2, 3, 1).flatten(1)  # A patch is (row, column, channel).
    flexible.load_state_dict(state)
    image = torch.randn(1, 3, 21, 21, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grid = image.reshape(1, 3, 3, 7, 3, 7).permute(0, 2, 4, 3, 5, 1).reshape(1, 9, 147)
    square = Patches(grid, torch.zeros(1, 9, dtype=torch.bool), torch.tensor([[3, 3]]))
    assert (flexible.encode_image(square) - fixed.encode_image(image)).abs().max() < 1e-12
    assert torch.equal(flexible.encode_image(image), flexible.encode_image(square))


def test_images_of_one_size_are_cut_as_the_processor_cuts_them():
    picture = torch.randint(
        0, 256, (16, 24, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    processor = NaFlexProcessor(patch_size=8, max_num_patches=6, mean=(0, 0, 0), std=(1, 1, 1))
    wanted = Patches.of(*processor([picture.numpy()]))
    found = Patches.cut(picture.permute(2, 0, 1)[None] / 255, 8)
    assert torch.allclose(found.values, wanted.values, atol=1e-6)
    assert torch.equal(found.padding, wanted.padding)
    assert torch.equal(found.grids, wanted.grids)


def test_filling_changes_nothing():
    model, images = small(), patches()
    together = model.encode_image(images)
    for i, count in enumerate(GRIDS.prod(dim=1).tolist()):
        alone = Patches(
            images.values[i : i + 1, :count], torch.zeros(1, count, dtype=torch.bool), GRIDS[i : i + 1]
        )
        assert (together[i] - model.encode_image(alone)[0]).abs().max() < 1e-12
    other = torch.where(images.padding[:, :, None], 7.0, images.values)
    assert (model.encode_image(Patches(other, images.padding, GRIDS)) - together).abs().max() < 1e-12


def test_the_order_of_images_does_not_matter():
    model, images, order = small(), patches(), torch.tensor([2, 0, 1])
    turned = Patches(images.values[order], images.padding[order], GRIDS[order])
    assert torch.allclose(model.encode_image(turned), model.encode_image(images)[order], atol=1e-12)


def test_patches_are_split_and_moved_as_a_tensor_is():
    images = patches()
    assert len(images) == 3
    parts = images.split(2)
    assert [len(part) for part in parts] == [2, 1]
    assert torch.equal(parts[1].values, images.values[2:])
    assert torch.equal(torch.cat([part.grids for part in parts]), GRIDS)
    moved = images.to("meta", non_blocking=True)
    assert {t.device.type for t in (moved.values, moved.padding, moved.grids)} == {"meta"}


def test_takes_what_the_processor_makes():
    processor = NaFlexProcessor(patch_size=7, max_num_patches=PLACES)
    pictures = [torch.full((h, w, 3), 200, dtype=torch.uint8).numpy() for h, w in ((30, 10), (20, 20))]
    images = Patches.of(*processor(pictures))
    assert images.grids[1].tolist() == [3, 3]
    assert small().float().encode_image(images).shape == (2, 30)


def test_shrinking_positions_averages_them():
    model = small()
    with torch.no_grad():
        model.vision_model.position_embedding.weight.copy_(torch.eye(9, 30))
    one = model.vision_model.positions(1, 1)[0, :9]  # Antialiased: every place has a share in it.
    assert (one > 0.03).all()
    assert one.sum().item() == pytest.approx(1)
    assert torch.equal(model.vision_model.positions(3, 3), torch.eye(9, 30, dtype=torch.float64))


def test_what_does_not_fit_is_refused():
    model, images = small(), patches()
    wrong = torch.tensor([[3, 3], [2, 4], [5, 2]])
    with pytest.raises(ValueError, match="expected 5 x 2 patches in an image, got 5"):
        model.encode_image(Patches(images.values, images.padding, wrong))
    with pytest.raises(ValueError, match="1 to 64 patches a side, got 1 x 65"):
        model.vision_model.positions(1, 65)


def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = SigLIP2Model(SigLIP2Config(text_config=SigLIPTextConfig(vocab_size=256_000)))
    assert sum(p.numel() for p in model.parameters()) == 375_234_050
