#include "few.h"

#include <math.h>
#include <string.h>

/* The squares of smaller weights have 32 bits. */
#define HEAVY (1 << 15)

#define UP_TO (1 << 30) /* farther than codes are apart */

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

/* Whether a feature is a number, or each of its candidates one category. */
static bool suits_feature(const Problem *p, int32_t feature)
{
    return !p->is_category[feature] || p->num_bins[feature] <= p->max_categories_onehot;
}

void allocate_few(const Problem *p, Arena *arena, Few *few)
{
    memset(few, 0, sizeof *few);
    few->p = p;
    few->suits = few->suits_all = suits(p);
    if (!few->suits)
        return;
    for (int32_t j = 0; j < p->num_used; j++)
        few->suits_all &= suits_feature(p, p->features[j]);
    few->lists_bins = p->max_leaves >= 0 || !few->suits_all;
    int64_t least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
    few->least = least < INT32_MAX ? (int32_t)least : INT32_MAX; /* no node weighs twice as much */
    size_t features = (size_t)p->num_used + FEW_LANES / 4; /* so many may be judged together */
    few->noted = arena_take(arena, features * sizeof *few->noted);
    few->codes = arena_take(arena, features * FEW_ROWS * sizeof *few->codes);
    few->features = arena_take(arena, features * FEW_LANES * sizeof *few->features);
    few->ranges = arena_take(arena, features * FEW_LANES * sizeof *few->ranges);
    few->missing = arena_take(arena, features * FEW_LANES * sizeof *few->missing);
    if (p->layout == CLASSES)
        few->class_ends = arena_zeros(arena, (size_t)p->num_classes * sizeof *few->class_ends);
}

/* -- the node ------------------------------------------------------------------------------------------------- */

bool fits_few(const Few *few, int32_t count, const int64_t *sums)
{
    return few->suits && count <= FEW_ROWS && (few->p->layout == PACKED || weight_of(few->p, sums) < HEAVY);
}

static void begin_packed(Few *few)
{
    const int32_t *records = few->p->first;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t record = records[few->rows[i]];
        few->gradients[i] = record >> 16;
        few->weights[i] = record & 0xFFFF;
    }
    few->gradient = (int32_t)packed_gradient(*few->sums);
    few->weight = (int32_t)packed_hessian(*few->sums);
}

static bool is_sorted(const int32_t *labels, int32_t count)
{
    bool descends = false;
    for (int32_t i = 1; i < count; i++)
        descends |= labels[i] < labels[i - 1];
    return !descends;
}

/* Sorts rows by their classes, equals in their order, unless they are: the parts of sorted rows are. */
static void sort_by_label(Few *few)
{
    int32_t *ends = few->class_ends, begin = 0, labels[FEW_ROWS], rows[FEW_ROWS];
    if (is_sorted(few->labels, few->count))
        return;
    memcpy(labels, few->labels, (size_t)few->count * sizeof *labels);
    memcpy(rows, few->rows, (size_t)few->count * sizeof *rows);
    for (int32_t i = 0; i < few->count; i++)
        ends[labels[i]]++;
    for (int32_t k = 0; k < few->p->num_classes; k++) {
        int32_t size = ends[k];
        ends[k] = begin;
        begin += size;
    }
    for (int32_t i = 0; i < few->count; i++) {
        int32_t place = ends[labels[i]]++;
        few->rows[place] = rows[i];
        few->labels[place] = labels[i];
    }
    memset(ends, 0, (size_t)few->p->num_classes * sizeof *ends);
}

static void begin_classes(Few *few)
{
    const int32_t *labels = few->p->first;
    const int64_t *weights = few->p->second;
    for (int32_t i = 0; i < few->count; i++)
        few->labels[i] = labels[few->rows[i]];
    sort_by_label(few);
    few->weight = few->squares = 0;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t weight = few->weights[i] = (int32_t)weights[few->rows[i]];
        few->products[i] = weight * (int32_t)few->sums[few->labels[i]];
        few->weight += weight;
        few->squares += few->products[i];
        few->ends[i] = i + 1 == few->count || few->labels[i + 1] != few->labels[i] ? -1 : 0;
    }
}

