/* Descending all trees of an ensemble at once, on the packed form of packing.py. The NumPy twin is
   predict_reference.py. */
#include "codes.h"

/* The bit sets of one slot of categories. */
typedef struct {
    const uint32_t *sets;
    int64_t words; /* of one set */
} Sets;

typedef struct {
    const Source *sources; /* of each slot */
    const Sets *sets;      /* of each slot; only those of categories are read */
    const uint64_t *nodes;
    const double *values;    /* [nodes, outputs] */
    const int32_t *original; /* [nodes] */
    const int64_t *roots;    /* [trees + 1] */
    const int32_t *depths;   /* [trees] */
    int64_t num_trees;
    int64_t outputs;
    int32_t num_slots;
    int32_t num_numeric; /* slots of numbers come first */
    int32_t width;       /* bytes of a code */
} Model;

enum { CHILD_SHIFT = 40, SLOT_SHIFT = 24, SLOT_MASK = (1 << 16) - 1, LIMIT_MASK = (1 << 24) - 1 };

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t code_at(const char *record, uint32_t slot, int width)
{
    return width == 1 ? ((const uint8_t *)record)[slot]
           : width == 2 ? ((const uint16_t *)record)[slot]
                        : ((const uint32_t *)record)[slot];
}

/* The child that a record goes to; a leaf is its own. */
INLINE uint32_t next(const Model *m, uint64_t node, const char *record, int width, int categories)
{
    uint32_t slot = node >> SLOT_SHIFT & SLOT_MASK, limit = node & LIMIT_MASK;
    uint32_t code = code_at(record, slot, width), right = code > limit;
    if (categories && slot >= (uint32_t)m->num_numeric && limit != LIMIT_MASK) {
        const Sets *s = m->sets + slot;
        right = ~(s->sets[limit * s->words + (code >> 5)] >> (code & 31)) & 1;
    }
    return (uint32_t)(node >> CHILD_SHIFT) + right;
}

/* The leaves of `tree` that LANES records end in. Their descents overlap, which hides the latency of each. */
INLINE void descend_lanes(const Model *m, int64_t tree, const char *records, int64_t record_size, int width,
                          int categories, uint32_t *at)
{
    enum { UNCHECKED = 6, STEPS = 4 };
    const uint64_t *nodes = m->nodes + m->roots[tree];
    int depth = m->depths[tree];
    for (int j = 0; j < LANES; j++)
        at[j] = 0;
    for (int done = 0; done < depth; done++) {
        uint32_t moved = 0;
        for (int j = 0; j < LANES; j++) {
            uint32_t to = next(m, nodes[at[j]], records + j * record_size, width, categories);
            moved |= to ^ at[j];
            at[j] = to;
        }
        if (!moved)
            break;
    }
}

INLINE uint32_t descend_one(const Model *m, int64_t tree, const char *record, int width, int categories)
{
    const uint64_t *nodes = m->nodes + m->roots[tree];
    uint32_t at = 0;
    for (int done = 0; done < m->depths[tree]; done++)
        at = next(m, nodes[at], record, width, categories);
    return at;
}

/* Adds the values of leaf `at` of `tree` to a row of `total`, or records the leaf in `found`. */
INLINE void arrive(const Model *m, int64_t tree, uint32_t at, int64_t row, int64_t groups, double *total, int32_t *found)
{
    int64_t node = m->roots[tree] + at;
    if (found) {
        found[row * m->num_trees + tree] = m->original[node];
        return;
    }
    double *sum = total + (row * groups + tree % groups) * m->outputs;
    for (int64_t k = 0; k < m->outputs; k++)
        sum[k] += m->values[node * m->outputs + k];
}

INLINE void predict(const Model *m, int64_t first, int64_t count, char *records, int64_t record_size, int64_t block,
                    int64_t groups, double *total, int32_t *found, int width, int categories)
{
    int32_t codes[LANES];
    uint32_t at[LANES];
    for (int64_t start = first; start < first + count; start += block) {
        int64_t end = start + block < first + count ? start + block : first + count;
        for (int slot = 0; slot < m->num_slots; slot++)
            for (int64_t row = start; row < end; row += LANES) {
                int lanes = end - row < LANES ? (int)(end - row) : LANES;
                encode_lanes(m->sources + slot, row, lanes, codes);
                store(records + (row - start) * record_size + slot * width, record_size / width, width, codes, lanes);
            }
        for (int64_t tree = 0; tree < m->num_trees; tree++) {
            int64_t row = start;
            for (; row + LANES <= end; row += LANES) {
                descend_lanes(m, tree, records + (row - start) * record_size, record_size, width, categories, at);
                for (int j = 0; j < LANES; j++)
                    arrive(m, tree, at[j], row + j, groups, total, found);
            }
            for (; row < end; row++) {
                uint32_t leaf = descend_one(m, tree, records + (row - start) * record_size, width, categories);
                arrive(m, tree, leaf, row, groups, total, found);
            }
        }
    }
}

/* Predicts rows first .. first + count - 1, `block` rows at a time, whose records fill `records`. Either adds to total
   [rows, groups, outputs], tree after tree, or writes leaves to found [rows, trees]; the other one is NULL. */
void assay_predict(const Model *m, int64_t first, int64_t count, char *records, int64_t record_size, int64_t block,
                   int64_t groups, double *total, int32_t *found)
{
#define CASE(width, categories) \
    predict(m, first, count, records, record_size, block, groups, total, found, width, categories)
    int categories = m->num_numeric < m->num_slots;
    if (m->width == 1)
        categories ? CASE(1, 1) : CASE(1, 0);
    else if (m->width == 2)
        categories ? CASE(2, 1) : CASE(2, 0);
    else
        categories ? CASE(4, 1) : CASE(4, 0);
#undef CASE
}
