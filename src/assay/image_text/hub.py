"""CLIP, SigLIP and SigLIP 2 as a folder of Hugging Face's hub has them: the model, and its texts' rules.

A folder says how texts are turned into tokens in several places, of which some mislead: the published CLIPs'
config.json has start and end tokens of another tokenizer. What tokenizer.json itself puts around a text is
what the weights were trained with. Rows are filled up at their end, whichever side another file names: the
weights know no other.

Reference:
    Verified: transformers' models and processors, through folders saved by either, similarities 1e-5.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.core.files import write_json
from assay.image_text.clip_model import CLIPModel
from assay.image_text.siglip2_model import SigLIP2Model
from assay.image_text.siglip_model import SigLIPModel
from assay.image_text.spiece import from_spiece
from assay.image_text.tokenizer import Rules, Tokenizer, read_tokenizer, tokenizers

HubModel = CLIPModel | SigLIPModel | SigLIP2Model

MODELS: Mapping[str, type[HubModel]] = {"clip": CLIPModel, "siglip": SigLIPModel, "siglip2": SigLIP2Model}
"""By the `model_type` of config.json. SigLIP 2 of one fixed size calls itself siglip."""

_SIGLIP_END, _GEMMA_END = "</s>", "<eos>"  # The latter is SigLIP 2's, and tells the two apart.


def load_tokenizer(folder: Path, model: HubModel) -> Tokenizer:
    """The tokenizer of a published folder, with the rules that the model was trained with.

    Raises:
        ValueError: there is neither a tokenizer.json nor a spiece.model, or it is damaged.
    """
    words = _words(folder)
    text = model.config.text_config
    length = text.max_position_embeddings
    around = words.encode("a", add_special_tokens=True)
    marks = around.special_tokens_mask
    first = around.ids[0] if marks and marks[0] else None
    last = around.ids[-1] if marks and marks[-1] else None
    if isinstance(model, CLIPModel):
        end = text.eos_token_id if last is None else last
        start = text.bos_token_id if first is None else first
        return Tokenizer(words, Rules.clip(length=length, start=start, end=end, pad=_pad(folder, words, end)))
    gemma = words.token_to_id(_GEMMA_END)
    if gemma is not None:
        return Tokenizer(words, Rules.siglip2(length=length, end=gemma, pad=_pad(folder, words, 0)))
    return Tokenizer(words, Rules.siglip(length=length, end=1 if last is None else last))


def save_for_transformers(folder: Path, model: HubModel, tokenizer: Tokenizer) -> None:
    """Writes tokenizer_config.json, with which transformers' processors read the folder.

    SigLIP's texts must be given to it in lower case and without punctuation: no class of its fast tokenizers
    does this.

    Args:
        folder: with the other files.
        model: whose tokenizer it is.
        tokenizer: what `load_tokenizer` gave.
    """
    rules = tokenizer.rules
    of_siglip = "Siglip2Tokenizer" if rules.lower else "PreTrainedTokenizerFast"
    special = {"bos_token": rules.start, "eos_token": rules.end, "pad_token": rules.pad}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer" if isinstance(model, CLIPModel) else of_siglip,
            "model_max_length": rules.length,
            "padding_side": "right",
            **{name: tokenizer.token(number) for name, number in special.items() if number is not None},
            **({"add_bos_token": False, "add_eos_token": True} if rules.lower else {}),
        },
    )


def _words(folder: Path) -> Any:
    """The `tokenizers.Tokenizer` of a folder, from tokenizer.json or, where there is none, spiece.model."""
    path = folder / "spiece.model"
    if (folder / "tokenizer.json").is_file() or not path.is_file():
        return read_tokenizer(folder)
    try:
        words = from_spiece(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    number = words.token_to_id(_SIGLIP_END)
    if number is not None:
        words.post_processor = tokenizers().processors.TemplateProcessing(
            single=f"$A {_SIGLIP_END}", special_tokens=[(_SIGLIP_END, number)]
        )
    return words


def _pad(folder: Path, words: Any, default: int) -> int:
    """The token that fills up, as tokenizer_config.json names it."""
    path = folder / "tokenizer_config.json"
    try:
        named = json.loads(path.read_text("utf-8")).get("pad_token") if path.is_file() else None
    except (AttributeError, ValueError) as error:
        raise ValueError(f"{path}: expected the settings of a tokenizer, got {error}") from None
    content = named.get("content") if isinstance(named, dict) else named
    number = None if content is None else words.token_to_id(content)
    return default if number is None else number
