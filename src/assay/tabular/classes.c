#include "classes.h"

#include <string.h>

/* The sum of the squares of smaller weights has 31 bits; so many classes have numbers of 16. */
enum { HEAVY = 46340, MANY = 1 << 16 };

void allocate_narrowed(const Problem *p, Arena *arena, Narrowed *n)
{
    size_t words = most_words_per_cell(p);
    n->sums = arena_take(arena, words * sizeof *n->sums);
    n->spare = arena_take(arena, words * sizeof *n->spare);
    n->present = arena_take(arena, words * sizeof *n->present);
    n->narrow = arena_take(arena, words * sizeof *n->narrow);
}

/* Puts two sums in each word. */
static void pair_sums(int64_t *sums, int32_t count, int32_t words)
{
    Paired *paired = (Paired *)sums;
    for (int32_t k = 0; k < count; k++)
        paired[k] = (Paired)sums[k];
    for (int32_t k = count; k < 2 * words; k++)
        paired[k] = 0;
}

void narrow_classes(const Problem *p, const int64_t *sums, Narrowed *n)
{
    n->problem = *p;
    int32_t count = 0;
    int64_t weight = 0;
    for (int32_t k = 0; k < p->num_classes; k++) {
        n->present[count] = k;
        n->narrow[k] = count;
        n->sums[count] = sums[k];
        weight += sums[k];
        count += sums[k] != 0;
    }
    n->problem.num_classes = count;
    if (p->counted)
        n->sums[count] = sums[p->num_classes];
    if (count == 2 && p->criterion == GINI && !p->counted && p->has_short_weights &&
        weight <= INT32_MAX) {
        n->problem.layout = PACKED;
        if (n->sums[0] >= n->sums[1]) { /* categories are sorted by the heaviest class, or the second if packed */
            int32_t first = n->present[0];
            n->present[0] = n->present[1];
            n->present[1] = first;
            int64_t sum = n->sums[0];
            n->sums[0] = n->sums[1];
            n->sums[1] = sum;
        }
        n->narrow[n->present[0]] = 0;
        n->narrow[n->present[1]] = 1;
        n->sums[0] = n->sums[1] * ((int64_t)1 << 32) + n->sums[0] + n->sums[1];
    } else if (has_exact_squares(p, sums) && weight < HEAVY && count < MANY) {
        n->problem.layout = PAIRS;
        pair_sums(n->sums, count, words_per_cell(&n->problem));
    }
}

void gather_narrowed(const Problem *p, const Narrowed *n, const int32_t *rows, int64_t count, void *first,
                     void *second)
{
    const int32_t *labels = p->first;
    const int64_t *weights = p->second;
    if (n->problem.layout == PACKED) {
        for (int64_t i = 0; i < count; i++) {
            int32_t weight = (int32_t)weights[rows[i]];
            ((int32_t *)first)[i] = (n->narrow[labels[rows[i]]] ? weight * 65536 : 0) + weight;
        }
        return;
    }
    if (n->problem.layout == PAIRS) {
        for (int64_t i = 0; i < count; i++)
            ((uint32_t *)first)[i] = (uint32_t)weights[rows[i]] << 16 | (uint32_t)n->narrow[labels[rows[i]]];
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        ((int32_t *)first)[i] = n->narrow[labels[rows[i]]];
        ((int64_t *)second)[i] = weights[rows[i]];
    }
}

void widen_sums(const Problem *p, const Narrowed *n, Split *split)
{
    int32_t count = n->problem.num_classes;
    int64_t *sums = split->sums, *few = n->spare;
    memcpy(few, sums, (size_t)words_per_cell(&n->problem) * sizeof *few);
    if (n->problem.layout == PACKED) {
        few[1] = packed_gradient(sums[0]);
        few[0] = packed_hessian(sums[0]) - few[1];
    }
    const Problem *narrow = &n->problem;
    memset(sums, 0, (size_t)p->num_classes * sizeof *sums);
    for (int32_t place = 0; place < count; place++)
        sums[n->present[place]] = narrow->layout == PAIRS ? weight_of_class(narrow, few, place) : few[place];
    if (p->counted)
        sums[p->num_classes] = few[count];
}
