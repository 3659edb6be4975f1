/* Descending all trees of an ensemble at once. The NumPy twin is predict_reference.py. */
#include "predict.h"

#define INLINE static inline __attribute__((always_inline))

enum { TOGETHER = 8 }; /* rows that descend together: their loads overlap, their nodes fit the registers */

/* The child that a record goes to. Width and categories are constants where this is inlined. */
INLINE uint32_t child_of(const Model *m, int64_t root, uint32_t at, const char *record, int width,
                         int categories)
{
    const Node *node = m->nodes + root + at;
    uint32_t code = width == 1 ? ((const uint8_t *)record)[node->slot]
                               : ((const uint16_t *)record)[node->slot];
    uint32_t right = code > node->limit;
    if (categories) { /* without a branch, which half of the nodes would mispredict */
        uint32_t goes_left = m->sets[m->set_at[root + at] + (code >> 5)] >> (code & 31) & 1;
        right |= (node->slot >= m->num_numeric) & !goes_left;
    }
    return node->left + right;
}

/* One level down for all rows; returns whether any has not arrived yet. */
INLINE uint32_t step(const Model *m, int64_t root, uint32_t *at, const char *records, int64_t record_size,
                     int rows, int width, int categories)
{
    uint32_t moved = 0;
    for (int j = 0; j < rows; j++) {
        uint32_t child = child_of(m, root, at[j], records + j * record_size, width, categories);
        moved |= child ^ at[j];
        at[j] = child;
    }
    return moved;
}

INLINE void descend(const Model *m, const Target *to, int64_t tree, const char *records, int64_t record_size,
                    int64_t row, int rows, int width, int categories)
{
    enum { UNCHECKED = 8 }; /* levels after which it pays to ask whether all rows have arrived */
    int64_t root = m->roots[tree];
    int depth = m->depths[tree], level = 0;
    uint32_t at[TOGETHER] = {0};
    for (; level < depth && level < UNCHECKED; level++)
        step(m, root, at, records, record_size, rows, width, categories);
    for (; level < depth && step(m, root, at, records, record_size, rows, width, categories); level++)
        ;
    arrive(m, to, tree, row, rows, at);
}

INLINE void predict(const Model *m, const Target *to, int64_t first, int64_t count, const char *records,
                    int width, int categories)
{
    int64_t record_size = (int64_t)m->num_slots * width;
    for (int64_t tree = 0; tree < m->num_trees; tree++) {
        int64_t i = 0;
        for (; i + TOGETHER <= count; i += TOGETHER)
            descend(m, to, tree, records + i * record_size, record_size, first + i, TOGETHER, width,
                    categories);
        for (; i < count; i++)
            descend(m, to, tree, records + i * record_size, record_size, first + i, 1, width, categories);
    }
}

/* Writes the codes of rows first .. first + count - 1, slots `by_slot` and rows `by_row` codes apart. */
static void encode(const Model *m, int64_t first, int64_t count, char *to, int64_t by_slot, int64_t by_row)
{
    int32_t codes[LANES];
    for (int slot = 0; slot < m->num_slots; slot++)
        for (int64_t i = 0; i < count; i += LANES) {
            int lanes = count - i < LANES ? (int)(count - i) : LANES;
            encode_lanes(m->sources + slot, first + i, lanes, codes);
            store(to + (slot * by_slot + i * by_row) * m->width, by_row, m->width, codes, lanes);
        }
}

enum { FEW = 32 }; /* rows for which the tables of the wide path are not worth building */

/* Predicts rows first .. first + count - 1. Their records, in `scratch`, should fit the cache. */
void assay_predict(const Model *m, const Target *to, int64_t first, int64_t count, char *scratch)
{
    if (count >= FEW && assay_has_wide_path(m)) {
        int64_t stride = (count + 63) / 64 * 64;
        encode(m, first, count, scratch, stride, 1);
        assay_predict_wide(m, to, first, count, (uint8_t *)scratch, stride);
        return;
    }
    int categories = m->num_numeric < m->num_slots;
    encode(m, first, count, scratch, 1, m->num_slots);
    if (m->width == 1 && categories)
        predict(m, to, first, count, scratch, 1, 1);
    else if (m->width == 1)
        predict(m, to, first, count, scratch, 1, 0);
    else if (categories)
        predict(m, to, first, count, scratch, 2, 1);
    else
        predict(m, to, first, count, scratch, 2, 0);
}
