"""The text tower of CLIP and SigLIP: token and position embeddings, pre-norm blocks, a last normalisation.

Reference:
    Radford et al. "Learning Transferable Visual Models From Natural Language Supervision". ICML 2021.
        arXiv:2103.00020v1 (Section 2.4: causal, read at the end token)
    Zhai, Mustafa, Kolesnikov, Beyer. "Sigmoid Loss for Language Image Pre-Training". ICCV 2023.
        arXiv:2303.15343v4 (without a mask, read at the last place)
    Verified: through the parity of the whole models.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.nn.checkpoint import Pair
from assay.nn.transformer import Block

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """A text tower's sizes, under the names that config.json uses; defaults are those of the format.

    Args:
        vocab_size: number of tokens.
        hidden_size, intermediate_size, num_hidden_layers, num_attention_heads: of the transformer.
        max_position_embeddings: tokens of the longest text.
        hidden_act: name of the activation.
        layer_norm_eps: added to the variance.
        bos_token_id, eos_token_id, pad_token_id: first, last and filling tokens.
    """

    vocab_size: int = 49408
    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 77
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5
    bos_token_id: int = 49406
    eos_token_id: int = 49407
    pad_token_id: int = 1


def picked(cls: type[Config], mapping: dict[str, Any]) -> Config:
    """An instance of the dataclass `cls` with those entries of a configuration that it knows."""
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    return cls(**{name: value for name, value in mapping.items() if name in known})


class TextTransformer(nn.Module):
    """Texts to one normalised state per token.

    Args:
        config: sizes.
        causal: whether a token sees only those before it.
    """

    def __init__(self, config: TextConfig, *, causal: bool) -> None:
        super().__init__()
        self.config, self.causal = config, causal
        width = config.hidden_size
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.position_embedding = nn.Embedding(config.max_position_embeddings, width)
        self.blocks = nn.ModuleList(blocks(config))
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.position_embedding.weight, std=0.01)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """The states of all tokens.

        Raises:
            ValueError: the texts are longer than the tower has positions.
        """
        x = self._embedded(tokens)
        for block in self.blocks:
            x = block(x, causal=self.causal)
        return self.norm(x)

    def at(
        self, tokens: Int[Tensor, "batch length"], places: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch width"]:
        """One state of each text, without what no such state depends on.

        That is the last block's output at other places and, if a token sees only those before it, all that
        stands behind the farthest place: filling a text up costs nothing.

        Args:
            tokens: of the texts.
            places: which state of each.
        """
        if self.causal:
            tokens = tokens[:, : int(places.max()) + 1]
        x = self._embedded(tokens)
        *before, last = self.blocks
        for block in before:
            x = block(x, causal=self.causal)
        behind = None
        if self.causal:
            behind = torch.arange(x.shape[1], device=x.device)[None] > places[:, None]
        return self.norm(state_at(last, x, places, behind))

    def _embedded(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        if length > self.config.max_position_embeddings:
            raise ValueError(
                f"expected at most {self.config.max_position_embeddings} tokens, got {length}: cut the texts"
            )
        return self.token_embedding(tokens) + self.position_embedding.weight[:length]


def state_at(
    block: Any,
    x: Float[Tensor, "batch tokens width"],
    places: Int[Tensor, " batch"],
    hidden: Bool[Tensor, "batch tokens"] | None = None,
) -> Float[Tensor, "batch width"]:
    """What a `Block` makes of one token of each row: the others are only looked at.

    Args:
        block: see `assay.nn.transformer.Block`; without dropped paths.
        x: the tokens before it.
        places: of the token of each row.
        hidden: what the token does not see; None for nothing.
    """
    rows = torch.arange(len(x), device=x.device)
    normed = block.norm1(x)
    z = x[rows, places] + block.attention.at(normed[rows, places], normed, hidden)
    return z + block.mlp(block.norm2(z))


def blocks(config: Any) -> list[Block]:
    """The blocks of a tower, with CLIP's scales of the weights, smaller the deeper the tower is."""
    width, depth = config.hidden_size, config.num_hidden_layers
    made = [
        Block(
            width,
            config.num_attention_heads,
            config.intermediate_size,
            layer_norm_eps=config.layer_norm_eps,
            hidden_act=config.hidden_act,
        )
        for _ in range(depth)
    ]
    inner = (2 * depth * width) ** -0.5  # What is added to the stream, by every one of 2 x depth branches.
    for block in made:
        for layer, std in (
            (block.attention.qkv, width**-0.5),
            (block.attention.out, inner),
            (block.mlp.fc1, (2 * width) ** -0.5),
            (block.mlp.fc2, inner),
        ):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)
    return made


def end_of_text(tokens: Int[Tensor, "batch length"], eos_token_id: int) -> Int[Tensor, " batch"]:
    """The place of each text's end token, as checkpoints define it.

    Configurations that say 2 are older than the field: of theirs, the largest token is the end.
    """
    if eos_token_id == 2:
        return tokens.argmax(dim=1)
    return (tokens == eos_token_id).to(torch.int8).argmax(dim=1)


def block_names(ours: str, theirs: str) -> tuple[Pair, ...]:
    """The names of blocks here and in Hugging Face's layout."""
    attention = tuple(f"{theirs}.encoder.layers.{{}}.self_attn.{part}_proj" for part in "qkv")
    return (
        (f"{ours}.blocks.{{}}.attention.qkv", attention),
        (f"{ours}.blocks.{{}}.attention.out", f"{theirs}.encoder.layers.{{}}.self_attn.out_proj"),
        (f"{ours}.blocks.{{}}.norm1", f"{theirs}.encoder.layers.{{}}.layer_norm1"),
        (f"{ours}.blocks.{{}}.norm2", f"{theirs}.encoder.layers.{{}}.layer_norm2"),
        (f"{ours}.blocks.{{}}.mlp.fc1", f"{theirs}.encoder.layers.{{}}.mlp.fc1"),
        (f"{ours}.blocks.{{}}.mlp.fc2", f"{theirs}.encoder.layers.{{}}.mlp.fc2"),
    )


def text_names(ours: str, theirs: str) -> tuple[Pair, ...]:
    """The names of a text tower here and in Hugging Face's layout."""
    return (
        (f"{ours}.token_embedding", f"{theirs}.embeddings.token_embedding"),
        (f"{ours}.position_embedding", f"{theirs}.embeddings.position_embedding"),
        *block_names(ours, theirs),
        (f"{ours}.norm", f"{theirs}.final_layer_norm"),
    )
