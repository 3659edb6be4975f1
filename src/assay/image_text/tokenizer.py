"""Texts to the rows of tokens that a tower was trained with: cut, ended and filled up by its rules.

A byte-level tokenizer is trained on captions of any language. That of a published model is read from its
tokenizer.json.

Reference:
    Sennrich, Haddow, Birch. "Neural Machine Translation of Rare Words with Subword Units". ACL 2016.
        arXiv:1508.07909v5 (byte-pair encoding)
    Radford, Wu, Child, Luan, Amodei, Sutskever. "Language Models are Unsupervised Multitask Learners". 2019
        (over bytes, so that no text is unknown)
    Implements: by the package tokenizers; here are the rules around it.
"""

import json
import re
import string
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.core.files import write_json, write_text

_PAD, _START, _END = "<|pad|>", "<|startoftext|>", "<|endoftext|>"
_FILE, _RULES = "tokenizer.json", "assay_tokenizer.json"
_SHOWN = 60  # characters of a text in a warning


def tokenizers() -> Any:
    """The package tokenizers.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise ImportError("texts need the package tokenizers: pip install 'assay[torch]'") from None
    return tokenizers


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is done around the tokens of a text.

    Args:
        length: tokens of a row, first and last one included.
        start: token before the text, or None.
        end: token after it, which is never cut.
        pad: token that fills up.
        full: fill up to `length` in any case, as SigLIP needs; else to the longest text of the batch.
        canonical: lower case, no punctuation, single spaces, as SigLIP's texts are prepared.
        lower: lower case, as SigLIP 2's texts are prepared.
    """

    length: int
    start: int | None
    end: int
    pad: int
    full: bool = False
    canonical: bool = False
    lower: bool = False

    @classmethod
    def clip(cls, *, length: int = 77, start: int = 49406, end: int = 49407, pad: int = 49407) -> "Rules":
        """Those of CLIP: a start, the text, an end even of a text that is cut."""
        return cls(length=length, start=start, end=end, pad=pad)

    @classmethod
    def siglip(cls, *, length: int = 64, end: int = 1, canonical: bool = True) -> "Rules":
        """Those of SigLIP: the text and an end, always filled up with ends."""
        return cls(length=length, start=None, end=end, pad=end, full=True, canonical=canonical)

    @classmethod
    def siglip2(cls, *, length: int = 64, end: int = 1, pad: int = 0) -> "Rules":
        """Those of SigLIP 2: the text in lower case and an end, always filled up."""
        return cls(length=length, start=None, end=end, pad=pad, full=True, lower=True)

    def prepared(self, text: str) -> str:
        """The text as it is cut into tokens."""
        if self.canonical:
            return canonical(text)
        return text.lower() if self.lower else text


class Tokenizer:
    """Texts to tokens.

    Args:
        model: a `tokenizers.Tokenizer`; what it would add, cut or fill up itself is not used.
        rules: what is done instead.
    """

    def __init__(self, model: Any, rules: Rules) -> None:
        self._model, self.rules = model, rules
        model.no_padding()
        model.no_truncation()

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self._model.get_vocab_size()

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """The tokens, int64 [count, length]; a warning says how many texts were cut, and shows the first.

        Raises:
            ValueError: a text is empty; the message says which.
        """
        rules = self.rules
        prepared = [rules.prepared(text) for text in texts]
        room = rules.length - 1 - (rules.start is not None)
        first = [] if rules.start is None else [rules.start]
        rows: list[list[int]] = []
        cut: list[str] = []
        for number, (text, code) in enumerate(zip(prepared, self._encoded(prepared), strict=True)):
            if not text.strip():
                raise ValueError(f"text {number}: expected words, got {texts[number]!r}")
            cut += [texts[number]] if len(code) > room else []
            rows.append([*first, *code[:room], rules.end])
        if cut:
            shown = cut[0] if len(cut[0]) <= _SHOWN else cut[0][: _SHOWN - 1] + "…"
            message = f"{len(cut)} of {len(rows)} texts have more than {room} tokens and were cut: {shown!r}"
            warnings.warn(message + (", ..." if len(cut) > 1 else ""), stacklevel=2)
        length = rules.length if rules.full else max(map(len, rows), default=0)
        made = np.full((len(rows), length), rules.pad, np.int64)
        for place, row in zip(made, rows, strict=True):
            place[: len(row)] = row
        return made

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        return [code.ids for code in self._model.encode_batch(list(texts), add_special_tokens=False)]

    def learn_characters(self, texts: Iterable[str]) -> int:
        """The token of what a BERT's vocabulary lacks, after it has learnt the characters of these texts.

        Every character that it lacks gets a token of its own, behind all others.
        """
        unknown = self._model.token_to_id("[UNK]")
        characters = sorted({character for text in texts for character in text if not character.isascii()})
        self._model.add_tokens([c for c in characters if unknown in self._encoded([c])[0]])
        return unknown

    def token(self, number: int) -> str:
        """How the token of a number is written."""
        return self._model.id_to_token(number)

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json, and the rules beside it."""
        write_text(folder / _FILE, self._model.to_str())
        write_json(folder / _RULES, asdict(self.rules))

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer that `save` wrote.

        Raises:
            ValueError: there is none, or there are no rules.
        """
        model, path = read_tokenizer(folder), folder / _RULES
        try:
            return cls(model, Rules(**json.loads(path.read_text("utf-8"))))
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: expected a tokenizer's rules, got {error!r}") from None


def has_rules(folder: Path) -> bool:
    """Whether `Tokenizer.save` wrote this folder's tokenizer; a published model has no such rules."""
    return (folder / _RULES).is_file()


def read_tokenizer(folder: Path) -> Any:
    """The `tokenizers.Tokenizer` of a folder's tokenizer.json.

    Raises:
        ImportError: the package tokenizers is not installed.
        ValueError: there is no such file, or it is damaged.
    """
    package, path = tokenizers(), folder / _FILE
    try:
        return package.Tokenizer.from_str(path.read_text("utf-8"))
    except Exception as error:  # The package raises Exception itself.
        raise ValueError(f"{path}: expected a tokenizer, got {error!r}") from None


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, length: int) -> Tokenizer:
    """A byte-level tokenizer for texts like these: in lower case, with the first three tokens for its rules.

    Args:
        texts: to count pairs of symbols in.
        vocab_size: tokens at most, at least 259.
        length: of a row.

    Raises:
        ValueError: the vocabulary has no room for all bytes.
    """
    special = [_PAD, _START, _END]
    if vocab_size < 256 + len(special):
        raise ValueError(f"expected a vocabulary of at least {256 + len(special)} tokens, got {vocab_size}")
    package = tokenizers()
    model = package.Tokenizer(package.models.BPE())
    model.normalizer = package.normalizers.Sequence(
        [package.normalizers.NFC(), package.normalizers.Lowercase()]
    )
    model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=True)
    model.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    return Tokenizer(model, Rules.clip(length=length, start=1, end=2, pad=0))


def canonical(text: str) -> str:
    """The text in lower case, without punctuation and with single spaces."""
    kept = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", kept).strip()
