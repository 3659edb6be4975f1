#include "split.h"

#include <math.h>
#include <stdlib.h> /* qsort */
#include <string.h>

/* A gain of less than this share of what it is the difference of is rounding. */
#define ROUNDING 1e-15

enum { BLOCK = 64 }; /* candidates that are scored together */

/* The two numbers of both children of up to BLOCK candidates; a left hessian below 0 marks one that is not
   allowed. */
typedef struct {
    double left_gradient[BLOCK], left_hessian[BLOCK], right_gradient[BLOCK], right_hessian[BLOCK], score[BLOCK];
} Block;

typedef struct {
    double score;
    int32_t place;
} Top;

/* -- scores --------------------------------------------------------------------------------------------------- */

INLINE double newton_score(double gradient, double hessian, double l1, double l2, double max_delta_step)
{
    double excess = fabs(gradient) - l1, curvature = hessian + l2;
    excess = excess > 0 ? excess : 0;
    if (max_delta_step == 0)
        return excess * excess / curvature;
    double step = excess / curvature;
    step = step < max_delta_step ? step : max_delta_step;
    return step * (2.0 * excess - curvature * step);
}

INLINE double gini_score(double second, double total)
{
    double first = total - second;
    return (first * first + second * second) / total;
}

/* w log2 w */
static double entropy_term(double weight)
{
    return weight > 0 ? weight * log2(weight) : 0;
}

static double entropy_score(double second, double total)
{
    double disorder = entropy_term(total) - entropy_term(total - second);
    return -(disorder - entropy_term(second));
}

FOR_WIDE_VECTORS static void score_newton(Block *b, int32_t count, double l1, double l2, double max_delta_step)
{
    if (l1 == 0 && max_delta_step == 0)
        for (int32_t i = 0; i < count; i++) {
            double left = b->left_gradient[i] * b->left_gradient[i] / (b->left_hessian[i] + l2);
            double right = b->right_gradient[i] * b->right_gradient[i] / (b->right_hessian[i] + l2);
            b->score[i] = b->left_hessian[i] >= 0 ? left + right : -INFINITY;
        }
    else
        for (int32_t i = 0; i < count; i++) {
            double left = newton_score(b->left_gradient[i], b->left_hessian[i], l1, l2, max_delta_step);
            double right = newton_score(b->right_gradient[i], b->right_hessian[i], l1, l2, max_delta_step);
            b->score[i] = b->left_hessian[i] >= 0 ? left + right : -INFINITY;
        }
}

FOR_WIDE_VECTORS static void score_gini(Block *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        double left = gini_score(b->left_gradient[i], b->left_hessian[i]);
        double right = gini_score(b->right_gradient[i], b->right_hessian[i]);
        b->score[i] = b->left_hessian[i] >= 0 ? left + right : -INFINITY;
    }
}

static void score_entropy(Block *b, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        b->score[i] = b->left_hessian[i] >= 0 ? entropy_score(b->left_gradient[i], b->left_hessian[i]) +
                                                    entropy_score(b->right_gradient[i], b->right_hessian[i])
                                              : -INFINITY;
}

/* The score of the weights of several classes. */
static double classes_score(const Problem *p, const int64_t *sums)
{
    double total = (double)weight_of(p, sums) * p->units[1];
    if (p->criterion == GINI) {
        double squares = 0;
        for (int32_t k = 0; k < p->num_classes; k++) {
            double weight = (double)sums[k] * p->units[1];
            squares += weight * weight;
        }
        return squares / total;
    }
    double disorder = entropy_term(total);
    for (int32_t k = 0; k < p->num_classes; k++)
        disorder -= entropy_term((double)sums[k] * p->units[1]);
    return -disorder;
}

static double score_of(const Problem *p, const int64_t *sums)
{
    if (p->layout == CLASSES)
        return classes_score(p, sums);
    double gradient = (double)(p->layout == PACKED ? packed_gradient(sums[0]) : sums[0]) * p->units[0];
    double hessian = (double)weight_of(p, sums) * p->units[1];
    return p->criterion == NEWTON ? newton_score(gradient, hessian, p->l1, p->l2, p->max_delta_step)
           : p->criterion == GINI ? gini_score(gradient, hessian)
                                  : entropy_score(gradient, hessian);
}

/* -- candidates ----------------------------------------------------------------------------------------------- */

