/* The best candidate of a node of few rows: each row's code is one, and each row is compared with eight at once. */
#include "few.h"

#include <math.h>

enum {
    CODE_BITS = 17,  /* of a code and a side, in a key */
    UP_TO = 1 << 30, /* farther than codes are apart */
};

typedef int32_t Shorts __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int64_t Ints __attribute__((vector_size(8 * LANES), aligned(8)));
typedef double Doubles __attribute__((vector_size(8 * LANES), aligned(8)));

/* A candidate of each row: the rows whose codes are at most as great and at most `range` less go left, and those of
   `always`, unless that is NULL. */
typedef struct {
    const int32_t *codes, *always;
    Shorts candidates;
    int32_t range;
} Candidates;

/* All ones where a row goes left with a candidate. */
INLINE void goes_left(const Candidates *c, int32_t row, bool forced, Shorts *mask)
{
    Shorts above = c->candidates - c->codes[row];
    *mask = ~((above | (c->range - above)) >> 31);
    if (forced)
        *mask |= c->always[row];
}

/* Sets scores, and masks of those that are not allowed. */
INLINE void judge_packed(const Few *few, const Candidates *c, bool forced, int32_t criterion, Doubles *score,
                         Ints *refused)
{
    const Problem *p = few->p;
    Shorts gradients = {0}, hessians = {0}, mask;
    for (int32_t i = 0; i < few->count; i++) {
        goes_left(c, i, forced, &mask);
        gradients += few->gradients[i] & mask;
        hessians += few->hessians[i] & mask;
    }
    int64_t whole = *few->sums;
    double all_g = (double)packed_gradient(whole) * p->units[0], all_h = (double)packed_hessian(whole) * p->units[1];
    Doubles g = __builtin_convertvector(gradients, Doubles) * p->units[0], other_g = all_g - g;
    Doubles h = __builtin_convertvector(hessians, Doubles) * p->units[1], other_h = all_h - h;
    if (criterion == GINI) {
        Doubles first = h - g, other_first = other_h - other_g;
        *score = (first * first + g * g) / h + (other_first * other_first + other_g * other_g) / other_h;
    } else {
        *score = g * g / (h + p->l2) + other_g * other_g / (other_h + p->l2);
    }
    Shorts others = (int32_t)packed_hessian(whole) - hessians;
    *refused = __builtin_convertvector(((hessians - few->least) | (others - few->least)) >> 31, Ints);
}

/* The sums are of whole numbers, and so equal to those that are added class by class. */
INLINE void judge_classes(const Few *few, const Candidates *c, bool forced, Doubles *score, Ints *refused)
{
    Doubles weight = {0}, squares = {0}, products = {0}, of_class = {0};
    Shorts mask;
    for (int32_t i = 0; i < few->count; i++) {
        goes_left(c, i, forced, &mask);
        Doubles row = (Doubles){0} + few->weights[i];
        of_class += (Doubles)((Ints)row & __builtin_convertvector(mask, Ints));
        Doubles whole = (Doubles)((Ints)of_class & few->ends[i]);
        of_class -= whole;
        weight += whole;
        squares += whole * whole;
        products += whole * few->totals[i];
    }
    Doubles other = few->weight - weight, left_room = weight - few->least, right_room = other - few->least;
    *score = squares / weight + (few->squares - 2 * products + squares) / other;
    *refused = ((Ints)left_room | (Ints)right_room) >> 63;
}

/* The best candidate of each lane: the first of equals. */
typedef struct {
    Doubles score;
    Ints key; /* feature, by place, then code, then side of the missing values */
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

INLINE void judge(const Few *few, const Candidates *c, bool forced, int32_t layout, int32_t criterion,
                  const Ints *unused, int64_t key, Best *best)
{
    const Doubles none = (Doubles){0} - INFINITY;
    Doubles score;
    Ints refused;
    if (layout == CLASSES)
        judge_classes(few, c, forced, &score, &refused);
    else
        judge_packed(few, c, forced, criterion, &score, &refused);
    refused |= *unused;
    choose(&refused, &none, &score, &score);
    Ints keys = __builtin_convertvector(c->candidates, Ints) * 2 + key;
    take_better(&score, &keys, best);
}

#define OTHER_LANES(of, step) \
    {of[0 ^ step], of[1 ^ step], of[2 ^ step], of[3 ^ step], of[4 ^ step], of[5 ^ step], of[6 ^ step], of[7 ^ step]}

INLINE void take_other_lanes(Best *best, int32_t step)
{
    Doubles score = OTHER_LANES(best->score, step);
    Ints key = OTHER_LANES(best->key, step);
    take_better(&score, &key, best);
}

/* Judges all candidates of all features that were noted; the best one is in the first lane then. */
INLINE void judge_noted(const Few *few, int32_t layout, int32_t criterion, Best *best)
{
    const Problem *p = few->p;
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    Best all = {(Doubles){0} - INFINITY, {0}};
    for (int32_t begin = 0; begin < few->count; begin += LANES) {
        Ints unused = ~((lanes + begin - few->count) >> 63);
        for (int32_t i = 0; i < few->num_noted; i++) {
            Noted noted = few->noted[i];
            const int32_t *codes = few->codes + noted.slot * FEW_ROWS;
            Candidates c = {codes, NULL, *(const Shorts *)(codes + begin), p->is_category[noted.feature] ? 0 : UP_TO};
            int64_t key = (int64_t)i << CODE_BITS;
            judge(few, &c, false, layout, criterion, &unused, key, &all);
            if (!noted.has_missing)
                continue;
            int32_t is_missing[FEW_ROWS], missing = p->num_bins[noted.feature];
            for (int32_t row = 0; row < few->count; row++)
                is_missing[row] = codes[row] == missing ? -1 : 0;
            c.always = is_missing;
            Ints none = unused | ~(__builtin_convertvector(c.candidates - missing, Ints) >> 63);
            judge(few, &c, true, layout, criterion, &none, key | 1, &all);
        }
    }
    take_other_lanes(&all, 4);
    take_other_lanes(&all, 2);
    take_other_lanes(&all, 1);
    *best = all;
}

FOR_WIDE_VECTORS static void judge_gini(const Few *few, Best *best)
{
    judge_noted(few, PACKED, GINI, best);
}

FOR_WIDE_VECTORS static void judge_newton(const Few *few, Best *best)
{
    judge_noted(few, PACKED, NEWTON, best);
}

FOR_WIDE_VECTORS static void judge_sums_of_classes(const Few *few, Best *best)
{
    judge_noted(few, CLASSES, GINI, best);
}

void judge_few(const Few *few, double *score, Chosen *chosen)
{
    Best best;
    if (few->p->layout == CLASSES)
        judge_sums_of_classes(few, &best);
    else if (few->p->criterion == GINI)
        judge_gini(few, &best);
    else
        judge_newton(few, &best);
    int64_t key = best.key[0];
    *score = best.score[0];
    *chosen = (Chosen){(int32_t)(key >> CODE_BITS), (int32_t)(key & ((1 << CODE_BITS) - 1)) >> 1, key & 1};
}
