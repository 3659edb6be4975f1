#include "targets.h"

void gather_targets(const Problem *p, const int32_t *rows, int64_t count, void *first, void *second)
{
    if (p->layout == PACKED)
        for (int64_t i = 0; i < count; i++)
            ((int32_t *)first)[i] = ((const int32_t *)p->first)[rows[i]];
    else
        for (int64_t i = 0; i < count; i++) {
            ((int64_t *)first)[i] = ((const int64_t *)p->first)[rows[i]];
            if (p->second)
                ((int64_t *)second)[i] = ((const int64_t *)p->second)[rows[i]];
        }
}

INLINE void sum_targets_of(const Problem *p, const int32_t *rows, int64_t count, int64_t *sums, int32_t layout)
{
    for (int64_t i = 0; i < count; i++)
        add_target(p, sums, p->first, p->second, rows[i], layout);
}

/* All rows, from the first to the last. */
FOR_WIDE_VECTORS static int64_t sum_records(const int32_t *records, int64_t count)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += widen(records[i]);
    return sum;
}

void sum_targets(const Problem *p, const int32_t *rows, int64_t count, int64_t *sums)
{
    if (p->layout == PACKED && count == p->num_rows)
        *sums += sum_records(p->first, count);
    else if (p->layout == PACKED)
        sum_targets_of(p, rows, count, sums, PACKED);
    else if (p->layout == WIDE)
        sum_targets_of(p, rows, count, sums, WIDE);
    else
        sum_targets_of(p, rows, count, sums, CLASSES);
}