/* Sums of 32 + 32 bits are exact in doubles. */
FOR_WIDE_VECTORS static void unpack(const Problem *p, Block *b, const int64_t *left, int32_t count, int64_t missing,
                                    int64_t sums)
{
    double units[2] = {p->units[0], p->units[1]};
    double gradient = (double)packed_gradient(sums) * units[0], hessian = (double)packed_hessian(sums) * units[1];
    int64_t least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
    int64_t known = packed_hessian(missing) + 1; /* something beside the missing values must go left */
    double least_right = (double)least * units[1];
    double least_left = (double)(missing && known > least ? known : least) * units[1];
    for (int32_t i = 0; i < count; i++) {
        int64_t cell = left[i] + missing;
        double g = (double)(int32_t)(cell >> 32) * units[0], h = (double)(int32_t)cell * units[1];
        double rest = hessian - h;
        b->left_gradient[i] = g;
        b->right_gradient[i] = gradient - g;
        b->left_hessian[i] = h >= least_left && rest >= least_right ? h : -1;
        b->right_hessian[i] = rest;
    }
}

static void unwiden(const Problem *p, Block *b, const int64_t *left, int32_t count, const int64_t *missing,
                    const int64_t *sums)
{
    const int64_t none[3] = {0};
    const int64_t *extra = missing ? missing : none;
    for (int32_t i = 0; i < count; i++, left += 3) {
        int64_t g = left[0] + extra[0], h = left[1] + extra[1], n = left[2] + extra[2];
        bool allowed = h >= p->min_weight && sums[1] - h >= p->min_weight && n >= p->min_samples_leaf &&
                       sums[2] - n >= p->min_samples_leaf && left[1] >= 1;
        b->left_gradient[i] = (double)g * p->units[0];
        b->right_gradient[i] = (double)(sums[0] - g) * p->units[0];
        b->left_hessian[i] = allowed ? (double)h * p->units[1] : -1;
        b->right_hessian[i] = (double)(sums[1] - h) * p->units[1];
    }
}

/* The best candidate if missing values go right (missing is NULL) or left; the first one of equals. */
static Top best_of_two_sums(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                            const int64_t *sums)
{
    Block b;
    Top top = {-INFINITY, -1};
    int32_t words = words_per_cell(p);
    for (int32_t start = 0; start < count; start += BLOCK) {
        int32_t size = count - start < BLOCK ? count - start : BLOCK;
        if (p->layout == PACKED)
            unpack(p, &b, left + start, size, missing ? *missing : 0, *sums);
        else
            unwiden(p, &b, left + (int64_t)start * words, size, missing, sums);
        if (p->criterion == NEWTON)
            score_newton(&b, size, p->l1, p->l2, p->max_delta_step);
        else if (p->criterion == GINI)
            score_gini(&b, size);
        else
            score_entropy(&b, size);
        for (int32_t i = 0; i < size; i++)
            if (b.score[i] > top.score)
                top = (Top){b.score[i], start + i};
    }
    return top;
}

static bool large_enough(const Problem *p, const int64_t *sums)
{
    int64_t weight = weight_of(p, sums);
    return weight >= p->min_weight && (p->counted ? sums[p->num_classes] : weight) >= p->min_samples_leaf;
}

static Top best_of_classes(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                           const int64_t *sums, int64_t *one, int64_t *other)
{
    Top top = {-INFINITY, -1};
    int32_t words = words_per_cell(p);
    for (int32_t i = 0; i < count; i++, left += words) {
        for (int32_t w = 0; w < words; w++) {
            one[w] = left[w] + (missing ? missing[w] : 0);
            other[w] = sums[w] - one[w];
        }
        if (!large_enough(p, one) || !large_enough(p, other) || (missing && weight_of(p, left) < 1))
            continue;
        double score = classes_score(p, one) + classes_score(p, other);
        if (score > top.score)
            top = (Top){score, i};
    }
    return top;
}

/* -- orders of codes ------------------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
    const Keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static void sort_by_key(Keyed *items, int32_t count)
{
    if (count > 48) {
        qsort(items, (size_t)count, sizeof *items, by_key);
        return;
    }
    for (int32_t i = 1; i < count; i++) {
        Keyed item = items[i];
        int32_t j = i;
        for (; j > 0 && items[j - 1].key > item.key; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
}

/* What a category is sorted by: its Newton step, or the share of the node's heaviest class in it. */
static double category_key(const Problem *p, const int64_t *cell, int32_t heaviest)
{
    double part, whole = (double)weight_of(p, cell) * p->units[1];
    if (p->layout == CLASSES)
        part = (double)cell[heaviest] * p->units[1];
    else
        part = (double)(p->layout == PACKED ? packed_gradient(cell[0]) : cell[0]) * p->units[0];
    if (p->criterion == NEWTON)
        whole += p->l2;
    return whole > 0 ? part / whole : 0;
}

