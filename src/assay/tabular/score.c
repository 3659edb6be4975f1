/* Scores of candidates. With one word per cell and no logarithm, which is what most fits need, eight at a time. */
#include "score.h"

#include <math.h>
#include <pthread.h>

/* A gain of less than this share of what it is the difference of is rounding. */
#define ROUNDING 1e-15

/* -- scores of one node --------------------------------------------------------------------------------------- */

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

enum {
    KNOWN_TERMS = 4096,
    BLOCK = 1024, /* candidates whose scores are there at a time */
};

static double known_terms[KNOWN_TERMS];

static void fill_known_terms(void)
{
    for (int32_t weight = 1; weight < KNOWN_TERMS; weight++)
        known_terms[weight] = weight * log2(weight);
}

/* w log2 w; most weights are small whole numbers. */
static double entropy_term(double weight)
{
    int32_t whole = weight < KNOWN_TERMS ? (int32_t)weight : 0;
    if (whole == weight)
        return known_terms[whole];
    return weight > 0 ? weight * log2(weight) : 0;
}

static double entropy_score(double second, double total)
{
    double disorder = entropy_term(total) - entropy_term(total - second);
    return -(disorder - entropy_term(second));
}

INLINE double score_of_two(const Problem *p, double gradient, double hessian)
{
    return p->criterion == NEWTON ? newton_score(gradient, hessian, p->l1, p->l2, p->max_delta_step)
           : p->criterion == GINI ? gini_score(gradient, hessian)
                                  : entropy_score(gradient, hessian);
}

static double score_of_classes(const Problem *p, const int64_t *sums)
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

double score_of_node(const Problem *p, const int64_t *sums)
{
    if (p->layout == CLASSES)
        return score_of_classes(p, sums);
    int64_t gradient = p->layout == PACKED ? packed_gradient(sums[0]) : sums[0];
    return score_of_two(p, (double)gradient * p->units[0], (double)weight_of(p, sums) * p->units[1]);
}

static double score_of_packed(const Problem *p, int64_t cell)
{
    return score_of_two(p, (double)packed_gradient(cell) * p->units[0], (double)packed_hessian(cell) * p->units[1]);
}

double score_of_split(const Problem *p, int64_t left, int64_t whole)
{
    int64_t least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf, right = whole - left;
    bool allowed = packed_hessian(left) >= least && packed_hessian(right) >= least;
    return allowed ? score_of_packed(p, left) + score_of_packed(p, right) : -INFINITY;
}

double gain_of(const Problem *p, double score, const int64_t *sums, double parent)
{
    double gain = score - parent;
    if (p->min_gain < 0)
        return gain >= p->min_gain ? gain : NAN;
    double total = (double)weight_of(p, sums) * p->units[1];
    double rounding = ROUNDING * (p->criterion == NEWTON ? parent
                                  : p->criterion == GINI ? (p->num_classes + 1) * total
                                                         : (p->num_classes + 1) * fabs(entropy_term(total)));
    return gain >= p->min_gain && gain > rounding ? gain : NAN;
}

/* -- packed sums, eight at a time ----------------------------------------------------------------------------- */

typedef double Doubles __attribute__((vector_size(8 * LANES), aligned(8)));
typedef int64_t Ints __attribute__((vector_size(8 * LANES), aligned(8)));

typedef struct {
    double units[2], gradient, hessian, least, l1, l2, max_delta_step;
    int64_t missing;
} Packed;

/* Integers of 32 bits as doubles: their bits are put into those of 1.5 x 2^52. */
INLINE void convert(const Ints *integers, double unit, Doubles *numbers)
{
    *numbers = ((Doubles)(*integers + 0x4338000000000000) - 0x1.8p52) * unit;
}

/* All ones where a number is below zero. Compilers turn comparisons of whole vectors into single ones. */
INLINE void sign(const Doubles *numbers, Ints *mask)
{
    *mask = (Ints)*numbers >> 63;
}

INLINE void choose(const Ints *mask, const Doubles *yes, const Doubles *no, Doubles *chosen)
{
    *chosen = (Doubles)(((Ints)*yes & *mask) | ((Ints)*no & ~*mask));
}

