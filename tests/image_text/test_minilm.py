import pytest
import torch

from assay.data.fetch import FetchError
from assay.image_text.contrast import unit
from assay.image_text.minilm import minilm

pytest.importorskip("tokenizers")


def test_sentences_that_mean_the_same_are_close():
    try:
        model, tokenizer = minilm(length=32)
    except FetchError as error:
        pytest.skip(str(error))
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(22.7e6, rel=0.02)
    texts = ["A cat sits on a mat.", "A kitten is lying on a rug", "The stock market fell sharply"]
    tokens = tokenizer(texts)
    assert tokens[0, 0] == 101
    assert tokens[2].tolist()[-1] in (0, 102)
    with torch.inference_mode():
        x = unit(model(torch.from_numpy(tokens)))
    near, far = float(x[0] @ x[1]), float(x[0] @ x[2])
    assert near > 0.5
    assert far < 0.15
