"""transformers' ResNet as a method: the same network as ours, and its files."""

import importlib.util

import hugging_face  # noqa: F401  # Silences transformers before it is imported.
import numpy as np
import pytest
import torch

from assay.core.run import Run
from assay.images.classifier import ImageClassifier
from assay.images.metrics import top_k_accuracy
from assay.images.peers import TransformersResNetClassifier
from assay.images.resnet import ResNet
from assay.images.task import task

pytest.importorskip("transformers")
METHOD = TransformersResNetClassifier(examples=1200, batch_size=24, width=8)


def test_learns_and_is_saved_and_loaded(shapes, others, tmp_path):
    model = METHOD.fit(shapes, run=Run())
    log_probs = model.log_probs(others.images)
    assert top_k_accuracy(log_probs, others.labels) > 0.5
    model.save(tmp_path)
    again = ImageClassifier.load(tmp_path)
    assert np.array_equal(again.log_probs(others.images), log_probs)
    assert again.classes == others.classes


def test_its_files_are_read_as_our_own_network(coloured, tmp_path):
    model = METHOD.fit(coloured.take(slice(24)), run=Run())
    model.save(tmp_path)
    x = model.preprocessing(torch.tensor(coloured.images))
    with torch.no_grad():
        assert torch.allclose(ResNet.from_pretrained(tmp_path)(x), model.network(x), atol=1e-4)


def test_is_a_peer_of_the_task(shapes, monkeypatch):
    data = task.load(shapes)
    method = task.method("transformers-resnet", data, {"width": 8}, "smoke")
    assert method == TransformersResNetClassifier(width=8, examples=600, batch_size=32)
    assert task.available("transformers-resnet") is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert task.available("transformers-resnet") == "transformers"
    assert task.available("resnet") is None
