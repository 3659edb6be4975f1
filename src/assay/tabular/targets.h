/* The targets of rows. */
#ifndef ASSAY_TARGETS_H
#define ASSAY_TARGETS_H

#include "kernel.h"

#pragma GCC visibility push(hidden)

INLINE void add_target(const Problem *p, int64_t *cell, const void *first, const void *second, int64_t i,
                       int32_t layout)
{
    if (layout == PACKED) {
        *cell += widen(((const int32_t *)first)[i]);
    } else if (layout == WIDE) {
        cell[0] += ((const int64_t *)first)[i];
        cell[1] += second ? ((const int64_t *)second)[i] : 1;
        if (p->counted)
            cell[2] += 1;
    } else if (layout == PAIRS) {
        uint32_t target = ((const uint32_t *)first)[i];
        ((Paired *)cell)[target & 0xFFFF] += (int32_t)(target >> 16);
    } else {
        cell[((const int32_t *)first)[i]] += ((const int64_t *)second)[i];
        if (p->counted)
            cell[p->num_classes] += 1;
    }
}

/* Adds the targets of rows to `sums`. */
void sum_targets(const Problem *p, const int32_t *rows, int64_t count, int64_t *sums);

/* Copies the targets of rows, packed or wide, to `first` and `second`. */
void gather_targets(const Problem *p, const int32_t *rows, int64_t count, void *first, void *second);

#pragma GCC visibility pop

#endif
