"""A fitted model: images and texts to embeddings, and what is done with these."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from assay.core.files import write_json
from assay.data.pairs import Pairs, read_gallery
from assay.image_text.clip_model import CLIPModel
from assay.image_text.contrast import unit
from assay.image_text.dual_encoder import DualConfig, DualEncoder
from assay.image_text.hub import MODELS, load_tokenizer, save_for_transformers
from assay.image_text.open_clip import has_open_clip, read_open_clip, write_open_clip
from assay.image_text.pictures import Originals, at_once
from assay.image_text.processor import ImageProcessor, NaFlexProcessor, read_processor
from assay.image_text.siglip2_model import Patches
from assay.image_text.templates import TEMPLATES, class_embeddings, prompts
from assay.image_text.tokenizer import Tokenizer, has_rules
from assay.nn.checkpoint import read_config, read_tensors, write_checkpoint
from assay.train.history import History
from assay.train.moments import Moment

Images = Pairs | Sequence[np.ndarray]
"""Pairs, of which the pictures count, or uint8 arrays [height, width, 3]."""

_AT_ONCE = 256  # texts, or features of pictures
_KEPT = 4
_KIND = "assay-dual-encoder"


class Found(NamedTuple):
    """An answer to a search: the picture's position in the gallery, its similarity, and its first text."""

    index: int
    similarity: float
    text: str


class Searcher(ABC):
    """What can say how well images and texts fit; `gallery` is what it searches if nothing else is given."""

    gallery: Pairs | None

    @abstractmethod
    def scores(self, images: Images, texts: Sequence[str]) -> np.ndarray:
        """How well each image and each text belong together, float [images, texts]; more is better."""

    def zero_shot(
        self, images: Images, class_names: Sequence[str], templates: Sequence[str] = TEMPLATES
    ) -> np.ndarray:
        """How well each image fits each class, float [images, classes]; the mean over the templates."""
        each = self.scores(images, prompts(class_names, templates))
        return each.reshape(len(each), len(class_names), len(templates)).mean(axis=2)

    def search(self, text: str, k: int = 5, gallery: Pairs | None = None) -> list[Found]:
        """The `k` pictures of the gallery that fit a text best, best first.

        Raises:
            ValueError: there is no gallery.
        """
        found = self.gallery if gallery is None else gallery
        if found is None:
            raise ValueError("expected pictures to search, got none: the model was saved without any")
        scores = self.scores(found, [text])[:, 0]
        best = np.argsort(-scores, kind="stable")[:k]
        return [Found(int(i), float(scores[i]), found.texts(int(i))[0]) for i in best]

    def predict(self, source: Any) -> np.ndarray:
        """The text of the gallery that fits each picture best, of the first texts of what the model kept.

        Args:
            source: pairs, whose own texts do not count, or where they are read from; see `read_gallery`.

        Raises:
            ContractError: there is nothing to read, or it is not as it must be.
            ValueError: the model was saved without a gallery.
        """
        if self.gallery is None:
            raise ValueError("expected texts to choose from, got none: the model was saved without any")
        shown = source if isinstance(source, Pairs) else read_gallery(source)
        names = list(dict.fromkeys(self.gallery.texts(i)[0] for i in range(len(self.gallery))))
        return np.array(names)[self.scores(shown, names).argmax(axis=1)]


