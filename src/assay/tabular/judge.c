/* The best candidate of a node of few rows: each row's code is one, and each row is compared with sixteen at once.
   Where eight rows or four are all that the node has, the sixteen are of several features. */
#include "few.h"

#include <math.h>

enum { CODE_BITS = 18 }; /* of a code and a side, in a key */

typedef int32_t Shorts __attribute__((vector_size(4 * FEW_LANES), aligned(4)));
typedef int32_t Half __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int64_t Ints __attribute__((vector_size(8 * LANES), aligned(8)));
typedef double Doubles __attribute__((vector_size(8 * LANES), aligned(8)));

/* With a candidate, the rows go left whose codes are at most as great and at most `ranges` less. */
typedef struct {
    Shorts codes, ranges, missing;
    Ints keys[2];
} Candidates;

/* Of the rows that go right; and the weight of missing values, which go left if they are forced. */
typedef struct {
    Shorts weights, gradients, of_class, squares, products, forced;
} Sums;

/* Adds a row, whose code may differ from lane to lane. */
INLINE void add_row(const Few *few, int32_t row, const Shorts *code, const Candidates *c, bool ranged, bool forced,
                    int32_t layout, Sums *sums)
{
    Shorts above = c->codes - *code, right = (ranged ? above | (c->ranges - above) : above) >> 31;
    if (forced) {
        Shorts known = -(c->missing ^ *code) >> 31;
        sums->forced += few->weights[row] & ~known;
        right &= known;
    }
    Shorts weight = few->weights[row] & right;
    sums->weights += weight;
    if (layout == PACKED) {
        sums->gradients += few->gradients[row] & right;
        return;
    }
    sums->of_class += weight;
    sums->products += few->products[row] & right;
    Shorts whole = sums->of_class & few->ends[row];
    sums->of_class -= whole;
    sums->squares += whole * whole;
}

/* The best candidate of each lane: the first of equals. */
typedef struct {
    Doubles score;
    Ints key; /* feature, then code, then side of the missing values */
} Best;

INLINE void choose(const Ints *mask, const Doubles *yes, const Doubles *no, Doubles *chosen)
{
    *chosen = (Doubles)(((Ints)*yes & *mask) | ((Ints)*no & ~*mask));
}

/* Takes the better of the candidates of each lane, and of equals the first. */
INLINE void take_better(const Doubles *score, const Ints *key, Best *best)
{
    Doubles below = best->score - *score; /* not a number for infinities of one sign, and then either will do */
    Ints lower = (Ints)below >> 63, magnitude = (Ints)below & INT64_MAX;
    Ints sooner = ~(-magnitude >> 63) & (*key - best->key) >> 63, better = lower | sooner;
    choose(&better, score, &best->score, &best->score);
    best->key = (*key & better) | (best->key & ~better);
}

INLINE void half_of(const Shorts *all, int32_t half, Doubles *numbers)
{
    *numbers = __builtin_convertvector(((const Half *)all)[half], Doubles);
}

INLINE void score_packed(const Few *few, const Sums *sums, int32_t half, int32_t criterion, Doubles *score)
{
    const Problem *p = few->p;
    double all_g = (double)few->gradient * p->units[0], all_h = (double)few->weight * p->units[1];
    Doubles g, h;
    half_of(&sums->gradients, half, &g);
    half_of(&sums->weights, half, &h);
    g *= p->units[0];
    h *= p->units[1];
    Doubles other_g = all_g - g, other_h = all_h - h;
    if (criterion == GINI) {
        Doubles first = h - g, other_first = other_h - other_g;
        *score = (first * first + g * g) / h + (other_first * other_first + other_g * other_g) / other_h;
    } else {
        *score = g * g / (h + p->l2) + other_g * other_g / (other_h + p->l2);
    }
}

/* The sums are of whole numbers, and so equal to those that are added class by class. */
INLINE void score_classes(const Few *few, const Sums *sums, int32_t half, Doubles *score)
{
    Shorts others = few->weight - sums->weights, other_squares = few->squares - sums->products - sums->products + sums->squares;
    Doubles weight, squares, other, other_square;
    half_of(&sums->weights, half, &weight);
    half_of(&sums->squares, half, &squares);
    half_of(&others, half, &other);
    half_of(&other_squares, half, &other_square);
    *score = squares / weight + other_square / other;
}

