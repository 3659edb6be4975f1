/* How good candidates are: sums of the target over the rows that would go left. */
#ifndef ASSAY_SCORE_H
#define ASSAY_SCORE_H

#include "arena.h"
#include "kernel.h"

#pragma GCC visibility push(hidden)

enum { LANES = 8 }; /* arrays of candidates are read, though not judged, up to so many elements past their end */

typedef struct {
    double score; /* of both children together; minus infinity if no candidate is allowed */
    int32_t place; /* the first of equals */
} Top;

typedef struct {
    double *score, *weights, *squares, *products;
    int64_t *sums;
} Scratch;

void allocate_scratch(const Problem *p, Arena *arena, Scratch *scratch);

/* The best of at least one candidate, if missing values go right (`missing` is NULL) or left. `sums` are those of
   the node; the first `num_chosen` candidates gain `chance` by chance, which does not count. */
Top best_candidate(const Problem *p, const Scratch *scratch, const int64_t *left, int32_t count,
                   const int64_t *missing, const int64_t *sums, int32_t num_chosen, double chance);

#define EXACT (1 << 26) /* the squares of smaller weights are exact in float64 */

/* Whether all sums of the squared weights of classes are whole numbers, and exact in float64. */
bool has_exact_squares(const Problem *p, const int64_t *sums);

/* Scores candidates of a node that has them. */
void score_by_squares(const Problem *p, const int64_t *left, int32_t count, const int64_t *missing,
                      const int64_t *sums, const Scratch *scratch);

/* The score of one split into packed sums; minus infinity if it is not allowed. */
double score_of_split(const Problem *p, int64_t left, int64_t whole);

double score_of_node(const Problem *p, const int64_t *sums);

/* The gain of a split of a node with these sums and this score; NaN if it is too little. */
double gain_of(const Problem *p, double score, const int64_t *sums, double parent);

#pragma GCC visibility pop

#endif
