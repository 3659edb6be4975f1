/* Sums over all rows, in blocks: rows take turns in several sums, so that an addition need not wait for the one
   before. The order is that of sum_by_turns in slopes.py. */
#ifndef ASSAY_TURNS_H
#define ASSAY_TURNS_H

#include "kernel.h"

enum { SIDE_BY_SIDE = 16, TURNS = 16, BLOCK = TURNS * SIDE_BY_SIDE };

INLINE void add_block(const double *block, double *sums)
{
    for (int i = 0; i < BLOCK; i += SIDE_BY_SIDE)
        for (int j = 0; j < SIDE_BY_SIDE; j++)
            sums[j] += block[i + j];
}

INLINE double sum_of(const double *sums)
{
    double sum = 0;
    for (int j = 0; j < SIDE_BY_SIDE; j++)
        sum += sums[j];
    return sum;
}

#endif
