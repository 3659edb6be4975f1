"""BERT as a text tower: the encoder of the sentence embeddings of MiniLM, with its pretrained weights.

Reference:
    Devlin, Chang, Lee, Toutanova. "BERT: Pre-training of Deep Bidirectional Transformers for Language
        Understanding". NAACL 2019. arXiv:1810.04805v2
    Reimers, Gurevych. "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks". EMNLP 2019.
        arXiv:1908.10084v1 (the mean over a text's tokens)
    Wang, Wei, Dong, Bao, Yang, Zhou. "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression
        of Pre-Trained Transformers". NeurIPS 2020. arXiv:2002.10957v2
    Implements: the encoder and the mean.
    Omits: dropout, because the tower is not trained here or only for a short time.
    Verified: transformers' BertModel, states and gradients, both ways through the files, 1e-10 in float64.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from assay.image_text.text_transformer import picked
from assay.nn.attention import SelfAttention
from assay.nn.checkpoint import NameTable, fill, read_config, read_tensors, write_checkpoint
from assay.nn.transformer import MLP


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """Sizes, under the names that config.json uses; defaults are those of the format."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0


class _Layer(nn.Module):
    """Attention and a two-layer network, each added and then normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.attention = SelfAttention(width, config.num_attention_heads)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.mlp = MLP(width, config.intermediate_size, config.hidden_act)
        self.norm2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x, bias=bias))
        return self.norm2(x + self.mlp(x))


class Bert(nn.Module):
    """Texts to one state each, the mean over their tokens.

    Args:
        config: sizes.
    """

    names = NameTable(
        (
            ("word_embeddings", "embeddings.word_embeddings"),
            ("position_embeddings", "embeddings.position_embeddings"),
            ("token_type_embeddings", "embeddings.token_type_embeddings"),
            ("norm", "embeddings.LayerNorm"),
            (
                "layers.{}.attention.qkv",
                tuple(f"encoder.layer.{{}}.attention.self.{part}" for part in ("query", "key", "value")),
            ),
            ("layers.{}.attention.out", "encoder.layer.{}.attention.output.dense"),
            ("layers.{}.norm1", "encoder.layer.{}.attention.output.LayerNorm"),
            ("layers.{}.mlp.fc1", "encoder.layer.{}.intermediate.dense"),
            ("layers.{}.mlp.fc2", "encoder.layer.{}.output.dense"),
            ("layers.{}.norm2", "encoder.layer.{}.output.LayerNorm"),
        )
    )

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        width = config.hidden_size
        self.num_features = width
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def states(
        self, tokens: Int[Tensor, "batch length"], padding: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """The states of all tokens; those that are `padding` are attended to by none."""
        x = self.word_embeddings(tokens) + self.token_type_embeddings.weight[0]
        x = self.norm(x + self.position_embeddings.weight[: tokens.shape[1]])
        bias = torch.zeros_like(padding, dtype=x.dtype).masked_fill(padding, -torch.inf)[:, None, None]
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch width"]:
        """The mean state of each text."""
        padding = tokens == self.config.pad_token_id
        kept = (~padding)[:, :, None].to(self.norm.weight.dtype)
        return (self.states(tokens, padding) * kept).sum(dim=1) / kept.sum(dim=1)

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and model.safetensors in Hugging Face's layout, without the pooler."""
        config = {"model_type": "bert", "architectures": ["BertModel"], **asdict(self.config)}
        write_checkpoint(folder, config, self.names.to_disk(self.state_dict()))

    @classmethod
    def from_pretrained(cls, folder: Path) -> "Bert":
        """The encoder in a folder of Hugging Face's layout; its pooler, if any, is left out.

        Raises:
            ValueError: it is no BERT, or tensors are missing, left over or of another shape.
        """
        config = read_config(folder)
        if config.get("model_type") != "bert":
            raise ValueError(f"{folder / 'config.json'}: expected bert, got {config.get('model_type')!r}")
        model = cls(picked(BertConfig, config))
        ignorable = ("position_ids", "pooler.dense.weight", "pooler.dense.bias")
        fill(model, read_tensors(folder), [cls.names], where=str(folder), ignorable=ignorable)
        return model
