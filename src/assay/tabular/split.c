#include "split.h"

#include <math.h>
#include <stdlib.h> /* qsort */
#include <string.h>

#define PI 3.14159265358979323846

enum { FEW = 300 }; /* categories */

/* -- orders of codes ------------------------------------------------------------------------------------------ */

/* Where each key stands in ascending order, the first of equals first. Counting is faster than sorting for few of
   them, for it has no branches. */
FOR_WIDE_VECTORS static void count_ranks(const double *keys, int32_t count, int32_t *ranks)
{
    for (int32_t i = 0; i < count; i++) {
        int64_t rank = 0;
        for (int32_t j = 0; j < i; j++)
            rank += keys[j] <= keys[i];
        for (int32_t j = i + 1; j < count; j++)
            rank += keys[j] < keys[i];
        ranks[i] = (int32_t)rank;
    }
}

static void sort_ranks(const double *keys, int32_t count, Keyed *items, Keyed *spare, int32_t *ranks)
{
    for (int32_t i = 0; i < count; i++)
        items[i] = (Keyed){keys[i], i};
    for (int32_t run = 1; run < count; run *= 2) { /* merge neighbouring runs */
        for (int32_t begin = 0; begin < count; begin += 2 * run) {
            int32_t middle = begin + run < count ? begin + run : count;
            int32_t end = middle + run < count ? middle + run : count;
            int32_t i = begin, j = middle, to = begin;
            while (i < middle && j < end) {
                bool second = items[j].key < items[i].key;
                spare[to++] = second ? items[j] : items[i];
                i += !second;
                j += second;
            }
            memcpy(spare + to, i < middle ? items + i : items + j, (size_t)(end - to) * sizeof *items);
        }
        Keyed *merged = spare;
        spare = items;
        items = merged;
    }
    for (int32_t i = 0; i < count; i++)
        ranks[items[i].place] = i;
}

/* What a category is sorted by: its Newton step, or the share of the node's heaviest class in it. */
static double category_key(const Problem *p, const int64_t *cell, int32_t heaviest)
{
    double part, whole = (double)weight_of(p, cell) * p->units[1];
    if (p->layout == CLASSES || p->layout == PAIRS)
        part = (double)weight_of_class(p, cell, heaviest) * p->units[1];
    else
        part = (double)(p->layout == PACKED ? packed_gradient(cell[0]) : cell[0]) * p->units[0];
    if (p->criterion == NEWTON)
        whole += p->l2;
    return whole > 0 ? part / whole : 0;
}

static void sort_categories(const Problem *p, Search *s, int32_t count, const int64_t *sums)
{
    int32_t heaviest = 0, words = words_per_cell(p);
    if (p->layout == CLASSES || p->layout == PAIRS)
        for (int32_t k = 1; k < p->num_classes; k++)
            if (weight_of_class(p, sums, k) > weight_of_class(p, sums, heaviest))
                heaviest = k;
    for (int32_t i = 0; i < count; i++)
        s->keys[i] = category_key(p, s->cells.cells + (int64_t)i * words, heaviest);
    if (count < FEW)
        count_ranks(s->keys, count, s->ranks);
    else
        sort_ranks(s->keys, count, s->keyed, s->spare_keyed, s->ranks);
    memcpy(s->spare_codes, s->cells.codes, (size_t)count * sizeof *s->spare_codes);
    memcpy(s->spare_cells, s->cells.cells, (size_t)(count * words) * sizeof *s->spare_cells);
    for (int32_t i = 0; i < count; i++) {
        s->cells.codes[s->ranks[i]] = s->spare_codes[i];
        for (int32_t w = 0; w < words; w++)
            s->cells.cells[(int64_t)s->ranks[i] * words + w] = s->spare_cells[(int64_t)i * words + w];
    }
}

/* What the best two groups of categories gain on average where categories differ by chance only: 2 / pi of how many
   there would be of equal weight, but for one, in units of the noise. */
static double gain_by_chance(const Problem *p, const int64_t *cells, int32_t count)
{
    double roots = 0, whole = 0;
    for (int32_t i = 0; i < count; i++, cells += words_per_cell(p)) {
        double weight = (double)weight_of(p, cells) * p->units[1];
        roots += sqrt(weight);
        whole += weight;
    }
    return whole > 0 ? p->noise * (2 / PI) * (roots * roots / whole - 1) : 0;
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
        const double *highs = p->highs[feature];
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

/* Adds to each cell the one before. */
static void add_up(int64_t *cells, int64_t count, int32_t words)
{
    if (words == 1) {
        int64_t sum = 0;
        for (int64_t i = 0; i < count; i++)
            cells[i] = sum += cells[i];
        return;
    }
    for (int64_t i = words; i < count * words; i++)
        cells[i] += cells[i - words];
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
    int32_t candidates = count, drawn_codes = 0, num_chosen = 0;
    double chance = 0;
    if (p->random_thresholds) {
        drawn_codes = draw_codes(p, s, feature, count, key, &drawn);
        candidates = 1;
    } else if (category) {
        onehot = bins <= p->max_categories_onehot;
        if (!onehot) {
            sort_categories(p, s, count, sums);
            if (p->noise > 0)
                num_chosen = count, chance = gain_by_chance(p, cells, count);
        }
    }
    if (!onehot) {
        int32_t summed = p->random_thresholds ? drawn_codes : count;
        add_up(cells, summed, words);
        if (p->random_thresholds)
            memmove(cells, cells + (int64_t)(summed - 1) * words, (size_t)words * sizeof *cells);
    }
    if (missing) { /* the last one parts the known values from the missing ones */
        for (int32_t w = 0; w < words; w++)
            cells[(int64_t)candidates * words + w] = sums[w] - missing[w];
        candidates++;
    }

    Top top = best_candidate(p, &s->scratch, cells, candidates, NULL, sums, num_chosen, chance);
    bool missing_left = false;
    if (missing) {
        Top left = best_candidate(p, &s->scratch, cells, candidates, missing, sums, num_chosen, chance);
        missing_left = left.score > top.score || (left.score == top.score && left.place < top.place);
        top = missing_left ? left : top;
    }
    if (top.score == -INFINITY || !preferred(top.score, feature, best))
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
    split->sums = arena_take(arena, most_words_per_cell(p) * sizeof *split->sums);
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
    size_t bins = most_categories(p), words = most_words_per_cell(p);
    allocate_cells(p, arena, &s->cells);
    allocate_scratch(p, arena, &s->scratch);
    s->goes_left = arena_take(arena, bins);
    s->keyed = arena_take(arena, bins * sizeof *s->keyed);
    s->spare_keyed = arena_take(arena, bins * sizeof *s->spare_keyed);
    s->keys = arena_take(arena, bins * sizeof *s->keys);
    s->ranks = arena_take(arena, bins * sizeof *s->ranks);
    s->spare_codes = arena_take(arena, bins * sizeof *s->spare_codes);
    s->spare_cells = arena_take(arena, bins * words * sizeof *s->spare_cells);
    s->missing = arena_take(arena, words * sizeof *s->missing);
}
