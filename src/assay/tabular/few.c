#include "few.h"

#include <math.h>
#include <string.h>

enum {
    SMALL = 16,   /* rows whose codes are sorted by comparison */
    MOST = 128,   /* rows, of classes, where many words make up a cell; their codes are bytes if they are not few */
    ROW_BITS = 4, /* of a row in a key */
    ROW_MASK = SMALL - 1,
    QUAD = 4,
    BYTES = 256, /* values of a byte */
};

#define EXACT (1 << 26) /* the squares of smaller weights are exact in float64 */

typedef int32_t Quad __attribute__((vector_size(4 * QUAD)));

static bool suits(const Problem *p)
{
    if (p->random_thresholds || p->width > 2 || p->counted)
        return false;
    if (p->layout == CLASSES)
        return p->criterion == GINI && p->units[1] == 1;
    if (p->layout == PACKED && p->criterion == NEWTON)
        return p->l1 == 0 && p->max_delta_step == 0;
    return p->layout == PACKED && p->criterion == GINI;
}

void allocate_few(const Problem *p, Arena *arena, Few *few)
{
    *few = (Few){.p = p, .most = !suits(p) ? 0 : p->layout == CLASSES && p->width == 1 ? MOST : SMALL};
    if (!few->most)
        return;
    size_t rows = (size_t)few->most;
    few->least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
    few->so_far = arena_zeros(arena, (size_t)p->num_classes * sizeof *few->so_far);
    few->cells = arena_take(arena, rows * sizeof *few->cells);
    few->labels = arena_take(arena, rows * sizeof *few->labels);
    few->sorted = arena_take(arena, rows * sizeof *few->sorted);
    few->begins = arena_take(arena, (rows + 1) * sizeof *few->begins);
    few->codes = arena_take(arena, rows * sizeof *few->codes);
    few->row_codes = arena_take(arena, rows * sizeof *few->row_codes);
    few->places = arena_zeros(arena, BYTES * sizeof *few->places);
}

bool begin_few(Few *few, const int32_t *rows, int32_t count, const int64_t *sums)
{
    const Problem *p = few->p;
    if (count > few->most)
        return false;
    few->rows = rows;
    few->count = count;
    few->sums = sums;
    few->feature = -1;
    few->has_pair_score = false;
    few->weight = weight_of(p, sums);
    int64_t lightest = INT64_MAX;
    if (p->layout == PACKED) {
        for (int32_t i = 0; i < count; i++) {
            int64_t cell = few->cells[i] = widen(((const int32_t *)p->first)[rows[i]]);
            lightest = packed_hessian(cell) < lightest ? packed_hessian(cell) : lightest;
        }
    } else {
        if (few->weight >= EXACT)
            return false;
        few->squares = 0;
        for (int32_t i = 0; i < count; i++) {
            int64_t weight = few->cells[i] = ((const int64_t *)p->second)[rows[i]];
            few->labels[i] = ((const int32_t *)p->first)[rows[i]];
            few->squares += weight * sums[few->labels[i]];
            lightest = weight < lightest ? weight : lightest;
        }
    }
    return lightest >= 1; /* else cells could be zero, and those are left out */
}

/* -- order ---------------------------------------------------------------------------------------------------- */

/* Sorts distinct keys by counting for each how many are below it: without branches, four at a time. */
INLINE void sort_keys(const int32_t *keys, int32_t count, int32_t quads, int32_t *sorted)
{
    Quad key[SMALL / QUAD], rank[SMALL / QUAD];
    memcpy(key, keys, (size_t)quads * sizeof *key);
    memset(rank, 0, (size_t)quads * sizeof *rank);
    for (int32_t i = 0; i < count; i++)
        for (int32_t q = 0; q < quads; q++)
            rank[q] -= keys[i] < key[q];
    for (int32_t i = 0; i < count; i++)
        sorted[rank[i / QUAD][i % QUAD]] = keys[i];
}

/* Groups the rows of a small node by their codes; returns how many groups there are. */
INLINE int32_t group_small(Few *few, const char *column, int32_t width)
{
    int32_t count = few->count, keys[SMALL], sorted[SMALL];
    for (int32_t i = 0; i < count; i++)
        keys[i] = (int32_t)(code_at(column, few->rows[i], width) << ROW_BITS) | i;
    for (int32_t i = count; i % QUAD; i++)
        keys[i] = 0;
    if (count <= QUAD) {
        sort_keys(keys, count, 1, sorted);
    } else if (count <= 2 * QUAD) {
        sort_keys(keys, count, 2, sorted);
    } else {
        sort_keys(keys, count, SMALL / QUAD, sorted);
    }
    int32_t groups = 0, last = -1;
    for (int32_t i = 0; i < count; i++) {
        int32_t code = sorted[i] >> ROW_BITS;
        few->sorted[i] = sorted[i] & ROW_MASK;
        groups += code != last;
        last = few->codes[groups - 1] = code;
        few->begins[groups] = i + 1;
    }
    few->begins[0] = 0;
    return groups;
}