INLINE void add_newton(const Packed *p, const Doubles *gradient, const Doubles *hessian, bool plain, Doubles *score)
{
    const Doubles zero = {0};
    Doubles curvature = *hessian + p->l2;
    if (plain) {
        *score += *gradient * *gradient / curvature;
        return;
    }
    Doubles excess = (Doubles)((Ints)*gradient & INT64_MAX) - p->l1;
    Ints negative;
    sign(&excess, &negative);
    excess = (Doubles)((Ints)excess & ~negative);
    if (p->max_delta_step == 0) {
        *score += excess * excess / curvature;
        return;
    }
    Doubles step = excess / curvature, over = step - p->max_delta_step, largest = zero + p->max_delta_step;
    Ints small;
    sign(&over, &small);
    choose(&small, &step, &largest, &step);
    *score += step * (2.0 * excess - curvature * step);
}

INLINE void add_gini(const Doubles *second, const Doubles *total, Doubles *score)
{
    Doubles first = *total - *second;
    *score += (first * first + *second * *second) / *total;
}

INLINE void score_lanes(const int64_t *left, int32_t count, const Packed *p, int32_t criterion, bool plain,
                        double *score)
{
    const Doubles none = (Doubles){0} - INFINITY;
    for (int32_t i = 0; i < count; i += LANES) {
        Ints cell = *(const Ints *)(left + i) + p->missing;
        Ints upper = cell >> 32, lower = cell & 0xFFFFFFFF;
        Doubles gradient, hessian, both = {0};
        convert(&upper, p->units[0], &gradient);
        convert(&lower, p->units[1], &hessian);
        Doubles other_gradient = p->gradient - gradient, other_hessian = p->hessian - hessian;
        if (criterion == GINI) {
            add_gini(&gradient, &hessian, &both);
            add_gini(&other_gradient, &other_hessian, &both);
        } else {
            add_newton(p, &gradient, &hessian, plain, &both);
            add_newton(p, &other_gradient, &other_hessian, plain, &both);
        }
        Doubles left_room = hessian - p->least, right_room = other_hessian - p->least;
        Ints left_short, right_short;
        sign(&left_room, &left_short);
        sign(&right_room, &right_short);
        left_short |= right_short;
        choose(&left_short, &none, &both, (Doubles *)(score + i));
    }
}

FOR_WIDE_VECTORS static void score_gini(const int64_t *left, int32_t count, const Packed *p, double *score)
{
    score_lanes(left, count, p, GINI, false, score);
}

FOR_WIDE_VECTORS static void score_plain(const int64_t *left, int32_t count, const Packed *p, double *score)
{
    score_lanes(left, count, p, NEWTON, true, score);
}

FOR_WIDE_VECTORS static void score_penalised(const int64_t *left, int32_t count, const Packed *p, double *score)
{
    score_lanes(left, count, p, NEWTON, false, score);
}

static void score_packed(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                         const int64_t *sums, double *score)
{
    int64_t least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
    Packed packed = {.units = {p->units[0], p->units[1]},
                     .gradient = (double)packed_gradient(*sums) * p->units[0],
                     .hessian = (double)packed_hessian(*sums) * p->units[1],
                     .least = (double)least * p->units[1],
                     .l1 = p->l1,
                     .l2 = p->l2,
                     .max_delta_step = p->max_delta_step,
                     .missing = missing ? *missing : 0};
    if (p->criterion == NEWTON && p->l1 == 0 && p->max_delta_step == 0)
        score_plain(left, count, &packed, score);
    else if (p->criterion == NEWTON)
        score_penalised(left, count, &packed, score);
    else if (p->criterion == GINI)
        score_gini(left, count, &packed, score);
    else
        for (int32_t i = 0; i < count; i++) {
            int64_t cell = left[i] + packed.missing;
            double g = (double)packed_gradient(cell) * p->units[0], h = (double)packed_hessian(cell) * p->units[1];
            double other_h = packed.hessian - h;
            score[i] = h >= packed.least && other_h >= packed.least
                           ? entropy_score(g, h) + entropy_score(packed.gradient - g, other_h)
                           : -INFINITY;
        }
}

/* -- wide sums and classes ------------------------------------------------------------------------------------ */

static void score_wide(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                       const int64_t *sums, double *score)
{
    const int64_t none[3] = {0};
    const int64_t *extra = missing ? missing : none;
    int32_t last = 1 + p->counted; /* without a count, the hessian is one */
    for (int32_t i = 0; i < count; i++, left += words_per_cell(p)) {
        int64_t g = left[0] + extra[0], h = left[1] + extra[1], n = left[last] + extra[last];
        bool allowed = h >= p->min_weight && sums[1] - h >= p->min_weight && n >= p->min_samples_leaf &&
                       sums[last] - n >= p->min_samples_leaf && left[1] >= 1;
        score[i] = allowed ? score_of_two(p, (double)g * p->units[0], (double)h * p->units[1]) +
                                 score_of_two(p, (double)(sums[0] - g) * p->units[0],
                                              (double)(sums[1] - h) * p->units[1])
                           : -INFINITY;
    }
}

