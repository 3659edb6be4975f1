import json

import numpy as np
import pytest

from assay.image_text.processor import HALF, ImageProcessor, NaFlexProcessor, patch_grid, read_processor

pytest.importorskip("PIL")
transformers = pytest.importorskip("transformers")

SIZES = [(37, 53), (53, 37), (20, 20), (200, 31), (17, 90), (224, 224)]
IMAGES = [np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8) for i, size in enumerate(SIZES)]


def test_equals_transformers_for_clip():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    theirs = CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 24, "width": 24})
    wanted = theirs(IMAGES, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    assert np.abs(ImageProcessor(size=24)(IMAGES) - wanted).max() < 1e-5


def test_equals_transformers_for_siglip():
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    theirs = SiglipImageProcessorPil(size={"height": 24, "width": 24})
    wanted = theirs(IMAGES, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    ours = ImageProcessor(size=24, fit="stretch", mean=HALF, std=HALF)
    assert np.abs(ours(IMAGES) - wanted).max() < 1e-5


def test_equals_transformers_for_siglip2():
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    theirs = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=20)
    wanted = theirs(IMAGES, return_tensors="np", input_data_format="channels_last")
    patches, padding, grids = NaFlexProcessor(patch_size=8, max_num_patches=20)(IMAGES)
    assert np.array_equal(grids, wanted["spatial_shapes"])
    assert np.array_equal(~padding, wanted["pixel_attention_mask"].astype(bool))
    assert np.abs(patches - wanted["pixel_values"]).max() < 1e-5


def test_grids_never_have_more_patches_than_places():
    rng = np.random.default_rng(0)
    for height, width in rng.integers(1, 2000, (200, 2)).tolist():
        if max(height, width) / min(height, width) > 200:
            continue
        rows, columns = patch_grid(height, width, 16, 256)
        assert rows >= 1
        assert columns >= 1
        assert rows * columns <= 256
        if 4 <= rows <= 64 and 4 <= columns <= 64:  # Rounding to whole patches is all that bends them.
            assert abs(np.log(rows / columns * width / height)) < 1 / min(rows, columns) + 0.01
    assert patch_grid(512, 512, 16, 256) == (16, 16)


@pytest.mark.parametrize(
    "processor", [ImageProcessor(size=24), ImageProcessor(size=32, fit="stretch", resample="bilinear")]
)
def test_is_saved_as_transformers_reads_it_and_loaded(processor, tmp_path):
    processor.save(tmp_path)
    assert ImageProcessor.load(tmp_path) == read_processor(tmp_path) == processor
    kind = (
        "clip.image_processing_pil_clip" if processor.fit == "crop" else "siglip.image_processing_pil_siglip"
    )
    name = "CLIPImageProcessorPil" if processor.fit == "crop" else "SiglipImageProcessorPil"
    module = __import__(f"transformers.models.{kind}", fromlist=[name])
    theirs = getattr(module, name)(**json.loads((tmp_path / "preprocessor_config.json").read_text()))
    wanted = theirs(IMAGES, return_tensors="np", input_data_format="channels_last")["pixel_values"]
    assert np.abs(processor(IMAGES) - wanted).max() < 1e-5


def test_that_of_patches_is_saved_as_transformers_reads_it_and_loaded(tmp_path):
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    processor = NaFlexProcessor(patch_size=8, max_num_patches=20, mean=(0.1, 0.2, 0.3))
    processor.save(tmp_path)
    assert read_processor(tmp_path) == processor
    theirs = Siglip2ImageProcessorPil(**json.loads((tmp_path / "preprocessor_config.json").read_text()))
    wanted = theirs(IMAGES, return_tensors="np", input_data_format="channels_last")
    patches, _, grids = processor(IMAGES)
    assert np.array_equal(grids, wanted["spatial_shapes"])
    assert np.abs(patches - wanted["pixel_values"]).max() < 1e-5
    with pytest.raises(ValueError, match="got one that keeps proportions"):
        ImageProcessor.load(tmp_path)
    assert processor.size == 32  # 4 x 4 of 20 places.


@pytest.mark.parametrize("content", ["no json", "[]", '{"image_processor_type": "Siglip2ImageProcessor"}'])
def test_damaged_files_are_named(content, tmp_path):
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: expected the description"):
        read_processor(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: expected the description"):
        read_processor(tmp_path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected the description of an image processor"):
        ImageProcessor.load(tmp_path)
    ImageProcessor(size=24).save(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "crop_size": 20}))
    with pytest.raises(ValueError, match="got 20 of 24"):
        ImageProcessor.load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"do_normalize": False}, "do_normalize false"),
        ({"rescale_factor": 1.0}, r"rescale_factor 1\.0"),
        ({"do_center_crop": False}, "do_center_crop false"),
    ],
)
def test_steps_that_are_left_out_are_refused(changes, said, tmp_path):
    ImageProcessor(size=24).save(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ValueError, match=said):
        read_processor(tmp_path)


def test_what_transformers_now_nests_is_found(tmp_path):
    processor = ImageProcessor(size=24, fit="stretch")
    processor.save(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    described = json.loads(path.read_text())
    path.unlink()
    nested = tmp_path / "processor_config.json"
    nested.write_text(json.dumps({"processor_class": "SiglipProcessor", "image_processor": described}))
    assert read_processor(tmp_path) == processor
    nested.write_text(json.dumps({"processor_class": "SiglipProcessor"}))
    with pytest.raises(ValueError, match=r"processor_config\.json: expected the description"):
        read_processor(tmp_path)