/* The same for bytes, by counting how many rows have each code. */
static int32_t group_bytes(Few *few, const uint8_t *column)
{
    uint64_t present[BYTES / 64] = {0};
    int32_t count = few->count, groups = 0, begin = 0, *places = few->places;
    for (int32_t i = 0; i < count; i++) {
        int32_t code = few->row_codes[i] = column[few->rows[i]];
        present[code / 64] |= 1ull << code % 64;
        places[code]++;
    }
    for (int32_t word = 0; word < BYTES / 64; word++)
        for (uint64_t bits = present[word]; bits; bits &= bits - 1) {
            int32_t code = few->codes[groups] = word * 64 + __builtin_ctzll(bits), size = places[code];
            few->begins[groups++] = places[code] = begin;
            begin += size;
        }
    few->begins[groups] = count;
    for (int32_t i = 0; i < count; i++)
        few->sorted[places[few->row_codes[i]]++] = i;
    for (int32_t group = 0; group < groups; group++)
        places[few->codes[group]] = 0;
    return groups;
}

static int32_t group_rows(Few *few, int32_t feature)
{
    const Problem *p = few->p;
    const char *column = (const char *)p->columns + (int64_t)feature * p->num_rows * p->width;
    if (few->count > SMALL)
        return group_bytes(few, (const uint8_t *)column);
    return p->width == 1 ? group_small(few, column, 1) : group_small(few, column, 2);
}

/* -- search --------------------------------------------------------------------------------------------------- */

typedef struct {
    double score;
    int32_t group;
    int64_t left; /* of packed sums */
} Best;

/* A candidate is the groups up to one of them, or that one alone. */
INLINE Best best_of_packed(const Few *few, int32_t num_candidates, bool alone, int32_t criterion)
{
    const Problem *p = few->p;
    const int32_t *sorted = few->sorted, *begins = few->begins;
    int64_t left = 0;
    double all_g = (double)packed_gradient(*few->sums) * p->units[0];
    double all_h = (double)packed_hessian(*few->sums) * p->units[1];
    Best best = {-INFINITY, -1, 0};
    for (int32_t j = 0; j < num_candidates; j++) {
        left = alone ? 0 : left;
        for (int32_t i = begins[j]; i < begins[j + 1]; i++)
            left += few->cells[sorted[i]];
        int64_t weight = packed_hessian(left);
        if (weight < few->least || few->weight - weight < few->least)
            continue;
        double g = (double)packed_gradient(left) * p->units[0], h = (double)weight * p->units[1], score;
        double other_g = all_g - g, other_h = all_h - h;
        if (criterion == GINI) {
            double first = h - g, other_first = other_h - other_g;
            score = (first * first + g * g) / h + (other_first * other_first + other_g * other_g) / other_h;
        } else {
            score = g * g / (h + p->l2) + other_g * other_g / (other_h + p->l2);
        }
        if (score > best.score)
            best = (Best){score, j, left};
    }
    return best;
}

/* The squares are sums of whole numbers, and so equal to those that are added class by class. */
INLINE Best best_of_classes(const Few *few, int32_t num_candidates, bool alone)
{
    const int32_t *sorted = few->sorted, *begins = few->begins;
    int64_t weight = 0, squares = 0, products = 0; /* of one side; of both sides, class by class */
    Best best = {-INFINITY, -1, 0};
    for (int32_t j = 0; j < num_candidates; j++) {
        for (int32_t i = begins[j]; i < begins[j + 1]; i++) {
            int32_t row = sorted[i], label = few->labels[row];
            int64_t more = few->cells[row];
            squares += more * (2 * few->so_far[label] + more);
            products += more * few->sums[label];
            weight += more;
            few->so_far[label] += more;
        }
        int64_t other = few->weight - weight;
        if (weight >= few->least && other >= few->least) {
            double score = (double)squares / (double)weight +
                           (double)(few->squares - 2 * products + squares) / (double)other;
            if (score > best.score)
                best = (Best){score, j, 0};
        }
        if (alone) {
            weight = squares = products = 0;
            for (int32_t i = begins[j]; i < begins[j + 1]; i++)
                few->so_far[few->labels[sorted[i]]] = 0;
        }
    }
    for (int32_t i = 0; i < few->count; i++)
        few->so_far[few->labels[i]] = 0;
    return best;
}

