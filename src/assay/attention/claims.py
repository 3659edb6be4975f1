"""What the papers say about attention, as comparisons that can fail.

The margins were written before the experiments were run; the records are in `claims/records/attention`.
"""

from assay.core.claim import Claim, Prediction, imported

_MILAKOV = "Milakov, Gimelshein. Online normalizer calculation for softmax. 2018. arXiv:1805.02867v2"
_FLASH1 = (
    "Dao, Fu, Ermon, Rudra, Re. FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness. "
    "NeurIPS 2022. arXiv:2205.14135v2"
)
_FLASH2 = (
    "Dao. FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning. ICLR 2024. "
    "arXiv:2307.08691v1"
)
_FLASH3 = (
    "Shah, Bikshandi, Zhang, Thakkar, Ramani, Dao. FlashAttention-3: Fast and Accurate Attention with "
    "Asynchrony and Low-precision. NeurIPS 2024. arXiv:2407.08608v2"
)
_CPU = "On one thread of a CPU, where the papers have a GPU with fast memory on chip"
_EXPERIMENTS = "assay.attention.experiments"

claims: tuple[Claim, ...] = (
    Claim(
        name="attention/memory-linear",
        statement="The memory of attention with gradients grows with the square of the length where the "
        "scores are kept, and with the length itself in FlashAttention.",
        source=f"{_FLASH1}, Theorem 1 and Figure 3 (right)",
        predictions=(
            Prediction(greater="naive", margin=1.7),
            Prediction(greater="naive", smaller="flash1", margin=0.6),
            Prediction(greater="naive", smaller="flash2", margin=0.6),
            Prediction(greater="minus flash2", margin=-1.25),
        ),
        measure=imported(f"{_EXPERIMENTS}:memory_slopes"),
        shrunk=f"{_CPU}: slopes, on logarithmic scales, of the resident memory beyond operands and results "
        "from 2,048 to 8,192 tokens of one head; tiles of a fixed size make the slope of FlashAttention less "
        "than 1.",
        finding="Two earlier measurements with the same margins left the naive slope open, at 1.72 [1.68, "
        "1.77] from 1,024 tokens and 1.80 [1.67, 1.93] from 2,048: memory that the allocator kept for reuse "
        "counted or not, as it came. Here every larger piece is given back at once.",
    ),
    Claim(
        name="attention/flash-faster-than-naive",
        statement="FlashAttention is faster than attention that keeps its scores, and the more so the longer "
        "the sequence.",
        source=f"{_FLASH1}, Figure 3 (left)",
        predictions=(
            Prediction(greater="naive / flash2 at 2048", margin=1.5),
            Prediction(greater="naive / flash2 at 2048", smaller="naive / flash2 at 128", margin=0.5),
        ),
        measure=imported(f"{_EXPERIMENTS}:speed_against_naive"),
        shrunk=f"{_CPU}: causal, with gradients, 4 heads of 64, float32; ratios of CPU seconds in turns.",
    ),
    Claim(
        name="attention/flash2-faster-than-flash1",
        statement="FlashAttention 2 is faster than FlashAttention 1.",
        source=f"{_FLASH2}, Section 4.1 (about twice as fast)",
        predictions=(Prediction(greater="flash1 / flash2", margin=1.1),),
        measure=imported(f"{_EXPERIMENTS}:second_against_first"),
        shrunk=f"{_CPU}: causal, forward only, 4 heads of 64 and 2,048 tokens, float32; one thread has "
        "nothing to gain from blocks that can run in parallel, which is most of what is new.",
        finding="It is faster on one thread too, by 8 to 10 %, for it neither moves the output nor divides "
        "at every block of keys; but that is less than the margin. The factor of two is a GPU's.",
    ),
    Claim(
        name="attention/fewer-divisions",
        statement="FlashAttention 2 divides once where FlashAttention 1 divides at every block of keys.",
        source=f"{_FLASH2}, Section 3.1 (first of the two tweaks)",
        predictions=(
            Prediction(greater="flash1 / flash2", smaller="blocks of keys", margin=-0.01),
            Prediction(greater="blocks of keys", smaller="flash1 / flash2", margin=-0.01),
        ),
        measure=imported(f"{_EXPERIMENTS}:divisions"),
        shrunk="Counted, at 1,024 tokens with 8 blocks of keys; nothing depends on the size.",
    ),
    Claim(
        name="attention/causal-halves-the-blocks",
        statement="About half of the blocks of a causal mask are never visited.",
        source=f"{_FLASH2}, Section 3.1 (causal masking)",
        predictions=(Prediction(greater="all / causal", margin=1.8),),
        measure=imported(f"{_EXPERIMENTS}:causal_blocks"),
        shrunk="Counted, at 4,096 tokens in blocks of 128.",
    ),
    Claim(
        name="attention/one-pass-of-constant-memory",
        statement="Online softmax needs one pass over the keys, and memory that does not depend on how many "
        "there are.",
        source=f"{_MILAKOV}, Algorithm 3 (and Rabe, Staats, arXiv:2112.05682v3, with values)",
        predictions=(
            Prediction(greater="minus growth", margin=-1.05),
            Prediction(greater="minus error", margin=-1e-12),
        ),
        measure=imported(f"{_EXPERIMENTS}:online_rows_memory"),
        shrunk="A stream of 256 and of 16,384 keys for 16 rows, float64, in blocks of 64; the largest tensor "
        "that is made, as a ratio.",
    ),
    Claim(
        name="attention/half-precision-error",
        statement="In half precision FlashAttention is more exact than attention written out in the same "
        "dtype, because what it keeps between blocks is float32.",
        source=f"{_FLASH3}, Table 3 (root mean square error 3.2e-4 for standard attention, 1.9e-4 for "
        "FlashAttention 2)",
        predictions=(Prediction(greater="naive / flash2", margin=1.3),),
        measure=imported(f"{_EXPERIMENTS}:half_precision_error"),
        shrunk="The paper's inputs: normal, and to one entry in a thousand a normal number of a hundred "
        "times the variance added; 1,024 tokens of one head of 64. Attention written out has its scores and "
        "weights in half precision, and the softmax between them in float32, as PyTorch has it.",
    ),
    Claim(
        name="attention/fp8-error",
        statement="In 8 bits, a scale for each block and a rotation of queries and keys make the error of "
        "attention smaller; where there are outliers, it is the rotation that does it.",
        source=f"{_FLASH3}, Table 3 (root mean square error 9.1e-3 with both, 9.3e-3 without blocks, 2.4e-2 "
        "without rotation)",
        predictions=(
            Prediction(greater="neither / both", margin=1.5),
            Prediction(greater="no rotation / both", margin=1.5),
            Prediction(greater="no blocks / both", margin=1.0),
        ),
        measure=imported(f"{_EXPERIMENTS}:fp8_error"),
        shrunk="The inputs of attention/half-precision-error, 1,024 tokens of one head of 64 (the paper has "
        "no sizes), 8 bits by emulation with sums in float32. Without either, weights have 8 bits too; the "
        "paper's baseline keeps them in float16.",
        finding="Without rotation the error is 1.3 times as large, not 2.6 times; without blocks it is no "
        "larger. With both it is of the paper's size, about 1e-2, and comes from queries and keys mostly. "
        "e4m3 is a floating-point format, so that an outlier of a hundred leaves the digits of its "
        "neighbours: there is little for a block's scale to save.",
    ),
)
