#include "histogram.h"
#include "score.h"

#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_VECTOR_CELLS 1
#endif

/* Bundles whose codes are bytes lie equally far apart, and not at a power of two, where equal codes of all bundles
   would compete for the same lines of the cache. */
enum { BYTE_STRIDE = 264, CELL_PADDING = 8 };

enum { TABLES = 4 }; /* of add_by_turns */

/* Calls a function with constants for width and layout, so that each pair has a loop of its own. */
#define SPECIALISED(function, ...)                                                    \
    do {                                                                              \
        int32_t pair = p->width * 4 + p->layout;                                      \
        pair == 4 + PACKED    ? function(__VA_ARGS__, 1, PACKED)                      \
        : pair == 4 + WIDE    ? function(__VA_ARGS__, 1, WIDE)                        \
        : pair == 4 + CLASSES ? function(__VA_ARGS__, 1, CLASSES)                     \
        : pair == 4 + PAIRS   ? function(__VA_ARGS__, 1, PAIRS)                       \
        : pair == 8 + PACKED  ? function(__VA_ARGS__, 2, PACKED)                      \
        : pair == 8 + WIDE    ? function(__VA_ARGS__, 2, WIDE)                        \
        : pair == 8 + CLASSES ? function(__VA_ARGS__, 2, CLASSES)                     \
        : pair == 8 + PAIRS   ? function(__VA_ARGS__, 2, PAIRS)                       \
        : p->layout == PACKED ? function(__VA_ARGS__, 4, PACKED)                      \
        : p->layout == WIDE   ? function(__VA_ARGS__, 4, WIDE)                        \
        : p->layout == PAIRS  ? function(__VA_ARGS__, 4, PAIRS)                       \
                              : function(__VA_ARGS__, 4, CLASSES);                    \
    } while (0)

/* -- all features --------------------------------------------------------------------------------------------- */

void allocate_plan(const Problem *p, Arena *arena, Plan *plan)
{
    size_t bundles = (size_t)p->num_bundles;
    *plan = (Plan){.bundles = arena_take(arena, bundles * sizeof *plan->bundles),
                   .num_codes = arena_take(arena, bundles * sizeof *plan->num_codes),
                   .offsets = arena_take(arena, (bundles + 1) * sizeof *plan->offsets)};
    uint8_t *is_used = arena_zeros(arena, (size_t)p->num_features);
    for (int32_t j = 0; j < p->num_used; j++)
        is_used[p->features[j]] = 1;
    plan->offsets[0] = 0;
    for (int32_t b = 0; b < p->num_bundles; b++) {
        int32_t codes = 1, used = 0;
        for (int32_t i = p->bundle_begin[b]; i < p->bundle_begin[b + 1]; i++) {
            codes *= p->num_codes[p->members[i]];
            used |= is_used[p->members[i]];
        }
        if (!used)
            continue;
        int64_t cells = p->width == 1 ? BYTE_STRIDE : codes + CELL_PADDING;
        plan->bundles[plan->count] = b;
        plan->num_codes[plan->count] = codes;
        plan->offsets[plan->count + 1] = plan->offsets[plan->count] + cells * words_per_cell(p);
        plan->count++;
    }
}

INLINE void prefetch_row(const Problem *p, int64_t row, int32_t width, int32_t layout)
{
    __builtin_prefetch((const char *)p->records + row * p->stride * width);
    __builtin_prefetch((const char *)p->first + row * (layout == WIDE ? 8 : 4));
    if (layout != PACKED && p->second)
        __builtin_prefetch((const int64_t *)p->second + row);
}

