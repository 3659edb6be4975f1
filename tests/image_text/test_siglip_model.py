import pytest
import torch
from siglip_parity import TEXT, VISION, check_through_files, reference, tokens

from assay.image_text.siglip_model import SigLIPConfig, SigLIPModel, SigLIPVisionConfig
from assay.image_text.siglip_towers import SigLIPTextConfig

transformers = pytest.importorskip("transformers")


def pixels(count=3, side=21):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_equals_transformers_through_the_files(tmp_path):
    config = transformers.SiglipConfig(text_config=TEXT, vision_config={**VISION, "image_size": 21})
    theirs = reference(transformers.SiglipModel, config, tmp_path / "theirs")
    inputs = {"input_ids": tokens(), "pixel_values": pixels()}
    check_through_files(SigLIPModel, theirs, pixels(), inputs, tmp_path, tolerance=1e-10)


def test_images_of_another_size_are_refused():
    vision = SigLIPVisionConfig(**VISION, image_size=21)
    model = SigLIPModel(SigLIPConfig(text_config=SigLIPTextConfig(**TEXT), vision_config=vision)).double()
    assert model.encode_image(pixels()).shape == (3, 30)
    with pytest.raises(ValueError, match="21 x 21 pixels"):
        model.encode_image(pixels(side=28))


def test_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = SigLIPModel(SigLIPConfig())
    assert sum(p.numel() for p in model.parameters()) == 203_155_970
