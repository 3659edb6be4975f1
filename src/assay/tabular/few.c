#include "few.h"

#include <math.h>
#include <string.h>

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
    few->noted = arena_take(arena, (size_t)p->num_used * sizeof *few->noted);
    few->codes = arena_zeros(arena, (size_t)p->num_used * FEW_ROWS * sizeof *few->codes);
}

/* -- the node ------------------------------------------------------------------------------------------------- */

/* Sorts rows by their classes. */
static void sort_by_label(Few *few)
{
    const int32_t *labels = few->p->first;
    for (int32_t i = 1; i < few->count; i++) {
        int32_t row = few->rows[i], label = labels[row], j = i;
        for (; j > 0 && labels[few->rows[j - 1]] > label; j--)
            few->rows[j] = few->rows[j - 1];
        few->rows[j] = row;
    }
}

bool fits_few(const Few *few, int32_t count, const int64_t *sums)
{
    return few->suits && count <= FEW_ROWS && (few->p->layout == PACKED || has_exact_squares(few->p, sums));
}

void begin_few(Few *few, int32_t *rows, int32_t count, const int64_t *sums)
{
    const Problem *p = few->p;
    few->rows = rows;
    few->count = count;
    few->sums = sums;
    few->num_noted = 0;
    few->feature = -1;
    if (p->layout == PACKED) {
        for (int32_t i = 0; i < count; i++) {
            int32_t record = ((const int32_t *)p->first)[rows[i]];
            few->gradients[i] = record >> 16;
            few->hessians[i] = record & 0xFFFF;
        }
        return;
    }
    sort_by_label(few);
    few->weight = few->squares = 0;
    for (int32_t i = 0; i < count; i++) {
        int32_t label = few->labels[i] = ((const int32_t *)p->first)[rows[i]];
        double weight = few->weights[i] = (double)((const int64_t *)p->second)[rows[i]];
        few->totals[i] = (double)sums[label];
        few->weight += weight;
        few->squares += weight * few->totals[i];
    }
    for (int32_t i = 0; i < count; i++)
        few->ends[i] = i + 1 == count || few->labels[i + 1] != few->labels[i] ? -1 : 0;
}

/* Reads the codes of a feature; says whether they differ, and whether one is missing. */
INLINE bool read_codes(const Few *few, int32_t feature, int32_t width, int32_t *codes, bool *has_missing)
{
    const Problem *p = few->p;
    const char *column = (const char *)p->columns + (int64_t)feature * p->num_rows * width;
    int32_t differ = 0, missing = p->num_bins[feature], first = (int32_t)code_at(column, few->rows[0], width);
    bool found = false;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t code = codes[i] = (int32_t)code_at(column, few->rows[i], width);
        differ |= code ^ first;
        found |= code == missing;
    }
    *has_missing = found;
    return differ != 0;
}

Found note_few(Few *few, int32_t feature)
{
    const Problem *p = few->p;
    if (!few->suits_all && !suits_feature(p, feature))
        return UNSUITED;
    int32_t place = few->num_noted;
    Noted noted = {feature, place, false};
    int32_t *codes = few->codes + place * FEW_ROWS;
    if (!(p->width == 1 ? read_codes(few, feature, 1, codes, &noted.has_missing)
                        : read_codes(few, feature, 2, codes, &noted.has_missing)))
        return SAME;
    few->num_noted++;
    for (; place > 0 && few->noted[place - 1].feature > feature; place--)
        few->noted[place] = few->noted[place - 1];
    few->noted[place] = noted;
    return VARIED;
}

/* -- search --------------------------------------------------------------------------------------------------- */

static void keep(Few *few, Split *split, const Noted *noted, double score, int32_t code, bool missing_left)
{
    const int32_t *codes = few->codes + noted->slot * FEW_ROWS;
    int32_t missing = few->p->num_bins[noted->feature];
    bool alone = few->p->is_category[noted->feature];
    few->best_slot = noted->slot;
    few->feature = split->feature = noted->feature;
    split->score = score;
    few->left = 0;
    for (int32_t i = 0; i < few->count; i++) { /* a category that is missing is parted from the others */
        bool is_left = alone ? (codes[i] == code) != (code == missing) : codes[i] <= code;
        few->left |= (uint32_t)(is_left | (missing_left & (codes[i] == missing))) << i;
    }
}

