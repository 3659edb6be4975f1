import json

import pytest
import torch

from assay.image_text.bert import Bert, BertConfig

transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 41,
    "hidden_size": 30,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 52,
    "max_position_embeddings": 12,
}
TOKENS = torch.tensor([[5, 9, 3, 17, 2], [4, 40, 8, 0, 0], [6, 0, 0, 0, 0]])


def theirs(folder):
    model = transformers.BertModel._from_config(
        transformers.BertConfig(**SIZES), attn_implementation="sdpa"
    ).double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype))
    model.save_pretrained(folder)
    return model.train(False)


def mean(model, tokens):
    mask = (tokens != 0).long()
    states = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    return (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)


def test_equals_transformers_through_the_files(tmp_path):
    reference = theirs(tmp_path / "theirs")
    model = Bert.from_pretrained(tmp_path / "theirs").double()
    found = model(TOKENS)
    assert (found - mean(reference, TOKENS)).abs().max() < 1e-10

    model.save_pretrained(tmp_path / "ours")
    again, info = transformers.BertModel.from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype=torch.float64, attn_implementation="sdpa"
    )
    assert set(info["missing_keys"]) == {"pooler.dense.weight", "pooler.dense.bias"}
    assert not info["unexpected_keys"]
    out = mean(again.train(False), TOKENS)
    cotangent = torch.randn(found.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    (found * cotangent).sum().backward()
    (out * cotangent).sum().backward()
    others = {n: p.grad for n, p in again.named_parameters() if not n.startswith("pooler")}
    mine = Bert.names.to_disk({n: p.grad for n, p in model.named_parameters()})
    assert mine.keys() == others.keys()
    for name, grad in others.items():
        assert (mine[name] - grad).abs().max() < 1e-10 * max(1, float(grad.abs().max())), name


def test_filling_changes_nothing():
    model = Bert(BertConfig(**SIZES)).double()
    assert (model(TOKENS)[1] - model(TOKENS[1:2, :3])[0]).abs().max() < 1e-12


def test_another_model_is_refused(tmp_path):
    theirs(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "gpt2"}))
    with pytest.raises(ValueError, match="expected bert, got 'gpt2'"):
        Bert.from_pretrained(tmp_path)
