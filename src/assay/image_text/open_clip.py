"""CLIP's weights in the layout of open_clip and of the original release, in and out.

Reference:
    Ilharco et al. "OpenCLIP". 2021. doi:10.5281/zenodo.5143773 (version 3.3.0: names of `CLIP` in model.py)
    Verified: open_clip's CLIP and ClipLoss, loss and gradients of all weights, 1e-12 in float64, where it is
        installed; the table of the names, both ways.
"""

from collections.abc import Mapping

from torch import Tensor

from assay.image_text.clip_model import CLIPConfig, CLIPModel, CLIPVisionConfig
from assay.image_text.text_transformer import TextConfig
from assay.nn.checkpoint import NameTable, Pair, fill

_TRANSPOSED = ("visual.proj", "text_projection")
_HEAD_DIM = 64  # of every published model


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


def from_open_clip(tensors: Mapping[str, Tensor], *, hidden_act: str, head_dim: int = _HEAD_DIM) -> CLIPModel:
    """The model with open_clip's weights, whose sizes tell the configuration.

    Args:
        tensors: by open_clip's names.
        hidden_act: "quick_gelu" for the original weights and DFN's, "gelu" for most others; the weights
            do not say, and the wrong one costs accuracy without an error.
        head_dim: width of an attention head.

    Raises:
        ValueError: tensors are missing, left over or of another shape.
    """
    try:
        config = _config(tensors, hidden_act, head_dim)
    except KeyError as error:
        raise ValueError(
            f"expected the weights of a CLIP with a vision transformer, got no {error}"
        ) from None
    model = CLIPModel(config)
    fill(model, _turned(tensors), [NAMES], where="open_clip's weights", ignorable=("attn_mask",))
    return model


def _turned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.T.contiguous() if name in _TRANSPOSED else t for name, t in tensors.items()}


def _config(tensors: Mapping[str, Tensor], hidden_act: str, head_dim: int) -> CLIPConfig:
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
        num_attention_heads=text_width // head_dim,
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
