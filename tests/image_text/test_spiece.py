import pytest

from assay.image_text.spiece import from_spiece
from assay.image_text.tokenizer import Rules, Tokenizer

pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")

from trained_spiece import SENTENCES, trained


@pytest.fixture(scope="module")
def data():
    return trained()


TEXTS = [
    *SENTENCES,
    "A photo, of (two) FOXES!",
    "unseen zebras in 1984",
    "ﬁne ｆｕｌｌ width",  # Characters that it is trained to write otherwise.
    "红色 fox 🙂🙂 dog",
    "q",
]


def test_tokens_are_those_of_transformers(data, tmp_path):
    transformers = pytest.importorskip("transformers")
    (tmp_path / "spiece.model").write_bytes(data)
    theirs = transformers.SiglipTokenizer(str(tmp_path / "spiece.model"), model_max_length=64)
    ours = Tokenizer(from_spiece(data), Rules.siglip())
    found = ours(TEXTS)
    filled = {"padding": "max_length", "max_length": 64, "truncation": True}
    wanted = theirs(TEXTS, **filled).input_ids
    for text, mine, its in zip(TEXTS, found.tolist(), wanted, strict=True):
        assert mine == its, text
    assert (found == 2).any()  # What it does not know is in there.


def test_every_piece_keeps_its_number(data):
    import sentencepiece

    reference = sentencepiece.SentencePieceProcessor(model_proto=data)
    ours = from_spiece(data)
    assert ours.get_vocab_size() == reference.get_piece_size()
    for number in range(reference.get_piece_size()):
        assert ours.id_to_token(number) == reference.id_to_piece(number)


def test_other_files_are_refused(data):
    with pytest.raises(ValueError, match="expected a model of SentencePiece, got ValueError"):
        from_spiece(data[: len(data) // 2])
    with pytest.raises(ValueError, match="expected a model of SentencePiece"):
        from_spiece(b"{}")
    with pytest.raises(ValueError, match="expected a unigram model that has an unknown piece, got kind 1"):
        from_spiece(b"")
    with pytest.raises(ValueError, match="got kind 2"):
        from_spiece(trained("bpe"))
