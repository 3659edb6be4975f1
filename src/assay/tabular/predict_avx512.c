/* Descending trees of few leaves with byte permutations: a tree's inner nodes, at most 255, are tables in
   registers, and 64 rows look up the questions of their nodes at once. The results are those of predict.c. */
#include "predict.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>
#include <string.h>

enum { ROWS = 64, MAX_INNER = 255, MAX_SLOTS = 64 };
/* In `question`, beside the slot: whether the child on either side is a leaf. */
enum { LEFT_IS_LEAF = 64, RIGHT_IS_LEAF = 128, SLOT_BITS = 63 };

#define WIDE static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl,avx512vbmi")))

/* A tree whose inner nodes are numbered in their order, and its leaves in theirs. */
typedef struct {
    _Alignas(64) uint8_t question[256];
    _Alignas(64) uint8_t limit[256];
    _Alignas(64) uint8_t left[256]; /* the number of the child */
    _Alignas(64) uint8_t right[256];
    int num_inner;
    uint32_t leaf_node[256];
    uint64_t asked[256];           /* bit s: a node of this level splits on numbers of slot s */
    uint16_t level_start[256 + 1]; /* where the level begins in: */
    uint8_t on_category[256];      /* the nodes that split on categories */
    const uint32_t *set[256];
} Tables;

int assay_has_wide_path(const Model *m)
{
    if (m->width != 1 || m->num_slots > MAX_SLOTS || !__builtin_cpu_supports("avx512vbmi"))
        return 0;
    for (int64_t tree = 0; tree < m->num_trees; tree++)
        if (m->roots[tree + 1] - m->roots[tree] > 2 * MAX_INNER + 1)
            return 0;
    return 1;
}

static void build_tables(const Model *m, int64_t tree, Tables *t)
{
    const Node *nodes = m->nodes + m->roots[tree];
    int size = (int)(m->roots[tree + 1] - m->roots[tree]), num_leaves = 0;
    uint8_t number[2 * MAX_INNER + 1], level[2 * MAX_INNER + 1];
    uint16_t categories[256] = {0};
    memset(t->asked, 0, sizeof t->asked);
    t->num_inner = 0;
    level[0] = 0;
    for (int i = 0; i < size; i++) {
        uint32_t left = nodes[i].left, slot = nodes[i].slot;
        if (left == (uint32_t)i) {
            t->leaf_node[num_leaves] = i;
            number[i] = num_leaves++;
            continue;
        }
        number[i] = t->num_inner++;
        level[left] = level[left + 1] = level[i] + 1;
        if (slot < (uint32_t)m->num_numeric)
            t->asked[level[i]] |= 1ull << slot;
        else
            categories[level[i]]++;
    }
    t->level_start[0] = 0;
    for (int l = 0; l < 256; l++)
        t->level_start[l + 1] = t->level_start[l] + categories[l];
    for (int i = 0; i < size; i++) {
        uint32_t left = nodes[i].left, right = left + 1;
        int n = number[i];
        if (left == (uint32_t)i)
            continue;
        t->question[n] = nodes[i].slot | (nodes[left].left == left ? LEFT_IS_LEAF : 0) |
                         (nodes[right].left == right ? RIGHT_IS_LEAF : 0);
        t->limit[n] = nodes[i].limit < 255 ? nodes[i].limit : 255;
        t->left[n] = number[left];
        t->right[n] = number[right];
        if (nodes[i].slot >= m->num_numeric) {
            t->on_category[t->level_start[level[i] + 1] - categories[level[i]]--] = n;
            t->set[n] = m->sets + m->set_at[m->roots[tree] + i];
        }
    }
}

/* table[index] of 64 indices. Tables of 64, 128 or 256 entries are 1, 2 or 4 registers. */
WIDE __m512i look_up(const uint8_t *table, __m512i index, int registers)
{
    __m512i low = _mm512_load_si512(table);
    if (registers == 1)
        return _mm512_permutexvar_epi8(index, low);
    low = _mm512_permutex2var_epi8(low, index, _mm512_load_si512(table + 64));
    if (registers == 2)
        return low;
    __m512i high = _mm512_load_si512(table + 128);
    high = _mm512_permutex2var_epi8(high, index, _mm512_load_si512(table + 192));
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(index), high);
}