/* The loop in which a fit spends most of its time: one byte per bundle and one addition per cell. */
INLINE void add_bytes(const Problem *p, const Plan *plan, const int32_t *rows, int64_t count, int64_t *histogram,
                      bool all)
{
    const uint8_t *records = p->records;
    const int32_t *targets = p->first, *bundles = plan->bundles;
    for (int64_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            prefetch_row(p, rows[i + AHEAD], 1, PACKED);
        const uint8_t *record = records + rows[i] * p->stride;
        int64_t target = widen(targets[rows[i]]), *cells = histogram;
        int32_t j = 0;
        for (; j + 4 <= plan->count; j += 4, cells += 4 * BYTE_STRIDE) {
            cells[record[all ? j : bundles[j]]] += target;
            cells[BYTE_STRIDE + record[all ? j + 1 : bundles[j + 1]]] += target;
            cells[2 * BYTE_STRIDE + record[all ? j + 2 : bundles[j + 2]]] += target;
            cells[3 * BYTE_STRIDE + record[all ? j + 3 : bundles[j + 3]]] += target;
        }
        for (; j < plan->count; j++, cells += BYTE_STRIDE)
            cells[record[all ? j : bundles[j]]] += target;
    }
}

INLINE void add_rows_of(const Problem *p, const Plan *plan, const int32_t *rows, int64_t count, int64_t *histogram,
                        int32_t width, int32_t layout)
{
    int32_t words = words_per_cell(p);
    for (int64_t i = 0; i < count; i++) {
        if (i + AHEAD < count)
            prefetch_row(p, rows[i + AHEAD], width, layout);
        const char *record = (const char *)p->records + rows[i] * p->stride * width;
        for (int32_t j = 0; j < plan->count; j++) {
            int64_t cell = plan->offsets[j] + (int64_t)code_at(record, plan->bundles[j], width) * words;
            add_target(p, histogram + cell, p->first, p->second, rows[i], layout);
        }
    }
}

void add_rows(const Problem *p, const Plan *plan, const int32_t *rows, int64_t count, int64_t *histogram)
{
    if (p->width == 1 && p->layout == PACKED && plan->count == p->num_bundles)
        add_bytes(p, plan, rows, count, histogram, true);
    else if (p->width == 1 && p->layout == PACKED)
        add_bytes(p, plan, rows, count, histogram, false);
    else
        SPECIALISED(add_rows_of, p, plan, rows, count, histogram);
}

/* -- one feature ---------------------------------------------------------------------------------------------- */

void allocate_cells(const Problem *p, Arena *arena, Cells *c)
{
    size_t codes = 0, words = most_words_per_cell(p);
    for (int32_t f = 0; f < p->num_features; f++)
        codes = (size_t)p->num_bins[f] + 1 > codes ? (size_t)p->num_bins[f] + 1 : codes;
    /* One more than there can be is written, one candidate is added, and a whole vector read. */
    size_t present = (codes < (size_t)p->num_kept ? codes : (size_t)p->num_kept) + 2;
    c->codes = arena_take(arena, (present + LANES) * sizeof *c->codes);
    size_t marked = codes / 2 + 2, room = p->records || marked > present ? present : marked;
    c->room = arena_zeros(arena, (room * words + LANES) * sizeof *c->room);
    c->table = arena_zeros(arena, ((p->width == 1 ? TABLES : 1) * codes * words + LANES) * sizeof *c->table);
    c->num_used = 0;
    c->seen = arena_zeros(arena, (codes / 8 + 1) * 8);
    c->bits = arena_zeros(arena, (codes / 64 + 1) * sizeof *c->bits);
    c->summary = arena_zeros(arena, (codes / 4096 + 1) * sizeof *c->summary);
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

/* Appends the filled cells of a table of consecutive codes. */
INLINE int32_t filled_cells_of(Cells *c, const int64_t *table, int32_t code, int32_t num_codes, int32_t words,
                               int32_t present)
{
    for (; code < num_codes; code++)
        present = append(c, present, code, table + (int64_t)code * words, words);
    return present;
}

#ifdef HAS_VECTOR_CELLS
/* The same for cells of one word, eight at once; the table may be where the cells go to. */
__attribute__((target("avx512f"))) static int32_t filled_words(Cells *c, const int64_t *table, int32_t num_codes)
{
    int32_t present = 0, code = 0;
    const __m512i first = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 7, 6, 5, 4, 3, 2, 1, 0);
    for (; code + LANES <= num_codes; code += LANES) {
        __m512i cells = _mm512_loadu_si512(table + code), codes = _mm512_add_epi32(first, _mm512_set1_epi32(code));
        __mmask8 any = _mm512_test_epi64_mask(cells, cells);
        _mm512_storeu_si512(c->cells + present, _mm512_maskz_compress_epi64(any, cells));
        codes = _mm512_maskz_compress_epi32(any, codes);
        _mm256_storeu_si256((__m256i *)(c->codes + present), _mm512_castsi512_si256(codes));
        present += __builtin_popcount(any);
    }
    return filled_cells_of(c, table, code, num_codes, 1, present);
}
#endif