@dataclass(eq=False)
class ImageTextModel(Searcher):
    """Two towers with what their inputs are made by.

    Args:
        module: with `encode_image` and `encode_text`: a `DualEncoder` or one of `hub.MODELS`.
        tokenizer: of the texts.
        processor: of the images.
        gallery: what is searched.
        history: of the training; not saved.
        moments: the weights now and then in the training; not saved.
        facts: what else is worth telling of the fit, such as how many pairs a filter kept.
    """

    module: Any
    tokenizer: Tokenizer
    processor: ImageProcessor | NaFlexProcessor
    gallery: Pairs | None = None
    history: History | None = None
    moments: Sequence[Moment] = ()
    facts: dict[str, float] = field(default_factory=dict)
    _kept: dict[int, tuple[Pairs, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def encode_image(self, images: Images) -> np.ndarray:
        """Embeddings of length 1, float32 [images, dim]; of the last few `Pairs` they are kept."""
        shown = at_once(self.processor.size)
        if not isinstance(images, Pairs):
            return self._embedded(self.module.encode_image, self._pictures(images), len(images), shown)
        pairs, side = images, self.processor.size
        originals = Originals(pairs, held=0) if isinstance(self.processor, NaFlexProcessor) else None

        def batch(start: int, stop: int) -> Any:
            chosen = range(start, stop)
            return self._prepared(originals(chosen) if originals else list(pairs.images(chosen, side)))

        locked = getattr(self.module, "locked", False)  # Then the tower's own answers never change.
        if id(pairs) not in self._kept:
            tower = self.module.image_states if locked else self.module.encode_image
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[id(pairs)] = (pairs, self._encoded(tower, batch, len(pairs), shown))
        states = self._kept[id(pairs)][1]
        if not locked:
            return unit(states).numpy()
        return self._embedded(self.module.visual_projection, lambda a, b: states[a:b], len(pairs))

    def _pictures(self, images: Sequence[np.ndarray]) -> Any:
        return lambda start, stop: self._prepared(images[start:stop])

    def _prepared(self, images: Sequence[np.ndarray]) -> Tensor | Patches:
        made = self.processor(images)
        return Patches.of(*made) if isinstance(made, tuple) else torch.from_numpy(made)

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of length 1, float32 [texts, dim]."""
        return self._embedded(
            self.module.encode_text, lambda a, b: torch.from_numpy(self.tokenizer(texts[a:b])), len(texts)
        )

    def scores(self, images: Images, texts: Sequence[str]) -> np.ndarray:
        """The cosine of each image and each text, float32 [images, texts]."""
        return self.encode_image(images) @ self.encode_text(texts).T

    def zero_shot(
        self, images: Images, class_names: Sequence[str], templates: Sequence[str] = TEMPLATES
    ) -> np.ndarray:
        """The cosine of each image and each class, float32 [images, classes].

        Args:
            images: what is classified.
            class_names: as one would say them.
            templates: sentences with one place, `{}`, for a name.
        """
        return self.encode_image(images) @ class_embeddings(self.encode_text, class_names, templates).T

    def at(self, moment: Moment) -> "ImageTextModel":
        """The model as it was at a moment of its training, in this model's own module."""
        self.module.load_state_dict(moment.weights, strict=False)
        if not getattr(self.module, "locked", False):
            self._kept.clear()
        return self

    def _embedded(self, encode: Any, batch: Any, count: int, step: int = _AT_ONCE) -> np.ndarray:
        return unit(self._encoded(encode, batch, count, step)).numpy()

    def _encoded(self, encode: Any, batch: Any, count: int, step: int = _AT_ONCE) -> Tensor:
        module: nn.Module = self.module
        device = next(module.parameters()).device
        before = module.training
        module.train(False)
        try:
            with torch.inference_mode():
                parts = [
                    encode(batch(start, min(start + step, count)).to(device)).float().cpu()
                    for start in range(0, count, step)
                ]
        finally:
            module.train(before)
        return torch.cat(parts) if parts else torch.zeros(0, 0)

    def save(self, folder: Path) -> None:
        """Writes the model: in Hugging Face's layout where it knows the architecture, else in one like it."""
        if isinstance(self.module, DualEncoder):
            config = {"model_type": _KIND, **self.module.config.to_json()}
            write_checkpoint(folder, config, self.module.state_dict())
        else:
            self.module.save_pretrained(folder)
            save_for_transformers(folder, self.module, self.tokenizer)
        self.tokenizer.save(folder)
        self.processor.save(folder)
        write_json(folder / "facts.json", self.facts)
        if self.gallery is not None:
            self.gallery.save(folder / "gallery")

    def save_open_clip(self, folder: Path) -> None:
        """Writes a CLIP as open_clip reads it from a folder ("local-dir:...") or from Hugging Face's hub.

        Raises:
            ValueError: the model is no CLIP of two transformers, or texts do not end with the last token.
        """
        if not isinstance(self.module, CLIPModel) or not isinstance(self.processor, ImageProcessor):
            raise ValueError(f"expected a CLIPModel, as open_clip has them, got {type(self.module).__name__}")
        last, end = self.module.config.text_config.vocab_size - 1, self.tokenizer.rules.end
        if end != last:
            raise ValueError(f"open_clip ends texts with the last token, {last}, this model with {end}")
        write_open_clip(folder, self.module, self.processor)
        save_for_transformers(folder, self.module, self.tokenizer)
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: Path) -> "ImageTextModel":
        """The model that `save` wrote, or a CLIP, SigLIP or SigLIP 2 as Hugging Face's hub has them.

        A CLIP may also be in open_clip's layout; where a folder has both, transformers' is read.

        Raises:
            ValueError: the folder holds no such model.
        """
        module, processor = _read(folder)
        gallery = Pairs.open(folder / "gallery") if (folder / "gallery").is_dir() else None
        facts = folder / "facts.json"
        return cls(
            module.train(False),
            Tokenizer.load(folder) if has_rules(folder) else load_tokenizer(folder, module),
            processor,
            gallery,
            facts=json.loads(facts.read_text("utf-8")) if facts.is_file() else {},
        )


def _read(folder: Path) -> tuple[Any, ImageProcessor | NaFlexProcessor]:
    """The towers in a folder, and what prepares their images."""
    if has_open_clip(folder) and not (folder / "config.json").is_file():
        clip, processor = read_open_clip(folder)
        return clip.float(), processor
    config = read_config(folder)
    kind = config.pop("model_type", None)
    if kind == _KIND:
        module = DualEncoder(DualConfig.from_json(config))
        tensors = read_tensors(folder)
        if tensors.keys() != module.state_dict().keys():
            raise ValueError(f"{folder}: the tensors are not those of its configuration")
        module.load_state_dict(tensors)
        return module, read_processor(folder)
    if isinstance(kind, str) and kind in MODELS:
        # Pictures are prepared in float32.
        return MODELS[kind].from_pretrained(folder).float(), read_processor(folder)
    raise ValueError(f"{folder}: expected a model of images and texts, got {kind!r}")


def gallery_of(pairs: Pairs, limit: int = 2000) -> Pairs:
    """At most `limit` of the pairs, of as many groups as possible, to be searched by a fitted model."""
    groups, first = np.unique(pairs.groups, return_index=True)
    chosen = np.sort(first)
    if len(groups) > limit:
        chosen = chosen[np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    return pairs.take(chosen)
