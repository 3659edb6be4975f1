"""SentencePiece's own files as a tokenizer: SigLIP is published with spiece.model, not always with another.

The file is a message of protocol buffers, of which a few fields are needed; the package sentencepiece is not.

Reference:
    Kudo, Richardson. "SentencePiece: A simple and language independent subword tokenizer and detokenizer for
        Neural Text Processing". EMNLP 2018 (System Demonstrations). arXiv:1808.06226v1
    Kudo. "Subword Regularization". ACL 2018. arXiv:1804.10959v1 (the unigram model)
    Implements: reading; segmentation is that of the package tokenizers.
    Omits: models of other kinds than unigram.
    Verified: transformers' SiglipTokenizer over a trained model, token by token.
"""

import struct
from collections.abc import Iterator
from typing import Any

from assay.image_text.tokenizer import tokenizers

_PIECE, _TRAINER, _NORMALISER = 1, 2, 3  # Fields of the file,
_TEXT, _SCORE, _TYPE = 1, 2, 3  # of a piece,
_KIND, _CHARACTERS = 3, 2  # of the trainer's and the normaliser's settings.
_UNKNOWN, _BYTE, _UNIGRAM = 2, 6, 1
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5  # How a value is written.


def from_spiece(data: bytes) -> Any:
    """The `tokenizers.Tokenizer` of a spiece.model; nothing is put around texts.

    Args:
        data: the file.

    Raises:
        ImportError: the package tokenizers is not installed.
        ValueError: the file is damaged, or the model is not a unigram model.
    """
    pieces: list[tuple[str, float]] = []
    unknown, by_bytes, kind, characters = None, False, _UNIGRAM, b""
    try:
        for field, value in _fields(data):
            if field == _PIECE:
                piece = dict(_fields(value))
                unknown = len(pieces) if piece.get(_TYPE) == _UNKNOWN else unknown
                by_bytes = by_bytes or piece.get(_TYPE) == _BYTE
                score = struct.unpack("<f", piece[_SCORE])[0] if _SCORE in piece else 0.0
                pieces.append((piece[_TEXT].decode("utf-8"), score))
            elif field == _TRAINER:
                kind = dict(_fields(value)).get(_KIND, _UNIGRAM)
            elif field == _NORMALISER:
                characters = dict(_fields(value)).get(_CHARACTERS, b"")
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError(f"expected a model of SentencePiece, got {error!r}") from None
    if kind != _UNIGRAM or not pieces or unknown is None:
        raise ValueError(f"expected a unigram model that has an unknown piece, got kind {kind} of model")
    package = tokenizers()
    model = package.Tokenizer(package.models.Unigram(pieces, unk_id=unknown, byte_fallback=by_bytes))
    if characters:
        model.normalizer = package.normalizers.Precompiled(characters)
    model.pre_tokenizer = package.pre_tokenizers.Metaspace(prepend_scheme="always")
    return model


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message, as numbers or bytes, in the order of the file.

    Raises:
        ValueError: it ends in the middle of one.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field, written = key >> 3, key & 7
        if written == _VARINT:
            value, place = _varint(message, place)
            yield field, value
            continue
        if written == _BYTES:
            size, place = _varint(message, place)
        elif written in (_LONG, _SHORT):
            size = 8 if written == _LONG else 4
        else:
            raise ValueError(f"field {field} written in the way {written}")
        if place + size > len(message):
            raise ValueError(f"field {field} is cut off")
        yield field, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, least first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
