/* Sums of the target per bin: of all features at once, or of one feature of one node. */
#ifndef ASSAY_HISTOGRAM_H
#define ASSAY_HISTOGRAM_H

#include "arena.h"
#include "targets.h"

#pragma GCC visibility push(hidden)

/* The rows of a node with their targets, gathered to lie side by side. */
typedef struct {
    const int32_t *rows;
    int64_t count;
    const void *first, *second;
} NodeRows;

/* The cells of one feature that are not zero, by ascending code: in `room`, or in the front of the table. `seen`, `bits`
   and `summary` are zero between calls, and so is `table` but for the first words. */
typedef struct {
    int32_t *codes;
    int64_t *cells, *room;
    int64_t *table, num_used; /* words that need not be zero */
    uint8_t *seen; /* codes that are bytes */
    uint64_t *bits, *summary;
} Cells;

void allocate_cells(const Problem *p, Arena *arena, Cells *cells);

/* Both return how many cells there are. `histogram` is that of the feature's bundle, which has `num_codes` codes. */
int32_t cells_of_rows(const Problem *p, Cells *cells, int32_t feature, const NodeRows *node);
int32_t cells_of_histogram(const Problem *p, Cells *cells, int32_t feature, const int64_t *histogram,
                           int32_t num_codes);

/* Which bundles have a histogram, where in a histogram each begins and where the last one ends, and how many codes
   each has. */
typedef struct {
    int32_t count, *bundles, *num_codes;
    int64_t *offsets;
} Plan;

void allocate_plan(const Problem *p, Arena *arena, Plan *plan);

/* Adds the targets of rows to a histogram. */
void add_rows(const Problem *p, const Plan *plan, const int32_t *rows, int64_t count, int64_t *histogram);

#pragma GCC visibility pop

#endif
