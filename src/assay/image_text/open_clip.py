"""CLIP in the layout of open_clip, in and out: the weights, as in the original release, and its folders.

Reference:
    Ilharco et al. "OpenCLIP". 2021. doi:10.5281/zenodo.5143773 (version 3.3.0: names of `CLIP` in model.py,
        files of push_to_hf_hub.py)
    Omits: towers of timm and of transformers, ResNets, and settings that change what is computed.
    Verified: open_clip's CLIP and ClipLoss, loss and gradients of all weights, 1e-12 in float64, and folders
        written here that open_clip reads, where it is installed; the table of the names, both ways.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from assay.core.files import write_json
from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.processor import CLIP_MEAN, CLIP_STD, ImageProcessor
from assay.image_text.text_transformer import TextConfig
from assay.nn.checkpoint import NameTable, Pair, fill, read_tensors, write_tensors

_FILE, _WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"

_TRANSPOSED = ("visual.proj", "text_projection")
_HEAD_DIM = 64  # where nothing else is said
# Settings that say sizes, which the weights tell, too, or what does not change what is computed.
_OF_VISION = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "patch_dropout"}
_OF_TEXT = {"layers", "width", "heads", "mlp_ratio", "context_length", "vocab_size", "hf_tokenizer_name"}
_OF_TEXT |= {"tokenizer_kwargs", "tokenizer_mode"}
_OF_MODEL = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg", "init_logit_scale"}
_FITS = {"shortest": "crop", "squash": "stretch"}


def _blocks(ours: str, theirs: str) -> tuple[Pair, ...]:
    block = f"{theirs}transformer.resblocks.{{}}"
    return (
        (f"{ours}.blocks.{{}}.attention.qkv.weight", f"{block}.attn.in_proj_weight"),
        (f"{ours}.blocks.{{}}.attention.qkv.bias", f"{block}.attn.in_proj_bias"),
        (f"{ours}.blocks.{{}}.attention.out", f"{block}.attn.out_proj"),
        (f"{ours}.blocks.{{}}.norm1", f"{block}.ln_1"),
        (f"{ours}.blocks.{{}}.norm2", f"{block}.ln_2"),
        (f"{ours}.blocks.{{}}.mlp.fc1", f"{block}.mlp.c_fc"),
        (f"{ours}.blocks.{{}}.mlp.fc2", f"{block}.mlp.c_proj"),
    )


NAMES = NameTable(
    (
        ("vision_model.class_embedding", "visual.class_embedding"),
        ("vision_model.patch_embedding", "visual.conv1"),
        ("vision_model.position_embedding.weight", "visual.positional_embedding"),
        ("vision_model.pre_norm", "visual.ln_pre"),
        *_blocks("vision_model", "visual."),
        ("vision_model.post_norm", "visual.ln_post"),
        ("visual_projection.weight", "visual.proj"),
        ("text_model.token_embedding", "token_embedding"),
        ("text_model.position_embedding.weight", "positional_embedding"),
        *_blocks("text_model", ""),
        ("text_model.norm", "ln_final"),
        ("text_projection.weight", "text_projection"),
        ("logit_scale", "logit_scale"),
    )
)


def to_open_clip(model: CLIPModel) -> dict[str, Tensor]:
    """The weights of `model` under open_clip's names and in its shapes."""
    return _turned(NAMES.to_disk(model.state_dict()))


def from_open_clip(
    tensors: Mapping[str, Tensor],
    *,
    hidden_act: str,
    head_dim: int = _HEAD_DIM,
    text_head_dim: int | None = None,
) -> CLIPModel:
    """The model with open_clip's weights, whose sizes tell the configuration.

    Args:
        tensors: by open_clip's names.
        hidden_act: "quick_gelu" for the original weights and DFN's, "gelu" for most others; the weights
            do not say, and the wrong one costs accuracy without an error.
        head_dim: width of an attention head.
        text_head_dim: of one for texts, if it is another.

    Raises:
        ValueError: tensors are missing, left over or of another shape.
    """
    try:
        config = _config(tensors, hidden_act, head_dim, text_head_dim or head_dim)
    except KeyError as error:
        raise ValueError(
            f"expected the weights of a CLIP with a vision transformer, got no {error}"
        ) from None
    model = CLIPModel(config)
    fill(model, _turned(tensors), [NAMES], where="open_clip's weights", ignorable=("attn_mask",))
    return model