/* Scores candidates, unless too little goes to one side or nothing but missing values goes left. */
INLINE void rate(const Few *few, const Candidates *c, const Sums *sums, bool forced, int32_t layout,
                 int32_t criterion, Best *best)
{
    const Doubles none = (Doubles){0} - INFINITY;
    Shorts left = few->weight - sums->weights;
    Shorts refused = ((sums->weights - few->least) | (left - few->least) | (left - sums->forced - 1)) >> 31;
    for (int32_t half = 0; half < 2; half++) {
        Doubles score;
        if (layout == CLASSES)
            score_classes(few, sums, half, &score);
        else
            score_packed(few, sums, half, criterion, &score);
        Ints no = __builtin_convertvector(((const Half *)&refused)[half], Ints);
        choose(&no, &none, &score, &score);
        Ints key = c->keys[half] + (int64_t)forced;
        take_better(&score, &key, best);
    }
}

#define LANES_OF(codes, a, b, c, d)                                                                        \
    {                                                                                                      \
        codes[a], codes[a], codes[a], codes[a], codes[b], codes[b], codes[b], codes[b], codes[c], codes[c], \
            codes[c], codes[c], codes[d], codes[d], codes[d], codes[d]                                     \
    }
#define ADD_ROW(row, a, b, c, d)                                              \
    do {                                                                      \
        Shorts code = LANES_OF(lanes->codes, a, b, c, d);                     \
        add_row(few, row, &code, lanes, true, forced, layout, &sums);         \
    } while (0)

/* Candidates of four features, of a node of at most four rows; rows that it has not weigh nothing. */
INLINE void judge_fours(const Few *few, const Candidates *lanes, bool forced, int32_t layout, int32_t criterion,
                        Best *best)
{
    Sums sums = {{0}};
    ADD_ROW(0, 0, 4, 8, 12);
    ADD_ROW(1, 1, 5, 9, 13);
    ADD_ROW(2, 2, 6, 10, 14);
    ADD_ROW(3, 3, 7, 11, 15);
    rate(few, lanes, &sums, forced, layout, criterion, best);
}

/* Candidates of two features, of a node of at most eight rows. */
INLINE void judge_eights(const Few *few, const Candidates *lanes, bool forced, int32_t layout, int32_t criterion,
                         Best *best)
{
    Sums sums = {{0}};
    ADD_ROW(0, 0, 0, 8, 8);
    ADD_ROW(1, 1, 1, 9, 9);
    ADD_ROW(2, 2, 2, 10, 10);
    ADD_ROW(3, 3, 3, 11, 11);
    ADD_ROW(4, 4, 4, 12, 12);
    ADD_ROW(5, 5, 5, 13, 13);
    ADD_ROW(6, 6, 6, 14, 14);
    ADD_ROW(7, 7, 7, 15, 15);
    rate(few, lanes, &sums, forced, layout, criterion, best);
}

INLINE void set_keys(Candidates *lanes, const Shorts *features)
{
    for (int32_t half = 0; half < 2; half++) {
        Ints feature = __builtin_convertvector(((const Half *)features)[half], Ints);
        Ints code = __builtin_convertvector(((const Half *)&lanes->codes)[half], Ints);
        lanes->keys[half] = (feature << CODE_BITS) + (code + code);
    }
}

/* Candidates of several features. */
INLINE void judge_together(const Few *few, int32_t layout, int32_t criterion, Best *best)
{
    int32_t slots = FEW_LANES / few->stride;
    for (int32_t slot = 0; slot < few->num_noted; slot += slots) {
        bool has_missing = false;
        Candidates lanes;
        int32_t begin = slot * few->stride;
        lanes.codes = *(const Shorts *)(few->codes + begin);
        lanes.ranges = *(const Shorts *)(few->ranges + begin);
        lanes.missing = *(const Shorts *)(few->missing + begin);
        set_keys(&lanes, (const Shorts *)(few->features + begin));
        for (int32_t i = 0; i < slots; i++)
            has_missing |= few->noted[slot + i].has_missing;
        for (int32_t forced = 0; forced <= has_missing; forced++)
            if (few->stride == 4)
                judge_fours(few, &lanes, forced, layout, criterion, best);
            else
                judge_eights(few, &lanes, forced, layout, criterion, best);
    }
}