static bool large_enough(const Problem *p, const int64_t *sums)
{
    int64_t weight = weight_of(p, sums);
    return weight >= p->min_weight && (p->counted ? sums[p->num_classes] : weight) >= p->min_samples_leaf;
}

static void score_classes(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                          const int64_t *sums, const Scratch *scratch)
{
    int32_t words = words_per_cell(p);
    double *score = scratch->score;
    if (has_exact_squares(p, sums)) {
        score_by_squares(p, left, count, missing, sums, scratch);
        return;
    }
    int64_t *one = scratch->sums, *other = scratch->sums + words;
    for (int32_t i = 0; i < count; i++, left += words) {
        for (int32_t w = 0; w < words; w++) {
            one[w] = left[w] + (missing ? missing[w] : 0);
            other[w] = sums[w] - one[w];
        }
        bool allowed = large_enough(p, one) && large_enough(p, other) && (!missing || weight_of(p, left) >= 1);
        score[i] = allowed ? score_of_classes(p, one) + score_of_classes(p, other) : -INFINITY;
    }
}

/* -- the best ------------------------------------------------------------------------------------------------- */

FOR_WIDE_VECTORS static Top first_of_highest(const double *score, int32_t count)
{
    Doubles highest = *(const Doubles *)score;
    Ints block = {0};
    for (int32_t i = LANES; i < count; i += LANES) {
        Doubles next = *(const Doubles *)(score + i);
        Doubles below = highest - next; /* not a number for infinities of one sign, and then either will do */
        Ints higher;
        sign(&below, &higher);
        choose(&higher, &next, &highest, &highest);
        block = ((block - block + i) & higher) | (block & ~higher);
    }
    Top top = {highest[0], INT32_MAX};
    for (int32_t j = 1; j < LANES; j++)
        top.score = highest[j] > top.score ? highest[j] : top.score;
    for (int32_t j = 0; j < LANES; j++) {
        int32_t place = highest[j] == top.score ? (int32_t)block[j] + j : INT32_MAX;
        top.place = place < top.place ? place : top.place;
    }
    return top;
}

static Top best_of_block(const Problem *p, const Scratch *scratch, const int64_t *left, int32_t count,
                         const int64_t *missing, const int64_t *sums, int32_t num_chosen, double chance)
{
    double *score = scratch->score;
    if (p->layout == PACKED)
        score_packed(p, left, count, missing, sums, score);
    else if (p->layout == WIDE)
        score_wide(p, left, count, missing, sums, score);
    else
        score_classes(p, left, count, missing, sums, scratch);
    for (int32_t i = 0; i < num_chosen && i < count; i++)
        score[i] -= chance;
    for (int32_t i = count; i < count + LANES; i++) /* what was scored beyond the candidates does not count */
        score[i] = -INFINITY;
    return first_of_highest(score, count);
}

Top best_candidate(const Problem *p, const Scratch *scratch, const int64_t *left, int32_t count,
                   const int64_t *missing, const int64_t *sums, int32_t num_chosen, double chance)
{
    Top top = {-INFINITY, 0};
    int32_t words = words_per_cell(p);
    for (int32_t begin = 0; begin < count; begin += BLOCK) {
        int32_t size = count - begin < BLOCK ? count - begin : BLOCK;
        Top next = best_of_block(p, scratch, left + (int64_t)begin * words, size, missing, sums, num_chosen - begin,
                                 chance);
        if (begin == 0 || next.score > top.score)
            top = (Top){next.score, begin + next.place};
    }
    return top;
}

void allocate_scratch(const Problem *p, Arena *arena, Scratch *scratch)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (p->criterion == ENTROPY)
        pthread_once(&once, fill_known_terms);
    size_t numbers = BLOCK + 2 * LANES, of_classes = p->layout == CLASSES ? numbers : 0;
    scratch->score = arena_take(arena, numbers * sizeof *scratch->score);
    scratch->weights = arena_take(arena, of_classes * sizeof *scratch->weights);
    scratch->squares = arena_take(arena, of_classes * sizeof *scratch->squares);
    scratch->products = arena_take(arena, of_classes * sizeof *scratch->products);
    scratch->sums = arena_take(arena, 2 * (size_t)words_per_cell(p) * sizeof *scratch->sums);
}
