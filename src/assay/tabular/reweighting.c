/* What AdaBoost does to the weights of all rows between two rounds. The NumPy twin is reweighting.py. */
#include "kernel.h"

enum { SIDE_BY_SIDE = 16 }; /* sums that rows take turns in, so that an addition need not wait for the last one */

INLINE double sum_of(const double *sums)
{
    double sum = 0;
    for (int j = 0; j < SIDE_BY_SIDE; j++)
        sum += sums[j];
    return sum;
}

/* The weight of the rows that were missed. */
EXPORT FOR_WIDE_VECTORS double assay_missed_weight(int64_t n, const uint8_t *missed, const double *weight)
{
    double sums[SIDE_BY_SIDE] = {0};
    int64_t i = 0;
    for (; i + SIDE_BY_SIDE <= n; i += SIDE_BY_SIDE)
        for (int j = 0; j < SIDE_BY_SIDE; j++)
            sums[j] += missed[i + j] ? weight[i + j] : 0.0;
    for (; i < n; i++)
        sums[i % SIDE_BY_SIDE] += missed[i] ? weight[i] : 0.0;
    return sum_of(sums);
}

/* Multiplies the weights of the rows that were missed, and divides all by their sum. */
EXPORT FOR_WIDE_VECTORS void assay_raise_missed(int64_t n, const uint8_t *missed, double factor, double *weight)
{
    double sums[SIDE_BY_SIDE] = {0};
    int64_t i = 0;
    for (; i + SIDE_BY_SIDE <= n; i += SIDE_BY_SIDE)
        for (int j = 0; j < SIDE_BY_SIDE; j++)
            sums[j] += weight[i + j] *= missed[i + j] ? factor : 1.0;
    for (; i < n; i++)
        sums[i % SIDE_BY_SIDE] += weight[i] *= missed[i] ? factor : 1.0;
    double sum = sum_of(sums);
    for (i = 0; i < n; i++)
        weight[i] /= sum;
}
