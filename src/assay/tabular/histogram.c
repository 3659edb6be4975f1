#include "histogram.h"

#include <string.h>

/* Features whose codes are bytes lie equally far apart, and not at a power of two, where equal bins of all features
   would compete for the same lines of the cache. */
enum { BYTE_STRIDE = 264, CELL_PADDING = 8 };

INLINE void add_target(const Problem *p, int64_t *cell, const void *first, const void *second, int64_t i,
                       int32_t layout)
{
    if (layout == PACKED) {
        *cell += widen(((const int32_t *)first)[i]);
    } else if (layout == WIDE) {
        cell[0] += ((const int64_t *)first)[i];
        cell[1] += ((const int64_t *)second)[i];
        cell[2] += 1;
    } else {
        cell[((const int32_t *)first)[i]] += ((const int64_t *)second)[i];
        if (p->counted)
            cell[p->num_classes] += 1;
    }
}

/* Calls a function with constants for width and layout, so that each pair has a loop of its own. */
#define SPECIALISED(function, ...)                                                    \
    do {                                                                              \
        int32_t pair = p->width * 4 + p->layout;                                      \
        pair == 4 + PACKED    ? function(__VA_ARGS__, 1, PACKED)                      \
        : pair == 4 + WIDE    ? function(__VA_ARGS__, 1, WIDE)                        \
        : pair == 4 + CLASSES ? function(__VA_ARGS__, 1, CLASSES)                     \
        : pair == 8 + PACKED  ? function(__VA_ARGS__, 2, PACKED)                      \
        : pair == 8 + WIDE    ? function(__VA_ARGS__, 2, WIDE)                        \
        : pair == 8 + CLASSES ? function(__VA_ARGS__, 2, CLASSES)                     \
        : p->layout == PACKED ? function(__VA_ARGS__, 4, PACKED)                      \
        : p->layout == WIDE   ? function(__VA_ARGS__, 4, WIDE)                        \
                              : function(__VA_ARGS__, 4, CLASSES);                    \
    } while (0)

/* -- all features --------------------------------------------------------------------------------------------- */

void histogram_offsets(const Problem *p, int64_t *offsets)
{
    int32_t words = words_per_cell(p);
    offsets[0] = 0;
    for (int32_t j = 0; j < p->num_used; j++) {
        int64_t cells = p->width == 1 ? BYTE_STRIDE : p->num_bins[p->features[j]] + 1 + CELL_PADDING;
        offsets[j + 1] = offsets[j] + cells * words;
    }
}

INLINE void prefetch_row(const Problem *p, int64_t row, int32_t width, int32_t layout)
{
    __builtin_prefetch((const char *)p->records + row * p->stride * width);
    __builtin_prefetch((const char *)p->first + row * (layout == WIDE ? 8 : 4));
    if (layout != PACKED)
        __builtin_prefetch((const int64_t *)p->second + row);
}

/* The loop in which a fit spends most of its time: one byte per feature and one addition per cell. */
INLINE void add_bytes(const Problem *p, const int32_t *rows, int64_t count, int64_t *histogram, bool all)
{
    const uint8_t *records = p->records;
    const int32_t *targets = p->first, *features = p->features;
    int32_t used = p->num_used;
    for (int64_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            prefetch_row(p, rows[i + AHEAD], 1, PACKED);
        const uint8_t *record = records + rows[i] * p->stride;
        int64_t target = widen(targets[rows[i]]), *cells = histogram;
        int32_t j = 0;
        for (; j + 4 <= used; j += 4, cells += 4 * BYTE_STRIDE) {
            cells[record[all ? j : features[j]]] += target;
            cells[BYTE_STRIDE + record[all ? j + 1 : features[j + 1]]] += target;
            cells[2 * BYTE_STRIDE + record[all ? j + 2 : features[j + 2]]] += target;
            cells[3 * BYTE_STRIDE + record[all ? j + 3 : features[j + 3]]] += target;
        }
        for (; j < used; j++, cells += BYTE_STRIDE)
            cells[record[all ? j : features[j]]] += target;
    }
}

INLINE void add_rows_of(const Problem *p, const int64_t *offsets, const int32_t *rows, int64_t count,
                        int64_t *histogram, int32_t width, int32_t layout)
{
    int32_t words = words_per_cell(p);
    for (int64_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            prefetch_row(p, rows[i + AHEAD], width, layout);
        const char *record = (const char *)p->records + rows[i] * p->stride * width;
        for (int32_t j = 0; j < p->num_used; j++)
            add_target(p, histogram + offsets[j] + (int64_t)code_at(record, p->features[j], width) * words, p->first,
                       p->second, rows[i], layout);
    }
}

void add_rows(const Problem *p, const int64_t *offsets, const int32_t *rows, int64_t count, int64_t *histogram)
{
    if (p->width == 1 && p->layout == PACKED && p->num_used == p->num_features)
        add_bytes(p, rows, count, histogram, true);
    else if (p->width == 1 && p->layout == PACKED)
        add_bytes(p, rows, count, histogram, false);
    else
        SPECIALISED(add_rows_of, p, offsets, rows, count, histogram);
}

/* -- one feature ---------------------------------------------------------------------------------------------- */

