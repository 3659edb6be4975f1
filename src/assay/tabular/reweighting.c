/* What AdaBoost does to the weights of all rows between two rounds. The NumPy twin is reweighting.py. */
#include "turns.h"

/* The weight of the rows that were missed. */
EXPORT FOR_WIDE_VECTORS double assay_missed_weight(int64_t n, const uint8_t *missed, const double *weight)
{
    double sums[SIDE_BY_SIDE] = {0}, block[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        int count = n - first < BLOCK ? (int)(n - first) : BLOCK;
        for (int i = 0; i < count; i++)
            block[i] = weight[first + i] * missed[first + i];
        for (int i = count; i < BLOCK; i++)
            block[i] = 0.0;
        add_block(block, sums);
    }
    return sum_of(sums);
}

/* Multiplies the weights of the rows that were missed, divides all by their sum, and raises positive ones to the
   least. */
EXPORT FOR_WIDE_VECTORS void assay_raise_missed(int64_t n, const uint8_t *missed, double factor, double least,
                                                double *weight)
{
    double sums[SIDE_BY_SIDE] = {0}, block[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        int count = n - first < BLOCK ? (int)(n - first) : BLOCK;
        for (int i = 0; i < count; i++)
            block[i] = weight[first + i] *= missed[first + i] ? factor : 1.0;
        for (int i = count; i < BLOCK; i++)
            block[i] = 0.0;
        add_block(block, sums);
    }
    double sum = sum_of(sums);
    for (int64_t i = 0; i < n; i++) {
        double share = weight[i] / sum;
        weight[i] = (share > 0) & (share < least) ? least : share;
    }
}
