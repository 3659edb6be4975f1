/* Scores of candidates by the squares of classes' weights, if these are whole numbers. */
#include "score.h"

#include <math.h>

/* The weights of some candidates, the sums over classes of their squares, and of their products with the node's. */
static void sum_squares(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                        const int64_t *sums, const Scratch *to)
{
    for (int32_t i = 0; i < count; i++, left += p->num_classes) {
        int64_t weight = 0, squares = 0, products = 0;
        for (int32_t k = 0; k < p->num_classes; k++) {
            int64_t one = left[k] + (missing ? missing[k] : 0);
            weight += one;
            squares += one * one;
            products += one * sums[k];
        }
        to->weights[i] = (double)weight;
        to->squares[i] = (double)squares;
        to->products[i] = (double)products;
    }
}

/* The same for pairs, whose sums all have 32 bits. */
INLINE void sum_paired_of(const Paired *left, int32_t count, const Paired *missing, const Paired *sums, int32_t lanes,
                          const Scratch *to)
{
    for (int32_t i = 0; i < count; i++, left += lanes) {
        int32_t weight = 0, squares = 0, products = 0;
        for (int32_t k = 0; k < lanes; k++) {
            int32_t one = left[k] + (missing ? missing[k] : 0);
            weight += one;
            squares += one * one;
            products += one * sums[k];
        }
        to->weights[i] = weight;
        to->squares[i] = squares;
        to->products[i] = products;
    }
}

FOR_WIDE_VECTORS static void sum_paired(const Paired *left, int32_t count, const Paired *missing, const Paired *sums,
                                        int32_t lanes, const Scratch *to)
{
    if (lanes == 2 * PAIRED_WORDS && missing)
        sum_paired_of(left, count, missing, sums, 2 * PAIRED_WORDS, to);
    else if (lanes == 2 * PAIRED_WORDS)
        sum_paired_of(left, count, NULL, sums, 2 * PAIRED_WORDS, to);
    else if (lanes == 4 * PAIRED_WORDS && missing)
        sum_paired_of(left, count, missing, sums, 4 * PAIRED_WORDS, to);
    else if (lanes == 4 * PAIRED_WORDS)
        sum_paired_of(left, count, NULL, sums, 4 * PAIRED_WORDS, to);
    else
        sum_paired_of(left, count, missing, sums, lanes, to);
}

FOR_WIDE_VECTORS static void score_squares(const Scratch *from, int32_t count, double weight, double squares,
                                           double least)
{
    for (int32_t i = 0; i < count; i++) {
        double other = weight - from->weights[i], both = squares - 2 * from->products[i] + from->squares[i];
        double score = from->squares[i] / from->weights[i] + both / other;
        from->score[i] = from->weights[i] >= least && other >= least ? score : -INFINITY;
    }
}

bool has_exact_squares(const Problem *p, const int64_t *sums)
{
    return p->criterion == GINI && p->units[1] == 1 && !p->counted && weight_of(p, sums) < EXACT;
}

void score_by_squares(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                      const int64_t *sums, const Scratch *scratch)
{
    int64_t squares = 0, least = p->min_weight > p->min_samples_leaf ? p->min_weight : p->min_samples_leaf;
    for (int32_t k = 0; k < p->num_classes; k++)
        squares += weight_of_class(p, sums, k) * weight_of_class(p, sums, k);
    if (p->layout == PAIRS)
        sum_paired((const Paired *)left, count, (const Paired *)missing, (const Paired *)sums,
                   2 * words_per_cell(p), scratch);
    else
        sum_squares(p, left, count, missing, sums, scratch);
    score_squares(scratch, count, (double)weight_of(p, sums), (double)squares, (double)least);
}