static void sort_categories(const Problem *p, Search *s, int32_t count, const int64_t *sums)
{
    Keyed *items = s->keyed;
    int32_t heaviest = 0, words = words_per_cell(p);
    if (p->layout == CLASSES)
        for (int32_t k = 1; k < p->num_classes; k++)
            if (sums[k] > sums[heaviest])
                heaviest = k;
    for (int32_t i = 0; i < count; i++)
        items[i] = (Keyed){category_key(p, s->cells.cells + (int64_t)i * words, heaviest), i};
    sort_by_key(items, count);
    memcpy(s->spare_codes, s->cells.codes, (size_t)count * sizeof *s->spare_codes);
    memcpy(s->spare_cells, s->cells.cells, (size_t)(count * words) * sizeof *s->spare_cells);
    for (int32_t i = 0; i < count; i++) {
        s->cells.codes[i] = s->spare_codes[items[i].place];
        memcpy(s->cells.cells + (int64_t)i * words, s->spare_cells + (int64_t)items[i].place * words,
               (size_t)words * sizeof *s->spare_cells);
    }
}

/* Puts the codes that a random threshold, or a random set of categories, sends left in front; returns how many. */
static int32_t draw_codes(const Problem *p, Search *s, int32_t feature, int32_t count, uint64_t key, double *drawn)
{
    uint64_t number = draw(key, THRESHOLD, (uint64_t)feature);
    int32_t *codes = s->cells.codes;
    *drawn = NAN;
    if (count == 1)
        return 1;
    if (!p->is_category[feature]) {
        const double *highs = p->highs + p->high_offsets[feature];
        double low = highs[codes[0]], high = highs[codes[count - 1]];
        double threshold = low + (double)(number >> 11) * 0x1p-53 * (high - low);
        if (!(threshold < high))
            threshold = low;
        *drawn = threshold;
        int32_t chosen = 0;
        while (highs[codes[chosen]] <= threshold)
            chosen++;
        return chosen;
    }
    int32_t chosen = 0;
    for (int32_t i = 0; i < count; i++)
        chosen += s->goes_left[i] = mix(number + (uint64_t)codes[i]) >> 63;
    if (chosen == 0 || chosen == count) {
        s->goes_left[0] = !s->goes_left[0];
        chosen = chosen == 0 ? 1 : count - 1;
    }
    int32_t words = words_per_cell(p);
    memcpy(s->spare_codes, codes, (size_t)count * sizeof *codes);
    memcpy(s->spare_cells, s->cells.cells, (size_t)(count * words) * sizeof *s->spare_cells);
    for (int32_t i = 0, left = 0, right = chosen; i < count; i++) {
        int32_t to = s->goes_left[i] ? left++ : right++;
        codes[to] = s->spare_codes[i];
        memcpy(s->cells.cells + (int64_t)to * words, s->spare_cells + (int64_t)i * words,
               (size_t)words * sizeof *s->spare_cells);
    }
    return chosen;
}

/* -- the search ----------------------------------------------------------------------------------------------- */

