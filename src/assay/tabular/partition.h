/* Parts the rows of a node by a split, in their order. */
#ifndef ASSAY_PARTITION_H
#define ASSAY_PARTITION_H

#include "split.h"

#pragma GCC visibility push(hidden)

typedef struct {
    int32_t *left, *right; /* a node's rows */
    int64_t *chunk_left;   /* how many rows of each chunk go left */
    uint8_t *goes_left;    /* by code */
} Partition;

void allocate_partition(const Problem *p, Arena *arena, Partition *space, int32_t workers);

/* Puts the rows that go left first and returns how many they are. */
int64_t partition_rows(const Problem *p, Partition *space, const Split *split, int32_t *rows, int64_t count,
                       int32_t workers);

#pragma GCC visibility pop

#endif