void begin_few(Few *few, int32_t *rows, int32_t count, const int64_t *sums)
{
    few->rows = rows;
    few->count = count;
    few->sums = sums;
    few->num_noted = 0;
    few->feature = -1;
    few->stride = count <= 4 ? 4 : count <= 8 ? 8 : (count + FEW_LANES - 1) / FEW_LANES * FEW_LANES;
    if (few->p->layout == PACKED)
        begin_packed(few);
    else
        begin_classes(few);
    for (int32_t i = 0; i < few->stride; i++)
        few->places[i] = rows[i < count ? i : 0];
    for (int32_t i = count; i < few->stride; i++)
        few->weights[i] = few->gradients[i] = few->labels[i] = few->products[i] = few->ends[i] = 0;
}

double score_of_few(const Few *few)
{
    return few->p->layout == CLASSES ? (double)few->squares / few->weight : score_of_node(few->p, few->sums);
}

/* Reads the codes of a feature; says whether they differ. */
INLINE bool read_codes(const Few *few, Noted *noted, int32_t width, int32_t stride)
{
    const Problem *p = few->p;
    const char *column = (const char *)p->columns + (int64_t)noted->feature * p->num_rows * width;
    int32_t place = few->num_noted * stride, differ = 0, first = (int32_t)code_at(column, few->places[0], width);
    int32_t *codes = few->codes + place, missing = noted->missing;
    bool found = false;
    for (int32_t i = 0; i < stride; i++) {
        int32_t code = codes[i] = (int32_t)code_at(column, few->places[i], width);
        differ |= code ^ first;
        found |= code == missing;
    }
    noted->has_missing = found;
    for (int32_t i = place; stride < FEW_LANES && i < place + stride; i++) {
        few->features[i] = noted->feature;
        few->ranges[i] = noted->range;
        few->missing[i] = missing;
    }
    return differ != 0;
}

INLINE bool read_some(const Few *few, Noted *noted, int32_t width)
{
    return few->stride == 4    ? read_codes(few, noted, width, 4)
           : few->stride == 8  ? read_codes(few, noted, width, 8)
           : few->stride == 16 ? read_codes(few, noted, width, 16)
                               : read_codes(few, noted, width, few->stride);
}

Found note_few(Few *few, int32_t feature)
{
    const Problem *p = few->p;
    if (!few->suits_all && !suits_feature(p, feature))
        return UNSUITED;
    Noted *noted = &few->noted[few->num_noted];
    noted->feature = feature;
    noted->missing = p->num_bins[feature];
    noted->range = p->is_category[feature] ? 0 : UP_TO;
    bool varies = p->width == 1 ? read_some(few, noted, 1) : read_some(few, noted, 2);
    few->num_noted += varies;
    return varies ? VARIED : SAME;
}

/* -- search --------------------------------------------------------------------------------------------------- */

static void keep(Few *few, Split *split, int32_t place, double score, int32_t code, bool missing_left)
{
    few->best = place;
    few->feature = split->feature = few->noted[place].feature;
    few->code = code;
    few->missing_left = missing_left;
    split->score = score;
}

/* Both sides of every split of two rows are one row, so all features are equally good that vary. */
static void search_pair(Few *few, Split *split)
{
    double score = few->weight; /* of classes, for each side is of one */
    if (few->p->layout == PACKED)
        score = score_of_split(few->p, ((int64_t)few->gradients[0] << 32) + few->weights[0], *few->sums);
    int32_t first = 0;
    for (int32_t i = 1; i < few->num_noted; i++)
        first = few->noted[i].feature < few->noted[first].feature ? i : first;
    const int32_t *codes = few->codes + first * few->stride;
    if (score > -INFINITY && preferred(score, few->noted[first].feature, split))
        keep(few, split, first, score, codes[0] < codes[1] ? codes[0] : codes[1], false);
}

/* Repeats the first feature where several are judged together. */
static void fill_lanes(Few *few)
{
    for (int32_t i = few->num_noted; i * few->stride % FEW_LANES; i++) {
        few->noted[i] = few->noted[0];
        for (int32_t from = 0, to = i * few->stride; from < few->stride; from++, to++) {
            few->codes[to] = few->codes[from];
            few->features[to] = few->features[from];
            few->ranges[to] = few->ranges[from];
            few->missing[to] = few->missing[from];
        }
    }
}

