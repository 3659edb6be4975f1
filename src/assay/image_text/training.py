"""What the methods of the wing share: their settings, their towers, and the fit by a contrastive loss."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from assay.core.run import Run
from assay.data.augment import emoji_recipe
from assay.data.pairs import Pairs
from assay.image_text.captions import Captions, Inputs, PairBatches, all_texts
from assay.image_text.contract import check_trainable
from assay.image_text.contrast import unit
from assay.image_text.dual_encoder import DualConfig, DualEncoder, clamp_scale
from assay.image_text.minilm import minilm
from assay.image_text.model import ImageTextModel, gallery_of
from assay.image_text.pictures import Pictures, as_input
from assay.image_text.processor import ImageProcessor
from assay.image_text.sentences import Sentences
from assay.image_text.tokenizer import Tokenizer, train_tokenizer
from assay.image_text.towers import (
    ImageConfig,
    Pretrained,
    TextTowerConfig,
    colours,
    image_config,
    image_size,
    text_config,
)
from assay.train.gradcache import cached_features
from assay.train.history import History
from assay.train.loop import train
from assay.train.moments import Moment, Moments
from assay.train.muon import Muon
from assay.train.optimizers import muon
from assay.train.schedule import cosine

PairLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images' and texts' features of length 1, and groups -> the loss."""

_MOMENTS = 6
_MOST_WEIGHTS = 16_000_000  # of models whose moments are kept