void allocate_cells(const Problem *p, Arena *arena, Cells *c)
{
    size_t codes = 0, words = (size_t)words_per_cell(p);
    for (int32_t f = 0; f < p->num_features; f++)
        codes = (size_t)p->num_bins[f] + 1 > codes ? (size_t)p->num_bins[f] + 1 : codes;
    /* One more than there can be is written, and one candidate added. */
    size_t present = (codes < (size_t)p->num_kept ? codes : (size_t)p->num_kept) + 2;
    c->codes = arena_take(arena, present * sizeof *c->codes);
    c->cells = arena_take(arena, present * words * sizeof *c->cells);
    c->table = arena_zeros(arena, codes * words * sizeof *c->table);
    c->bits = arena_zeros(arena, (codes / 64 + 1) * sizeof *c->bits);
    c->summary = arena_zeros(arena, (codes / 4096 + 1) * sizeof *c->summary);
}

void gather_targets(const Problem *p, const int32_t *rows, int64_t count, void *first, void *second)
{
    if (p->layout == WIDE)
        for (int64_t i = 0; i < count; i++)
            ((int64_t *)first)[i] = ((const int64_t *)p->first)[rows[i]];
    else
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)first)[i] = ((const int32_t *)p->first)[rows[i]];
    if (p->layout != PACKED)
        for (int64_t i = 0; i < count; i++)
            ((int64_t *)second)[i] = ((const int64_t *)p->second)[rows[i]];
}

INLINE void sum_targets_of(const Problem *p, const int32_t *rows, int64_t count, int64_t *sums, int32_t layout)
{
    for (int64_t i = 0; i < count; i++)
        add_target(p, sums, p->first, p->second, rows[i], layout);
}

/* All rows, from the first to the last. */
FOR_WIDE_VECTORS static int64_t sum_records(const int32_t *records, int64_t count)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += widen(records[i]);
    return sum;
}

void sum_targets(const Problem *p, const int32_t *rows, int64_t count, int64_t *sums)
{
    if (p->layout == PACKED && count == p->num_rows)
        *sums += sum_records(p->first, count);
    else if (p->layout == PACKED)
        sum_targets_of(p, rows, count, sums, PACKED);
    else if (p->layout == WIDE)
        sum_targets_of(p, rows, count, sums, WIDE);
    else
        sum_targets_of(p, rows, count, sums, CLASSES);
}

/* Appends a cell unless it is zero, without a branch. */
INLINE int32_t append(Cells *c, int32_t present, int32_t code, const int64_t *cell, int32_t words)
{
    int64_t any = 0;
    for (int32_t w = 0; w < words; w++) {
        any |= cell[w];
        c->cells[(int64_t)present * words + w] = cell[w];
    }
    c->codes[present] = code;
    return present + (any != 0);
}

int32_t cells_of_histogram(const Problem *p, Cells *c, int32_t feature, const int64_t *histogram)
{
    int32_t present = 0, words = words_per_cell(p);
    if (words == 1)
        for (int32_t code = 0; code <= p->num_bins[feature]; code++)
            present = append(c, present, code, histogram + code, 1);
    else
        for (int32_t code = 0; code <= p->num_bins[feature]; code++)
            present = append(c, present, code, histogram + (int64_t)code * words, words);
    return present;
}

/* Empties the cells whose codes were marked. */
static int32_t take_marked(Cells *c, int32_t num_bins, int32_t words)
{
    int32_t present = 0;
    for (int32_t high = 0; high <= num_bins / 4096; high++) {
        for (uint64_t summary = c->summary[high]; summary; summary &= summary - 1) {
            int32_t middle = high * 64 + __builtin_ctzll(summary);
            for (uint64_t bits = c->bits[middle]; bits; bits &= bits - 1) {
                int32_t code = middle * 64 + __builtin_ctzll(bits);
                int64_t *cell = c->table + (int64_t)code * words;
                present = append(c, present, code, cell, words);
                memset(cell, 0, (size_t)words * sizeof *cell);
            }
            c->bits[middle] = 0;
        }
        c->summary[high] = 0;
    }
    return present;
}

INLINE void add_feature(const Problem *p, Cells *c, int32_t feature, const NodeRows *node, bool mark, int32_t width,
                        int32_t layout)
{
    const char *column = (const char *)p->columns + (int64_t)feature * p->num_rows * width;
    int32_t words = words_per_cell(p);
    for (int64_t i = 0; i < node->count; i++) {
        uint32_t code = code_at(column, node->rows[i], width);
        add_target(p, c->table + (int64_t)code * (layout == PACKED ? 1 : words), node->first, node->second, i, layout);
        if (mark) {
            c->bits[code / 64] |= 1ull << code % 64;
            c->summary[code / 4096] |= 1ull << code / 64 % 64;
        }
    }
}

static void add_and_mark(const Problem *p, Cells *c, int32_t feature, const NodeRows *node)
{
    SPECIALISED(add_feature, p, c, feature, node, true);
}

static void add_only(const Problem *p, Cells *c, int32_t feature, const NodeRows *node)
{
    SPECIALISED(add_feature, p, c, feature, node, false);
}

int32_t cells_of_rows(const Problem *p, Cells *c, int32_t feature, const NodeRows *node)
{
    int32_t words = words_per_cell(p), num_bins = p->num_bins[feature];
    if (node->count * 2 < num_bins) {
        add_and_mark(p, c, feature, node);
        return take_marked(c, num_bins, words);
    }
    add_only(p, c, feature, node);
    int32_t present = cells_of_histogram(p, c, feature, c->table);
    memset(c->table, 0, (size_t)(num_bins + 1) * (size_t)words * sizeof *c->table);
    return present;
}