FOR_WIDE_VECTORS static int32_t filled_cells(Cells *c, const int64_t *table, int32_t num_codes, int32_t words)
{
#ifdef HAS_VECTOR_CELLS
    if (words == 1 && __builtin_cpu_supports("avx512f"))
        return filled_words(c, table, num_codes);
#endif
    return words == 1                  ? filled_cells_of(c, table, 0, num_codes, 1, 0)
           : words == PAIRED_WORDS     ? filled_cells_of(c, table, 0, num_codes, PAIRED_WORDS, 0)
           : words == 2 * PAIRED_WORDS ? filled_cells_of(c, table, 0, num_codes, 2 * PAIRED_WORDS, 0)
                                       : filled_cells_of(c, table, 0, num_codes, words, 0);
}

/* Adds to `table` the sums over the other features of a bundle: those of smaller factors lie side by side, those of
   larger ones repeat the whole. */
INLINE void add_marginal(const int64_t *histogram, int32_t num_codes, int32_t codes, int32_t factor, int32_t words,
                         int64_t *table)
{
    for (int32_t begin = 0; begin < num_codes; begin += codes * factor) {
        const int64_t *cells = histogram + (int64_t)begin * words;
        if (factor == 1)
            for (int32_t i = 0; i < codes * words; i++)
                table[i] += cells[i];
        else
            for (int32_t code = 0; code < codes; code++)
                for (int32_t w = 0; w < words; w++) {
                    int64_t sum = 0;
                    for (int32_t other = 0; other < factor; other++)
                        sum += cells[(code * factor + other) * words + w];
                    table[code * words + w] += sum;
                }
    }
}

FOR_WIDE_VECTORS static void marginal(const int64_t *histogram, int32_t num_codes, int32_t codes, int32_t factor,
                                      int32_t words, int64_t *table)
{
    if (words == 1)
        add_marginal(histogram, num_codes, codes, factor, 1, table);
    else
        add_marginal(histogram, num_codes, codes, factor, words, table);
}

static void begin_cells(Cells *c)
{
    memset(c->table, 0, (size_t)c->num_used * sizeof *c->table);
    c->num_used = 0;
    c->cells = c->room;
}

int32_t cells_of_histogram(const Problem *p, Cells *c, int32_t feature, const int64_t *histogram, int32_t num_codes)
{
    begin_cells(c);
    int32_t words = words_per_cell(p), codes = p->num_codes[feature];
    if (codes == num_codes)
        return filled_cells(c, histogram, codes, words);
    marginal(histogram, num_codes, codes, p->factors[feature], words, c->table);
    int32_t present = filled_cells(c, c->table, codes, words);
    memset(c->table, 0, (size_t)(codes * words) * sizeof *c->table);
    return present;
}

/* Marks the codes, which are bytes, that were seen: eight bits of eight bytes at a time. */
static void mark_seen(Cells *c, int32_t num_bins)
{
    for (int32_t i = 0; i <= num_bins / 8; i++) {
        uint64_t seen;
        memcpy(&seen, c->seen + 8 * i, sizeof seen);
        c->bits[i / 8] |= (seen * 0x0102040810204080) >> 56 << i % 8 * 8;
    }
    for (int32_t i = 0; i <= num_bins / 64; i++)
        c->summary[0] |= (uint64_t)(c->bits[i] != 0) << i;
    memset(c->seen, 0, (size_t)num_bins + 1);
}

