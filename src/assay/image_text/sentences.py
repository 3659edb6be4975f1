"""A text tower for questions in one's own words: what a locked MiniLM says of a text, and the words in it.

MiniLM has learnt from a billion pairs of English sentences which texts mean the same. So what is learnt of
"beverage" holds for "something to drink". What it cannot tell apart or read, such as other languages, is left
to embeddings of words and characters, which are learnt from the captions.

Reference:
    Zhai, Wang, Mustafa, Steiner, Keysers, Kolesnikov, Beyer. "LiT: Zero-Shot Transfer with Locked-image text
        Tuning". CVPR 2022. arXiv:2111.07991v3 (text towers with pretrained weights)
    Reimers, Gurevych. "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks". EMNLP 2019.
        arXiv:1908.10084v1
    Departs: the pretrained part is locked and its answers are kept, so that it is asked once for each text.
    Verified: answers that are kept are those of the encoder; its weights are the same bits after training.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from assay.image_text.bert import Bert, BertConfig
from assay.image_text.contrast import unit
from assay.image_text.tokenizer import Tokenizer

_AT_ONCE = 128  # texts
_KEPT = 100_000  # texts whose states are kept
_LOUDNESS = 0.2  # of the encoder's state, root mean square; words begin at 0 and shall catch up


@dataclass(frozen=True, kw_only=True)
class SentencesConfig(BertConfig):
    """The encoder's sizes, and those of what is learnt beside it.

    Args:
        num_words: tokens that have an embedding of their own; those from `vocab_size` on are unknown to the
            encoder.
        width: of the features.
        unknown: the token that the encoder sees for those.
    """

    num_words: int = 30522
    width: int = 256
    unknown: int = 100


class Sentences(nn.Module):
    """The text tower of `SentencesConfig`.

    Args:
        config: sizes.
        encoder: with weights; a new one if not given. It is locked.
    """

    def __init__(self, config: SentencesConfig, encoder: Bert | None = None) -> None:
        super().__init__()
        self.config, self.num_features = config, config.width
        self.encoder = (encoder or Bert(config)).requires_grad_(False)
        self.embedding = nn.EmbeddingBag(config.num_words, config.width, mode="mean", padding_idx=0)
        nn.init.zeros_(self.embedding.weight)
        self.word1, self.word2 = _two_layers(config.width, config.width)
        self.meaning = nn.Linear(config.hidden_size, config.width)
        self.meaning1, self.meaning2 = _two_layers(config.hidden_size, config.width)
        self._known: dict[bytes, Tensor] = {}

    @classmethod
    def around(cls, encoder: Bert, tokenizer: Tokenizer, texts: Iterable[str]) -> "Sentences":
        """The tower around an encoder with weights, whose tokenizer learns the characters of these texts."""
        unknown = tokenizer.learn_characters(texts)
        sizes = asdict(encoder.config)
        return cls(SentencesConfig(**sizes, num_words=tokenizer.vocab_size, unknown=unknown), encoder)

    def states(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch hidden"]:
        """The encoder's states, of length 1, which are kept."""
        counts = (tokens != self.config.pad_token_id).sum(dim=1).tolist()
        keys = [row[:n].tobytes() for row, n in zip(tokens.cpu().numpy(), counts, strict=True)]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if len(self._known) + len(new) > _KEPT:
            self._known.clear()
            new = {key: i for i, key in enumerate(keys)}
        # Kept states may be part of a later training, which tensors of inference mode may not.
        with torch.inference_mode(False), torch.no_grad():
            for start in range(0, len(new), _AT_ONCE):
                rows = torch.tensor(list(new.values())[start : start + _AT_ONCE])
                seen = tokens[rows.to(tokens.device)].clone()
                seen[seen >= self.config.vocab_size] = self.config.unknown
                states = unit(self.encoder(seen).float())
                self._known |= {keys[i]: state for i, state in zip(rows.tolist(), states, strict=True)}
        return torch.stack([self._known[key] for key in keys])

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch width"]:
        """The features."""
        state = self.states(tokens) * (_LOUDNESS * self.config.hidden_size**0.5)
        words = self.embedding(tokens)
        gelu = nn.functional.gelu
        said = words + self.word2(gelu(self.word1(words)))
        return said + self.meaning(state) + self.meaning2(gelu(self.meaning1(state)))


def _two_layers(features: int, width: int) -> tuple[nn.Linear, nn.Linear]:
    return nn.Linear(features, 2 * width), nn.Linear(2 * width, width)