def write_open_clip(folder: Path, model: CLIPModel, processor: ImageProcessor) -> None:
    """Writes open_clip_config.json and open_clip_model.safetensors into `folder`, created if need be.

    Raises:
        ValueError: open_clip has no such activation.
    """
    vision, text = model.config.vision_config, model.config.text_config
    if {vision.hidden_act, text.hidden_act} not in ({"gelu"}, {"quick_gelu"}):
        raise ValueError(
            f"expected gelu or quick_gelu in both towers, got {vision.hidden_act} and {text.hidden_act}"
        )
    sizes = {
        "embed_dim": model.config.projection_dim,
        "quick_gelu": vision.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "patch_size": vision.patch_size,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
        },
    }
    preprocessing = {
        "mean": list(processor.mean),
        "std": list(processor.std),
        "interpolation": processor.resample,
        "resize_mode": next(theirs for theirs, ours in _FITS.items() if ours == processor.fit),
    }
    write_tensors(folder, to_open_clip(model), name=_WEIGHTS)
    write_json(folder / _FILE, {"model_cfg": sizes, "preprocess_cfg": preprocessing})


def has_open_clip(folder: Path) -> bool:
    """Whether a folder describes a model of open_clip."""
    return (folder / _FILE).is_file()


def read_open_clip(folder: Path) -> tuple[CLIPModel, ImageProcessor]:
    """The model in a folder as open_clip puts it on Hugging Face's hub, and what prepares its images.

    Raises:
        ValueError: a file is missing or damaged, or the model is no CLIP with two plain transformers.
    """
    path = folder / _FILE
    try:
        described = json.loads(path.read_text("utf-8"))
        sizes, preprocessing = described["model_cfg"], described.get("preprocess_cfg", {})
        vision, text = sizes["vision_cfg"], sizes["text_cfg"]
        _require_known(sizes, _OF_MODEL, "model_cfg")
        _require_known(vision, _OF_VISION, "vision_cfg")
        _require_known(text, _OF_TEXT, "text_cfg")
        processor = ImageProcessor(
            size=int(vision.get("image_size", 224)),
            fit=_FITS[preprocessing.get("resize_mode", "shortest")],  # type: ignore[arg-type]
            resample=preprocessing.get("interpolation", "bicubic"),
            mean=tuple(preprocessing.get("mean", CLIP_MEAN)),
            std=tuple(preprocessing.get("std", CLIP_STD)),
        )
        text_head_dim = int(text.get("width", 512)) // int(text.get("heads", 8))
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected the description of a CLIP of open_clip, got {error!r}") from None
    model = from_open_clip(
        read_tensors(folder, name=_WEIGHTS),
        hidden_act="quick_gelu" if sizes.get("quick_gelu") else "gelu",
        head_dim=int(vision.get("head_width", _HEAD_DIM)),
        text_head_dim=text_head_dim,
    )
    return model, processor


def _require_known(settings: Mapping[str, Any], known: set[str], where: str) -> None:
    other = sorted(
        name for name, value in settings.items() if name not in known and value not in (None, False)
    )
    if other:
        raise ValueError(f"{where} with {', '.join(other)}")


def _turned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.T.contiguous() if name in _TRANSPOSED else t for name, t in tensors.items()}


def _config(tensors: Mapping[str, Tensor], hidden_act: str, head_dim: int, text_head_dim: int) -> CLIPConfig:
    width, channels, patch, _ = tensors["visual.conv1.weight"].shape
    side = round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5)
    vocabulary, text_width = tensors["token_embedding.weight"].shape
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=len(tensors["visual.transformer.resblocks.0.mlp.c_fc.weight"]),
        num_hidden_layers=_depth(tensors, "visual.transformer"),
        num_attention_heads=width // head_dim,
        num_channels=channels,
        image_size=side * patch,
        patch_size=patch,
        hidden_act=hidden_act,
    )
    text = TextConfig(
        vocab_size=vocabulary,
        hidden_size=text_width,
        intermediate_size=len(tensors["transformer.resblocks.0.mlp.c_fc.weight"]),
        num_hidden_layers=_depth(tensors, "transformer"),
        num_attention_heads=text_width // text_head_dim,
        max_position_embeddings=len(tensors["positional_embedding"]),
        hidden_act=hidden_act,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=0,
    )
    dim = tensors["text_projection"].shape[1]
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=dim)


def _depth(tensors: Mapping[str, Tensor], where: str) -> int:
    ending = ".ln_1.weight"
    return sum(name.startswith(f"{where}.resblocks.") and name.endswith(ending) for name in tensors)