static int by_code(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The bins that go left: those picked and, if missing values go left, those that the node has no rows of. */
static void list_bins_left(const Problem *p, Search *s, Split *split, const int32_t *codes, int32_t count,
                           int32_t start, int32_t end)
{
    if (split->missing_left) {
        int32_t bins = p->num_bins[split->feature];
        memset(s->goes_left, 1, (size_t)bins);
        for (int32_t i = 0; i < count; i++)
            s->goes_left[codes[i]] = i >= start && i < end;
        split->num_bins_left = 0;
        for (int32_t bin = 0; bin < bins; bin++)
            if (s->goes_left[bin])
                split->bins_left[split->num_bins_left++] = bin;
    } else {
        split->num_bins_left = end - start;
        memcpy(split->bins_left, codes + start, (size_t)(end - start) * sizeof *codes);
        qsort(split->bins_left, (size_t)(end - start), sizeof *codes, by_code);
    }
}

bool preferred(double score, int32_t feature, const Split *to)
{
    return to->feature < 0 || score > to->score || (score == to->score && feature < to->feature);
}

void search_feature(const Problem *p, Search *s, Split *best, int32_t feature, int32_t count, const int64_t *sums,
                    uint64_t key)
{
    int32_t bins = p->num_bins[feature], words = words_per_cell(p);
    int32_t *codes = s->cells.codes;
    int64_t *cells = s->cells.cells;
    bool category = p->is_category[feature], onehot = false;
    double drawn = NAN;
    const int64_t *missing = NULL;
    if (count && codes[count - 1] == bins) {
        count--;
        missing = memcpy(s->missing, cells + (int64_t)count * words, (size_t)words * sizeof *cells);
    }
    if (count == 0)
        return;

    /* The candidates: the first codes up to any place, a single code, or the codes drawn. */
    int32_t candidates = count, drawn_codes = 0;
    if (p->random_thresholds) {
        drawn_codes = draw_codes(p, s, feature, count, key, &drawn);
        candidates = 1;
    } else if (category) {
        onehot = bins <= p->max_categories_onehot;
        if (!onehot)
            sort_categories(p, s, count, sums);
    }
    if (!onehot) {
        int32_t summed = p->random_thresholds ? drawn_codes : count;
        for (int64_t i = words; i < (int64_t)summed * words; i++)
            cells[i] += cells[i - words];
        if (p->random_thresholds)
            memmove(cells, cells + (int64_t)(summed - 1) * words, (size_t)words * sizeof *cells);
    }
    if (missing) { /* the last one parts the known values from the missing ones */
        for (int32_t w = 0; w < words; w++)
            cells[(int64_t)candidates * words + w] = sums[w] - missing[w];
        candidates++;
    }

    Top top, left = {-INFINITY, -1};
    if (p->layout == CLASSES) {
        top = best_of_classes(p, cells, candidates, NULL, sums, s->one, s->other);
        if (missing)
            left = best_of_classes(p, cells, candidates, missing, sums, s->one, s->other);
    } else {
        top = best_of_two_sums(p, cells, candidates, NULL, sums);
        if (missing)
            left = best_of_two_sums(p, cells, candidates, missing, sums);
    }
    bool missing_left = left.score > top.score || (left.score == top.score && left.place < top.place);
    if (missing_left)
        top = left;
    if (top.place < 0)
        return;
    if (!preferred(top.score, feature, best))
        return;
    best->score = top.score;
    best->feature = feature;
    best->drawn = drawn;
    for (int32_t w = 0; w < words; w++)
        best->sums[w] = cells[(int64_t)top.place * words + w] + (missing_left ? missing[w] : 0);
    int64_t weight = weight_of(p, best->sums);
    best->missing_left = missing ? missing_left : weight > weight_of(p, sums) - weight;
    bool whole = missing && top.place == candidates - 1;
    int32_t start = onehot && !whole ? top.place : 0;
    int32_t end = whole ? count : p->random_thresholds ? drawn_codes : top.place + 1;
    if (category) {
        best->cut = -1;
        list_bins_left(p, s, best, codes, count, start, end);
    } else {
        best->cut = end == count ? bins - 1 : codes[end - 1];
        best->below = codes[end - 1];
        best->above = end < count ? codes[end] : -1;
        best->num_bins_left = 0;
    }
}

bool accept_split(const Problem *p, Split *split, const int64_t *sums)
{
    if (split->feature < 0)
        return false;
    double parent = score_of(p, sums);
    split->gain = split->score - parent;
    if (!(split->gain >= p->min_gain))
        return false;
    if (p->min_gain < 0)
        return true;
    if (p->criterion == NEWTON)
        return split->gain > ROUNDING * parent;
    double total = (double)weight_of(p, sums) * p->units[1];
    double size = p->criterion == GINI ? total : entropy_term(total);
    return split->gain > ROUNDING * (p->num_classes + 1) * fabs(size);
}

/* -- memory --------------------------------------------------------------------------------------------------- */

static size_t most_categories(const Problem *p)
{
    size_t bins = 1;
    for (int32_t f = 0; f < p->num_features; f++)
        if (p->is_category[f] && (size_t)p->num_bins[f] > bins)
            bins = (size_t)p->num_bins[f];
    return bins;
}

void allocate_split(const Problem *p, Arena *arena, Split *split)
{
    split->bins_left = arena_take(arena, most_categories(p) * sizeof *split->bins_left);
    split->sums = arena_take(arena, (size_t)words_per_cell(p) * sizeof *split->sums);
}

void copy_split(const Problem *p, Split *to, const Split *from)
{
    int32_t *bins_left = to->bins_left;
    int64_t *sums = to->sums;
    *to = *from;
    to->bins_left = memcpy(bins_left, from->bins_left, (size_t)from->num_bins_left * sizeof *bins_left);
    to->sums = memcpy(sums, from->sums, (size_t)words_per_cell(p) * sizeof *sums);
}

void allocate_search(const Problem *p, Arena *arena, Search *s)
{
    size_t bins = most_categories(p), words = (size_t)words_per_cell(p);
    allocate_cells(p, arena, &s->cells);
    s->goes_left = arena_take(arena, bins);
    s->keyed = arena_take(arena, bins * sizeof *s->keyed);
    s->spare_codes = arena_take(arena, bins * sizeof *s->spare_codes);
    s->spare_cells = arena_take(arena, bins * words * sizeof *s->spare_cells);
    s->missing = arena_take(arena, words * sizeof *s->missing);
    s->one = arena_take(arena, words * sizeof *s->one);
    s->other = arena_take(arena, words * sizeof *s->other);
}