INLINE void judge_sixteen(const Few *few, const Candidates *lanes, const int32_t *codes, bool ranged, bool forced,
                          int32_t layout, int32_t criterion, Best *best)
{
    Sums sums = {{0}};
    for (int32_t row = 0; row < few->count; row++) {
        Shorts code = (Shorts){0} + codes[row];
        add_row(few, row, &code, lanes, ranged, forced, layout, &sums);
    }
    rate(few, lanes, &sums, forced, layout, criterion, best);
}

/* Candidates of one feature after the other: the rows' codes, or all codes that there are if these are fewer. */
INLINE void judge_apart(const Few *few, int32_t layout, int32_t criterion, Best *best)
{
    const Shorts zero = {0}, first = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int32_t slot = 0; slot < few->num_noted; slot++) {
        const Noted *noted = &few->noted[slot];
        const int32_t *codes = few->codes + slot * few->stride;
        bool every = noted->missing / FEW_LANES < (few->count - 1) / FEW_LANES;
        int32_t end = every ? noted->missing + 1 : few->count, range = noted->range;
        Shorts feature = zero + noted->feature;
        Candidates lanes;
        lanes.ranges = zero + range;
        lanes.missing = zero + noted->missing;
        for (int32_t begin = 0; begin < end; begin += FEW_LANES) {
            lanes.codes = every ? first + begin : *(const Shorts *)(codes + begin);
            set_keys(&lanes, &feature);
            if (noted->range)
                judge_sixteen(few, &lanes, codes, false, false, layout, criterion, best);
            else
                judge_sixteen(few, &lanes, codes, true, false, layout, criterion, best);
            if (noted->has_missing)
                judge_sixteen(few, &lanes, codes, true, true, layout, criterion, best);
        }
    }
}

#define OTHER_LANES(of, step) \
    {of[0 ^ step], of[1 ^ step], of[2 ^ step], of[3 ^ step], of[4 ^ step], of[5 ^ step], of[6 ^ step], of[7 ^ step]}

#define TAKE_OTHER_LANES(best, step)                    \
    do {                                                \
        Doubles score = OTHER_LANES(best.score, step);  \
        Ints key = OTHER_LANES(best.key, step);         \
        take_better(&score, &key, &best);               \
    } while (0)

/* Judges all candidates of all features that were noted; the best one is in the first lane then. */
INLINE void judge(const Few *few, int32_t layout, int32_t criterion, Best *best)
{
    Best all = {(Doubles){0} - INFINITY, {0}};
    if (few->stride < FEW_LANES)
        judge_together(few, layout, criterion, &all);
    else
        judge_apart(few, layout, criterion, &all);
    TAKE_OTHER_LANES(all, 4);
    TAKE_OTHER_LANES(all, 2);
    TAKE_OTHER_LANES(all, 1);
    *best = all;
}

FOR_WIDE_VECTORS static void judge_gini(const Few *few, Best *best)
{
    judge(few, PACKED, GINI, best);
}

FOR_WIDE_VECTORS static void judge_newton(const Few *few, Best *best)
{
    judge(few, PACKED, NEWTON, best);
}

FOR_WIDE_VECTORS static void judge_classes(const Few *few, Best *best)
{
    judge(few, CLASSES, GINI, best);
}

void judge_few(const Few *few, double *score, Chosen *chosen)
{
    Best best;
    if (few->p->layout == CLASSES)
        judge_classes(few, &best);
    else if (few->p->criterion == GINI)
        judge_gini(few, &best);
    else
        judge_newton(few, &best);
    int64_t key = best.key[0];
    *score = best.score[0];
    *chosen = (Chosen){(int32_t)(key >> CODE_BITS), (int32_t)(key & ((1 << CODE_BITS) - 1)) >> 1, key & 1};
}
