#include "few.h"

#include <math.h>
#include <string.h>

enum { ROW_BITS = 4, ROW_MASK = SMALL_NODE - 1, QUAD = 4 };

#define EXACT (1 << 26) /* the squares of smaller weights are exact in float64 */

typedef int32_t Quad __attribute__((vector_size(4 * QUAD)));

bool suits_few(const Problem *p)
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
    few->p = p;
    few->so_far = arena_zeros(arena, (size_t)p->num_classes * sizeof *few->so_far);
    few->least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
}

bool begin_few(Few *few, const int32_t *rows, int32_t count, const int64_t *sums)
{
    const Problem *p = few->p;
    few->rows = rows;
    few->count = count;
    few->sums = sums;
    few->feature = -1;
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
    Quad key[SMALL_NODE / QUAD], rank[SMALL_NODE / QUAD];
    memcpy(key, keys, (size_t)quads * sizeof *key);
    memset(rank, 0, (size_t)quads * sizeof *rank);
    for (int32_t i = 0; i < count; i++)
        for (int32_t q = 0; q < quads; q++)
            rank[q] -= keys[i] < key[q];
    for (int32_t i = 0; i < count; i++)
        sorted[rank[i / QUAD][i % QUAD]] = keys[i];
}

/* The rows in ascending order of their codes: code << ROW_BITS | row. */
INLINE void sort_rows(const Few *few, int32_t feature, int32_t width, int32_t *sorted)
{
    const char *column = (const char *)few->p->columns + (int64_t)feature * few->p->num_rows * width;
    int32_t count = few->count, keys[SMALL_NODE];
    for (int32_t i = count; i % QUAD; i++)
        keys[i] = 0;
    for (int32_t i = 0; i < count; i++)
        keys[i] = (int32_t)(code_at(column, few->rows[i], width) << ROW_BITS) | i;
    if (count == 2) {
        sorted[0] = keys[0] < keys[1] ? keys[0] : keys[1];
        sorted[1] = keys[0] < keys[1] ? keys[1] : keys[0];
    } else if (count <= QUAD) {
        sort_keys(keys, count, 1, sorted);
    } else if (count <= 2 * QUAD) {
        sort_keys(keys, count, 2, sorted);
    } else {
        sort_keys(keys, count, SMALL_NODE / QUAD, sorted);
    }
}

/* -- search --------------------------------------------------------------------------------------------------- */

typedef struct {
    double score;
    int32_t group;
    int64_t left; /* of packed sums */
} Best;

/* The groups are rows of one code each; begins[num_groups] is the number of rows. */
INLINE Best best_of_packed(const Few *few, const int32_t *sorted, const int32_t *begins, int32_t num_candidates,
                           bool alone, int32_t criterion)
{
    const Problem *p = few->p;
    int64_t left = 0;
    double all_g = (double)packed_gradient(*few->sums) * p->units[0];
    double all_h = (double)packed_hessian(*few->sums) * p->units[1];
    Best best = {-INFINITY, -1, 0};
    for (int32_t j = 0; j < num_candidates; j++) {
        left = alone ? 0 : left;
        for (int32_t i = begins[j]; i < begins[j + 1]; i++)
            left += few->cells[sorted[i] & ROW_MASK];
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
INLINE Best best_of_classes(const Few *few, const int32_t *sorted, const int32_t *begins, int32_t num_candidates,
                            bool alone)
{
    int64_t weight = 0, squares = 0, products = 0; /* of one side; of both sides, class by class */
    Best best = {-INFINITY, -1, 0};
    for (int32_t j = 0; j < num_candidates; j++) {
        for (int32_t i = begins[j]; i < begins[j + 1]; i++) {
            int32_t row = sorted[i] & ROW_MASK, label = few->labels[row];
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
                few->so_far[few->labels[sorted[i] & ROW_MASK]] = 0;
        }
    }
    for (int32_t i = 0; i < few->count; i++)
        few->so_far[few->labels[i]] = 0;
    return best;
}

Found search_few(Few *few, int32_t feature, Split *split)
{
    const Problem *p = few->p;
    bool alone = p->is_category[feature]; /* each candidate is one category */
    if (alone && p->num_bins[feature] > p->max_categories_onehot)
        return UNSUITED;
    int32_t sorted[SMALL_NODE], begins[SMALL_NODE + 1], num_groups = 1;
    if (p->width == 1)
        sort_rows(few, feature, 1, sorted);
    else
        sort_rows(few, feature, 2, sorted);
    if (sorted[few->count - 1] >> ROW_BITS == p->num_bins[feature])
        return UNSUITED; /* some are missing */
    begins[0] = 0;
    for (int32_t i = 1; i < few->count; i++) {
        begins[num_groups] = i;
        num_groups += (sorted[i - 1] ^ sorted[i]) > ROW_MASK;
    }
    if (num_groups == 1)
        return SAME;
    begins[num_groups] = few->count;
    int32_t num_candidates = alone ? num_groups : num_groups - 1;
    Best best = p->layout == CLASSES      ? best_of_classes(few, sorted, begins, num_candidates, alone)
                : p->criterion == GINI ? best_of_packed(few, sorted, begins, num_candidates, alone, GINI)
                                       : best_of_packed(few, sorted, begins, num_candidates, alone, NEWTON);
    if (best.group >= 0 && preferred(best.score, feature, split)) {
        few->feature = split->feature = feature;
        split->score = best.score;
        split->below = sorted[begins[best.group]] >> ROW_BITS;
        split->above = best.group + 1 < num_groups ? sorted[begins[best.group + 1]] >> ROW_BITS : -1;
        split->sums[0] = best.left;
    }
    return VARIED;
}

void complete_few(const Few *few, uint8_t *goes_left, Split *split)
{
    const Problem *p = few->p;
    int32_t feature = few->feature;
    if (feature < 0 || split->feature != feature)
        return;
    bool category = p->is_category[feature];
    uint32_t codes[SMALL_NODE], below = (uint32_t)split->below;
    for (int32_t i = 0; i < few->count; i++)
        codes[i] = code_at(p->columns, feature * p->num_rows + few->rows[i], p->width);
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