static void search_noted(Few *few, Split *split)
{
    double score;
    Chosen chosen;
    fill_lanes(few);
    judge_few(few, &score, &chosen);
    if (score == -INFINITY || !preferred(score, chosen.feature, split))
        return;
    int32_t place = 0;
    while (few->noted[place].feature != chosen.feature)
        place++;
    keep(few, split, place, score, chosen.code, chosen.missing_left);
}

/* -- the best split ------------------------------------------------------------------------------------------- */

/* A category that is missing is parted from the others. */
static void mark_left(Few *few, const Noted *noted, const int32_t *codes)
{
    uint32_t code = (uint32_t)few->code, range = noted->range ? code : 0, least = code - range;
    int32_t inverse = noted->range == 0 && few->code == noted->missing ? -1 : 0;
    for (int32_t i = 0; i < few->stride; i++)
        few->left[i] = -(int32_t)((uint32_t)codes[i] - least <= range) ^ inverse;
    if (few->missing_left)
        for (int32_t i = 0; i < few->stride; i++)
            few->left[i] |= -(int32_t)(codes[i] == noted->missing);
}

/* The codes that go left: those of rows that do and, if missing values do, those that the node has no rows of. */
static void fill_table(const Few *few, const int32_t *codes, uint8_t *goes_left, bool missing_left)
{
    memset(goes_left, missing_left, (size_t)few->p->num_bins[few->feature] + 1);
    for (int32_t i = 0; i < few->count; i++)
        goes_left[codes[i]] = few->left[i] & 1;
}

static void sum_left(const Few *few, int64_t *sums)
{
    if (few->p->layout == CLASSES) {
        memset(sums, 0, (size_t)few->p->num_classes * sizeof *sums);
        for (int32_t i = 0; i < few->count; i++)
            sums[few->labels[i]] += few->weights[i] & few->left[i];
        return;
    }
    int32_t gradients = 0, hessians = 0;
    for (int32_t i = 0; i < few->stride; i++) {
        gradients += few->gradients[i] & few->left[i];
        hessians += few->weights[i] & few->left[i];
    }
    *sums = (int64_t)gradients * ((int64_t)1 << 32) + hessians;
}

/* The least code above that of the split, or that of missing values. */
static int32_t code_above(const Few *few, const int32_t *codes)
{
    uint32_t least = UINT32_MAX, first = (uint32_t)few->code + 1;
    for (int32_t i = 0; i < few->stride; i++) {
        uint32_t above = (uint32_t)codes[i] - first;
        least = above < least ? above : least;
    }
    return (int32_t)(least + first);
}

static void complete(Few *few, uint8_t *goes_left, Split *split)
{
    const Problem *p = few->p;
    const Noted *noted = &few->noted[few->best];
    const int32_t *codes = few->codes + few->best * few->stride;
    mark_left(few, noted, codes);
    sum_left(few, split->sums);
    int64_t weight = weight_of(p, split->sums);
    split->missing_left = noted->has_missing ? few->missing_left : weight > weight_of(p, few->sums) - weight;
    split->drawn = NAN;
    split->num_bins_left = 0;
    if (noted->range) {
        int32_t above = code_above(few, codes);
        split->below = few->code;
        split->above = above < noted->missing ? above : -1;
        split->cut = above < noted->missing ? few->code : noted->missing - 1;
        return;
    }
    split->below = split->above = split->cut = -1;
    fill_table(few, codes, goes_left, split->missing_left);
    if (few->lists_bins)
        for (int32_t bin = 0; bin < noted->missing; bin++) {
            split->bins_left[split->num_bins_left] = bin;
            split->num_bins_left += goes_left[bin];
        }
}

void search_few(Few *few, uint8_t *goes_left, Split *split)
{
    if (few->num_noted && few->count == 2)
        search_pair(few, split);
    else if (few->num_noted)
        search_noted(few, split);
    if (few->feature >= 0 && split->feature == few->feature)
        complete(few, goes_left, split);
}

int32_t part_few(Few *few)
{
    int32_t num_left = 0, num_right = 0, spare[FEW_ROWS], *rows = few->rows;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t is_left = few->left[i] & 1, row = rows[i];
        spare[num_right] = rows[num_left] = row;
        num_left += is_left;
        num_right += !is_left;
    }
    memcpy(rows + num_left, spare, (size_t)num_right * sizeof *rows);
    return num_left;
}
