/* The best split of a node, feature by feature. */
#ifndef ASSAY_SPLIT_H
#define ASSAY_SPLIT_H

#include "histogram.h"
#include "score.h"

#pragma GCC visibility push(hidden)

/* A split; feature -1 for none. */
typedef struct {
    double score, gain, drawn;
    int32_t feature, cut; /* cut -1: a category */
    int32_t below, above; /* the codes on both sides of the cut, -1 for none */
    bool missing_left;
    int32_t num_bins_left;
    int32_t *bins_left; /* of a category, ascending */
    int64_t *sums;      /* of the left child */
} Split;

typedef struct {
    double key;
    int32_t place;
} Keyed;

/* What one worker needs to search. */
typedef struct {
    Cells cells;
    uint8_t *goes_left;
    Keyed *keyed, *spare_keyed;
    double *keys;
    int32_t *ranks, *spare_codes;
    int64_t *spare_cells, *missing;
    Scratch scratch;
} Search;

void allocate_split(const Problem *p, Arena *arena, Split *split);
void copy_split(const Problem *p, Split *to, const Split *from);
void allocate_search(const Problem *p, Arena *arena, Search *search);

/* Replaces `best` if the feature, whose cells are in `search`, has a better split of the node with these sums. */
void search_feature(const Problem *p, Search *search, Split *best, int32_t feature, int32_t num_cells,
                    const int64_t *sums, uint64_t key);

/* Whether a split of this score and feature is better: of equals, the lowest feature is. */
bool preferred(double score, int32_t feature, const Split *to);

#pragma GCC visibility pop

#endif