static void keep(Few *few, Split *split, int32_t feature, double score, int32_t below, int32_t above, int64_t left)
{
    few->feature = split->feature = feature;
    split->score = score;
    split->below = below;
    split->above = above;
    split->sums[0] = left; /* of packed sums */
}

/* Both sides of every split of two rows are one row, so all features are equally good that vary. */
static double score_of_pair(Few *few)
{
    few->sorted[0] = few->begins[0] = 0;
    few->sorted[1] = few->begins[1] = 1;
    return few->p->layout == CLASSES   ? best_of_classes(few, 1, true).score
           : few->p->criterion == GINI ? best_of_packed(few, 1, true, GINI).score
                                       : best_of_packed(few, 1, true, NEWTON).score;
}

static Found search_pair(Few *few, int32_t feature, Split *split)
{
    const Problem *p = few->p;
    int64_t column = feature * p->num_rows;
    int32_t a = (int32_t)code_at(p->columns, column + few->rows[0], p->width);
    int32_t b = (int32_t)code_at(p->columns, column + few->rows[1], p->width);
    if (a == b)
        return SAME;
    int32_t below = a < b ? a : b, above = a < b ? b : a;
    if (above == p->num_bins[feature])
        return UNSUITED;
    if (!few->has_pair_score) {
        few->pair_score = score_of_pair(few);
        few->has_pair_score = true;
    }
    if (few->pair_score > -INFINITY && preferred(few->pair_score, feature, split))
        keep(few, split, feature, few->pair_score, below, above, few->cells[a > b]);
    return VARIED;
}

Found search_few(Few *few, int32_t feature, Split *split)
{
    const Problem *p = few->p;
    bool alone = p->is_category[feature]; /* each candidate is one category */
    if (alone && p->num_bins[feature] > p->max_categories_onehot)
        return UNSUITED;
    if (few->count == 2)
        return search_pair(few, feature, split);
    int32_t num_groups = group_rows(few, feature);
    if (few->codes[num_groups - 1] == p->num_bins[feature])
        return UNSUITED; /* some are missing */
    if (num_groups == 1)
        return SAME;
    int32_t num_candidates = alone ? num_groups : num_groups - 1;
    Best best = p->layout == CLASSES   ? best_of_classes(few, num_candidates, alone)
                : p->criterion == GINI ? best_of_packed(few, num_candidates, alone, GINI)
                                       : best_of_packed(few, num_candidates, alone, NEWTON);
    if (best.group >= 0 && preferred(best.score, feature, split))
        keep(few, split, feature, best.score, few->codes[best.group],
             best.group + 1 < num_groups ? few->codes[best.group + 1] : -1, best.left);
    return VARIED;
}

void complete_few(Few *few, uint8_t *goes_left, Split *split)
{
    const Problem *p = few->p;
    int32_t feature = few->feature;
    if (feature < 0 || split->feature != feature)
        return;
    bool category = p->is_category[feature];
    int32_t *codes = few->row_codes, below = split->below;
    for (int32_t i = 0; i < few->count; i++)
        codes[i] = (int32_t)code_at(p->columns, feature * p->num_rows + few->rows[i], p->width);
    if (p->layout == CLASSES) {
        memset(split->sums, 0, (size_t)p->num_classes * sizeof *split->sums);
        for (int32_t i = 0; i < few->count; i++)
            if (category ? codes[i] == below : codes[i] <= below)
                split->sums[few->labels[i]] += few->cells[i];
    }
    int64_t weight = weight_of(p, split->sums);
    split->drawn = NAN;
    split->missing_left = weight > few->weight - weight;
    split->num_bins_left = 0;
    split->cut = category ? -1 : split->below;
    if (!category)
        return;
    if (!split->missing_left) {
        split->bins_left[split->num_bins_left++] = split->below;
        return;
    }
    int32_t bins = p->num_bins[feature]; /* those that the node has no rows of go with the heavier child */
    memset(goes_left, 1, (size_t)bins);
    for (int32_t i = 0; i < few->count; i++)
        goes_left[codes[i]] = codes[i] == below;
    for (int32_t bin = 0; bin < bins; bin++)
        if (goes_left[bin])
            split->bins_left[split->num_bins_left++] = bin;
}