@dataclass(frozen=True, kw_only=True)
class TwoTowers:
    """The settings of methods that train two towers.

    Args:
        image: tower of the images: resnet, vit, efficientnet-lite0 (with ImageNet weights), or a
            configuration.
        text: tower of the texts: words, transformer, minilm (with weights, English), sentences (minilm,
            locked, and words), or a configuration.
        size: side of the images in pixels; None for what suits the tower.
        dim: of the common space.
        length: tokens of the longest text.
        languages: of the captions, separated by commas; None for all.
        tags: share of the draws that give a word of the pairs' column `tags_LANGUAGE` where it has any: words
            that describe what is shown without naming it.
        examples: pairs seen; a run's budget takes its place.
        batch_size: pairs of a step.
        learning_rate: of Muon, for the hidden matrices.
        adam_learning_rate: of AdamW, for all else.
        image_rate: factor on both rates for the image tower's own weights; 0.03 or so for a pretrained one
            that is to keep what it knows.
        weight_decay: of matrices.
        warmup: share of the training in which the rates rise.
        augment: whether images are cropped, shifted and coloured a little, anew in every step.
        micro_batch: pairs whose activations are held at a time (exact, by caching features; not for towers
            with batch normalisation); None for all.

    Raises:
        ValueError: a setting is not what it can be.
    """

    image: str | ImageConfig = "resnet"
    text: str | TextTowerConfig = "words"
    size: int | None = None
    dim: int = 256
    length: int = 24
    languages: str | None = None
    tags: float = 0.0
    examples: int = 80_000
    batch_size: int = 128
    learning_rate: float = 0.03
    adam_learning_rate: float = 0.01
    image_rate: float = 1.0
    weight_decay: float = 0.0
    warmup: float = 0.05
    augment: bool = True
    micro_batch: int | None = None

    def __post_init__(self) -> None:
        sizes, rates = ("dim", "length", "examples", "batch_size"), ("learning_rate", "adam_learning_rate")
        for name in (*sizes, *rates, "image_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
        if not 0 <= self.tags <= 1:
            raise ValueError(f"expected tags in [0, 1], got {self.tags}")
        image_config(self.image, self.side)
        text_config(self.text)

    @property
    def side(self) -> int:
        """Side of the images in pixels."""
        return self.size or image_size(self.image)

    @property
    def spoken(self) -> tuple[str, ...] | None:
        """The languages, or None for all."""
        return tuple(self.languages.split(",")) if self.languages else None

    @property
    def processor(self) -> ImageProcessor:
        """How images are prepared."""
        mean, std = colours(image_config(self.image, self.side))
        return ImageProcessor(size=self.side, mean=mean, std=std)

    def towers(self, pairs: Pairs, run: Run, **changes: Any) -> tuple[DualEncoder, Tokenizer]:
        """New towers on the run's device, and the tokenizer, trained on the captions or the tower's own.

        Args:
            pairs: with captions.
            run: its device.
            changes: fields of `DualConfig` that differ.
        """
        check_trainable(pairs)
        text = text_config(self.text)
        texts = all_texts(pairs, self.spoken, tags=self.tags > 0)
        pretrained = None
        if self.text in ("minilm", "sentences"):
            pretrained, tokenizer = minilm(length=self.length)
            if self.text == "sentences":
                pretrained = Sentences.around(pretrained, tokenizer, texts)
            text = pretrained.config
        else:
            tokenizer = train_tokenizer(texts, vocab_size=text.vocab_size, length=self.length)
            text = _fitted(text, tokenizer, self.length)
        config = DualConfig(image=image_config(self.image, self.side), text=text, dim=self.dim, **changes)
        module = DualEncoder(config)
        if isinstance(module.vision_model, Pretrained):
            module.vision_model.fetch()
        if pretrained is not None:
            module.text_model = pretrained
        module.to(run.device)
        tower: Any = module.vision_model
        tower.to(memory_format=torch.channels_last)
        return module, tokenizer

    def inputs(self, pairs: Pairs) -> Inputs:
        """What the image tower is given: pictures, changed a little where `augment` asks for it."""
        pictures, processor = Pictures(pairs, self.side), self.processor

        def make(indices: np.ndarray, rng: np.random.Generator) -> Tensor:
            shown = pictures(indices)
            if self.augment:
                shown = emoji_recipe(shown, int(rng.integers(2**31)), 0, indices)
            return as_input(shown, processor.mean, processor.std)

        return make

    def contrast(
        self,
        module: DualEncoder,
        tokenizer: Tokenizer,
        pairs: Pairs,
        inputs: Inputs,
        loss: PairLoss,
        run: Run,
        *,
        encode_image: Callable[[Any, float], Tensor] | None = None,
        examples: int | None = None,
    ) -> tuple[History, list[Moment]]:
        """Trains the module by a loss over the pairs of a batch.

        Args:
            module: changed in place.
            tokenizer: of the captions.
            pairs: to learn from.
            inputs: what is drawn of images.
            loss: of features of length 1.
            run: see `Run`.
            encode_image: inputs and the fraction of the training done to features; the module's own if not
                given.
            examples: pairs seen; the setting's if not given.
        """
        captions = Captions(pairs, tokenizer, self.spoken, tags=self.tags)
        batches = PairBatches(inputs, captions.drawn, pairs.groups, self.batch_size, run)
        steps = max(1, math.ceil((examples or self.examples) / batches.batch_size))
        weights = sum(p.numel() for p in module.parameters() if p.requires_grad)
        moments = ClampedMoments(
            module,
            run,
            steps=steps,
            batch_size=batches.batch_size,
            epoch=len(batches) * batches.batch_size,
            count=_MOMENTS if weights <= _MOST_WEIGHTS else 0,
            without="vision_model." if module.locked else None,
        )
        if self.micro_batch is not None and any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) for m in module.modules()
        ):
            raise ValueError("micro_batch needs towers without batch normalisation, whose rows are alone")

        def encode(images: Any) -> Tensor:
            if encode_image is None:
                return module.encode_image(images)
            return encode_image(images, moments.done)

        def loss_fn(images: Any, tokens: Tensor, groups: Tensor) -> dict[str, Tensor]:
            if self.micro_batch is None:
                shown, said = encode(images), module.encode_text(tokens)
            else:
                shown = cached_features(encode, images, micro_batch=self.micro_batch)
                said = cached_features(module.encode_text, tokens, micro_batch=self.micro_batch)
            with torch.autocast(torch.device(run.device).type, enabled=False):
                value = loss(unit(shown.float()), unit(said.float()), groups)
            return {"loss": value, "scale": module.logit_scale.detach().exp()}

        module.train()
        optimizer = self.optimizer(module)
        history = train(
            loss_fn,
            batches,
            optimizer,
            run,
            model=module,
            steps=None if run.budget is not None else steps,
            schedule=cosine(warmup=self.warmup),
            after_step=moments,
        )
        module.train(False)
        return history, moments.kept

    def optimizer(self, module: DualEncoder) -> Muon:
        """Muon and AdamW for what is trained, with rates of its own for the image tower."""
        optimizer = muon(
            module,
            self.learning_rate,
            self.adam_learning_rate,
            adam_betas=(0.9, 0.95),
            weight_decay=self.weight_decay,
            adam_weight_decay=self.weight_decay,
        )
        tower = {id(parameter) for parameter in module.vision_model.parameters()}
        for group in list(optimizer.param_groups) if self.image_rate != 1 else []:
            own = [p for p in group["params"] if id(p) in tower]
            group["params"] = [p for p in group["params"] if id(p) not in tower]
            if own:
                optimizer.add_param_group({**group, "params": own, "lr": group["lr"] * self.image_rate})
        return optimizer

    def fitted(
        self,
        module: DualEncoder,
        tokenizer: Tokenizer,
        pairs: Pairs,
        history: History,
        moments: list[Moment],
        **facts: float,
    ) -> ImageTextModel:
        """The fitted model."""
        gallery = gallery_of(pairs)
        return ImageTextModel(module, tokenizer, self.processor, gallery, history, moments, facts)


class ClampedMoments(Moments):
    """Moments of a module whose scale is kept in its range after every step."""

    def __call__(self) -> None:
        """Clamps the scale and counts a step."""
        clamp_scale(self.model)
        super().__call__()


def _fitted(config: Any, tokenizer: Tokenizer, length: int) -> Any:
    """The text tower's configuration with what the tokenizer decides."""
    rules, known = tokenizer.rules, config.__dataclass_fields__
    decided = {
        "vocab_size": tokenizer.vocab_size,
        "max_position_embeddings": length,
        "bos_token_id": rules.start,
        "eos_token_id": rules.end,
        "pad_token_id": rules.pad,
    }
    return replace(config, **{name: value for name, value in decided.items() if name in known})
