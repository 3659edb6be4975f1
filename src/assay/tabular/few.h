/* The search among the splits of a node of few rows, without cells: its rows are sorted by their codes. */
#ifndef ASSAY_FEW_H
#define ASSAY_FEW_H

#include "split.h"

#pragma GCC visibility push(hidden)

typedef struct {
    const Problem *p;
    int32_t most; /* rows of a node */
    const int32_t *rows;
    const int64_t *sums;
    int64_t *so_far;                /* the weight of each class; zero between calls */
    int64_t *cells;                 /* the sums of each row, packed; of classes, its weight */
    int32_t *labels;                /* of classes */
    int32_t *sorted;                /* rows of the node, as they are counted there, by ascending code */
    int32_t *begins, *codes;        /* of groups of rows of one code, where they begin among these, and the code */
    int32_t *row_codes, *places;    /* of every row; where the next row of a code goes, zero between calls */
    int64_t weight, squares, least; /* of the node; the sum over classes of their squares; that of a child */
    int32_t count, feature;         /* of the best split if it was found here */
    double pair_score;              /* of any split of two rows */
    bool has_pair_score;
} Few;

void allocate_few(const Problem *p, Arena *arena, Few *few);

/* Prepares a node; returns whether it has few rows and can be searched here. */
bool begin_few(Few *few, const int32_t *rows, int32_t count, const int64_t *sums);

typedef enum { SAME, VARIED, UNSUITED } Found;

/* Replaces `best`, in outline, if the feature has a better split; says whether the feature varies. One that is not
   suited must be searched otherwise. */
Found search_few(Few *few, int32_t feature, Split *best);

/* Completes the best split if it was found here; `goes_left` is a spare array by bin. */
void complete_few(Few *few, uint8_t *goes_left, Split *best);

#pragma GCC visibility pop

#endif
