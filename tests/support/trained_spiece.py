"""A small model of SentencePiece, trained on a few English sentences."""

import io

SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "a photo of a red bar beside a blue square",
    "red, green and blue are the colours of the screen",
    "squares and bars are drawn in black on white paper",
    "how many foxes are there in the photo of the dogs",
]


def trained(kind: str = "unigram") -> bytes:
    """The file; 60 pieces, with the numbers of padding, end and unknown that SigLIP has."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20),
        model_writer=written,
        vocab_size=60,
        model_type=kind,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()