/* Both sides of every split of two rows are one row, so all features are equally good that vary. */
static void search_pair(Few *few, Split *split)
{
    double score = few->weight; /* of classes, for each side is of one */
    if (few->p->layout == PACKED)
        score = score_of_split(few->p, ((int64_t)few->gradients[0] << 32) + few->hessians[0], *few->sums);
    Noted first = few->noted[0];
    const int32_t *codes = few->codes + first.slot * FEW_ROWS;
    if (score > -INFINITY && preferred(score, first.feature, split))
        keep(few, split, &first, score, codes[0] < codes[1] ? codes[0] : codes[1], false);
}

static void search_noted(Few *few, Split *split)
{
    double score;
    Chosen chosen;
    judge_few(few, &score, &chosen);
    if (score == -INFINITY)
        return;
    const Noted *noted = &few->noted[chosen.place];
    if (preferred(score, noted->feature, split))
        keep(few, split, noted, score, chosen.code, chosen.missing_left);
}

/* -- the best split ------------------------------------------------------------------------------------------- */

/* The codes that go left: those of rows that do and, if missing values do, those that the node has no rows of. */
static void fill_table(const Few *few, const int32_t *codes, uint8_t *goes_left, bool missing_left)
{
    memset(goes_left, missing_left, (size_t)few->p->num_bins[few->feature] + 1);
    for (int32_t i = 0; i < few->count; i++)
        goes_left[codes[i]] = few->left >> i & 1;
}

/* The sums of the rows that go left; there is no branch, since nobody could predict it. */
static void sum_left(const Few *few, int64_t *sums)
{
    if (few->p->layout == CLASSES) {
        memset(sums, 0, (size_t)few->p->num_classes * sizeof *sums);
        for (int32_t i = 0; i < few->count; i++)
            sums[few->labels[i]] += (int64_t)few->weights[i] & -(int64_t)(few->left >> i & 1);
        return;
    }
    int32_t gradients = 0, hessians = 0;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t mask = -(int32_t)(few->left >> i & 1);
        gradients += few->gradients[i] & mask;
        hessians += few->hessians[i] & mask;
    }
    *sums = (int64_t)gradients * ((int64_t)1 << 32) + hessians;
}

static void complete(Few *few, uint8_t *goes_left, Split *split)
{
    const Problem *p = few->p;
    const int32_t *codes = few->codes + few->best_slot * FEW_ROWS;
    int32_t missing = p->num_bins[few->feature], below = -1, above = missing, missing_left = -1;
    for (int32_t i = 0; i < few->count; i++) {
        int32_t is_left = few->left >> i & 1, code = codes[i];
        int32_t left_code = is_left & (code != missing) ? code : -1, right_code = is_left ? missing : code;
        below = left_code > below ? left_code : below;
        above = right_code < above ? right_code : above;
        missing_left = code == missing ? is_left : missing_left;
    }
    sum_left(few, split->sums);
    int64_t weight = weight_of(p, split->sums);
    split->missing_left = missing_left >= 0 ? missing_left : weight > weight_of(p, few->sums) - weight;
    split->drawn = NAN;
    split->num_bins_left = 0;
    split->below = below;
    split->above = above < missing ? above : -1;
    split->cut = p->is_category[few->feature] ? -1 : above < missing ? below : missing - 1;
    if (split->cut < 0)
        fill_table(few, codes, goes_left, split->missing_left);
    if (split->cut < 0 && few->lists_bins)
        for (int32_t bin = 0; bin < missing; bin++) {
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
        int32_t is_left = few->left >> i & 1, row = rows[i];
        spare[num_right] = rows[num_left] = row;
        num_left += is_left;
        num_right += !is_left;
    }
    memcpy(rows + num_left, spare, (size_t)num_right * sizeof *rows);
    return num_left;
}