/* Which of 64 codes are not in a bit set of 256 bits. */
WIDE __mmask64 not_in(const uint32_t *set, __m512i codes)
{
    const __m512i bit_of = _mm512_set1_epi64(0x8040201008040201ll);
    __m512i bytes = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)set));
    __m512i byte = _mm512_and_si512(_mm512_srli_epi16(codes, 3), _mm512_set1_epi8(31));
    __m512i bit = _mm512_permutexvar_epi8(_mm512_and_si512(codes, _mm512_set1_epi8(7)), bit_of);
    return _mm512_testn_epi8_mask(_mm512_permutexvar_epi8(byte, bytes), bit);
}

/* Writes the leaf numbers of 64 rows, whose codes of slot s begin at codes + s * stride. */
WIDE void descend(const Tables *t, const uint8_t *codes, int64_t stride, int registers, uint8_t *leaves)
{
    __m512i at = _mm512_setzero_si512(), leaf = at;
    __mmask64 active = ~0ull;
    for (int level = 0; active; level++) {
        __m512i question = look_up(t->question, at, registers), code = _mm512_setzero_si512();
        __m512i slot = _mm512_and_si512(question, _mm512_set1_epi8(SLOT_BITS));
        for (uint64_t asked = t->asked[level]; asked; asked &= asked - 1) {
            int s = __builtin_ctzll(asked);
            __mmask64 here = _mm512_cmpeq_epi8_mask(slot, _mm512_set1_epi8((char)s));
            code = _mm512_or_si512(code, _mm512_maskz_loadu_epi8(here, codes + s * stride));
        }
        __mmask64 right = _mm512_cmpgt_epu8_mask(code, look_up(t->limit, at, registers));
        for (int c = t->level_start[level]; c < t->level_start[level + 1]; c++) {
            int node = t->on_category[c], s = t->question[node] & SLOT_BITS;
            __mmask64 here = _mm512_cmpeq_epi8_mask(at, _mm512_set1_epi8((char)node));
            right |= here & not_in(t->set[node], _mm512_loadu_si512(codes + s * stride));
        }
        at = _mm512_mask_mov_epi8(look_up(t->left, at, registers), right, look_up(t->right, at, registers));
        __m512i leaf_bit = _mm512_mask_mov_epi8(_mm512_set1_epi8(LEFT_IS_LEAF), right,
                                                _mm512_set1_epi8((char)RIGHT_IS_LEAF));
        __mmask64 arrived = _mm512_mask_test_epi8_mask(active, question, leaf_bit);
        leaf = _mm512_mask_mov_epi8(leaf, arrived, at);
        active &= ~arrived;
    }
    _mm512_store_si512(leaves, leaf);
}

WIDE void predict_tree(const Model *m, const Target *to, int64_t tree, const Tables *t, int64_t first,
                       int64_t count, const uint8_t *codes, int64_t stride, int registers)
{
    for (int64_t i = 0; i < count; i += ROWS) {
        int rows = count - i < ROWS ? (int)(count - i) : ROWS;
        _Alignas(64) uint8_t leaf[ROWS];
        uint32_t at[ROWS];
        descend(t, codes + i, stride, registers, leaf);
        for (int j = 0; j < rows; j++)
            at[j] = t->leaf_node[leaf[j]];
        arrive(m, to, tree, first + i, rows, at);
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))
void assay_predict_wide(const Model *m, const Target *to, int64_t first, int64_t count, const uint8_t *codes,
                        int64_t stride)
{
    Tables t;
    for (int64_t tree = 0; tree < m->num_trees; tree++) {
        build_tables(m, tree, &t);
        if (t.num_inner == 0) {
            const uint32_t root[ROWS] = {0};
            for (int64_t i = 0; i < count; i += ROWS)
                arrive(m, to, tree, first + i, count - i < ROWS ? (int)(count - i) : ROWS, root);
        } else if (t.num_inner <= 64)
            predict_tree(m, to, tree, &t, first, count, codes, stride, 1);
        else if (t.num_inner <= 128)
            predict_tree(m, to, tree, &t, first, count, codes, stride, 2);
        else
            predict_tree(m, to, tree, &t, first, count, codes, stride, 4);
    }
}

#else

int assay_has_wide_path(const Model *m)
{
    (void)m;
    return 0;
}

void assay_predict_wide(const Model *m, const Target *to, int64_t first, int64_t count, const uint8_t *codes,
                        int64_t stride)
{
    (void)m, (void)to, (void)first, (void)count, (void)codes, (void)stride;
}

#endif