/* Empties the cells whose codes were marked. */
INLINE int32_t take_marked_of(Cells *c, int32_t num_bins, int32_t words)
{
    int32_t present = 0;
    for (int32_t high = 0; high <= num_bins / 4096; high++) {
        for (uint64_t summary = c->summary[high]; summary; summary &= summary - 1) {
            int32_t middle = high * 64 + __builtin_ctzll(summary);
            for (uint64_t bits = c->bits[middle]; bits; bits &= bits - 1) {
                int32_t code = middle * 64 + __builtin_ctzll(bits);
                int64_t *cell = c->table + (int64_t)code * words;
                present = append(c, present, code, cell, words);
                for (int32_t w = 0; w < words; w++)
                    cell[w] = 0;
            }
            c->bits[middle] = 0;
        }
        c->summary[high] = 0;
    }
    return present;
}

FOR_WIDE_VECTORS static int32_t take_marked(Cells *c, int32_t num_bins, int32_t words)
{
    return words == 1                  ? take_marked_of(c, num_bins, 1)
           : words == PAIRED_WORDS     ? take_marked_of(c, num_bins, PAIRED_WORDS)
           : words == 2 * PAIRED_WORDS ? take_marked_of(c, num_bins, 2 * PAIRED_WORDS)
                                       : take_marked_of(c, num_bins, words);
}

INLINE void add_feature(const Problem *p, Cells *c, int32_t feature, const NodeRows *node, bool mark, int32_t width,
                        int32_t layout)
{
    const char *column = (const char *)p->columns + (int64_t)feature * p->num_rows * width;
    int32_t words = words_per_cell(p);
    for (int64_t i = 0; i < node->count; i++) {
        uint32_t code = code_at(column, node->rows[i], width);
        add_target(p, c->table + (int64_t)code * (layout == PACKED ? 1 : words), node->first, node->second, i, layout);
        if (mark && width == 1) {
            c->seen[code] = 1;
        } else if (mark) {
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

/* Adds rows by turns to several tables, since an addition to a cell waits for the last one to the same cell, and then
   the tables to the first. */
FOR_WIDE_VECTORS static void add_tables(int64_t *tables, int32_t size)
{
    for (int32_t i = 0; i < size; i++)
        for (int32_t t = 1; t < TABLES; t++)
            tables[i] += tables[t * size + i];
}

INLINE void add_by_turns_of(const Problem *p, Cells *c, int32_t feature, const NodeRows *node, int32_t layout)
{
    const uint8_t *column = (const uint8_t *)p->columns + (int64_t)feature * p->num_rows;
    int32_t words = layout == PACKED ? 1 : words_per_cell(p), size = (p->num_bins[feature] + 1) * words;
    int64_t i = 0, count = node->count;
    int64_t *table = c->table;
    for (; i + TABLES <= count; i += TABLES)
        for (int32_t t = 0; t < TABLES; t++) {
            int64_t *cell = table + t * size + column[node->rows[i + t]] * words;
            add_target(p, cell, node->first, node->second, i + t, layout);
        }
    for (; i < count; i++)
        add_target(p, table + column[node->rows[i]] * words, node->first, node->second, i, layout);
    add_tables(table, size);
    memset(table + size, 0, (size_t)(TABLES - 1) * (size_t)size * sizeof *table);
}

static void add_by_turns(const Problem *p, Cells *c, int32_t feature, const NodeRows *node)
{
    if (p->layout == PACKED)
        add_by_turns_of(p, c, feature, node, PACKED);
    else if (p->layout == PAIRS)
        add_by_turns_of(p, c, feature, node, PAIRS);
    else
        add_by_turns_of(p, c, feature, node, CLASSES);
}

int32_t cells_of_rows(const Problem *p, Cells *c, int32_t feature, const NodeRows *node)
{
    int32_t words = words_per_cell(p), num_bins = p->num_bins[feature];
    begin_cells(c);
    if (node->count * 2 < num_bins) {
        add_and_mark(p, c, feature, node);
        if (p->width == 1)
            mark_seen(c, num_bins);
        return take_marked(c, num_bins, words);
    }
    if (p->width == 1 && p->layout != WIDE && node->count > 4 * num_bins * words)
        add_by_turns(p, c, feature, node);
    else
        add_only(p, c, feature, node);
    c->cells = c->table;
    c->num_used = (int64_t)(num_bins + 1) * words;
    return filled_cells(c, c->table, num_bins + 1, words);
}
