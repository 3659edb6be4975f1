/* The search among the splits of nodes of few rows, without cells: each row's code is a candidate, and each row is
   compared with many candidates at once. */
#ifndef ASSAY_FEW_H
#define ASSAY_FEW_H

#include "split.h"

#pragma GCC visibility push(hidden)

enum {
    FEW_ROWS = 64,
    FEW_LANES = 16, /* candidates that are judged at once */
};

/* A feature that varies. */
typedef struct {
    int32_t feature, missing; /* the code of a missing value */
    int32_t range;            /* codes that go left lie so far apart at most: 0 if that is one category */
    bool has_missing;
} Noted;

typedef struct {
    const Problem *p;
    bool suits, suits_all; /* some features; all that are used */
    bool lists_bins;       /* of categories, for others to part the rows by */
    int32_t least;         /* weight of a child, in units */
    int32_t count;         /* rows of the node */
    int32_t *rows;
    const int64_t *sums;
    int32_t *class_ends; /* by class, zero between calls */
    int32_t num_noted;
    Noted *noted;
    int32_t stride, *codes; /* of the rows, `stride` codes of each feature noted, the first one repeated */
    int32_t *features, *ranges, *missing; /* of each code, if several features are judged together */

    int32_t weight, gradient, squares; /* of the node; squares are summed over classes */
    /* Of each row; rows of classes are sorted by them, and the products are with the node's weight of the class. */
    int32_t weights[FEW_ROWS], gradients[FEW_ROWS], labels[FEW_ROWS], products[FEW_ROWS];
    int32_t ends[FEW_ROWS];   /* all ones for the last row of a class */
    int32_t places[FEW_ROWS]; /* the rows, the first one repeated */

    int32_t feature, best; /* of the best split if it was found here: -1 if not; and which of those noted it is */
    int32_t code;          /* the greatest that goes left, or the category that is parted from the others */
    bool missing_left;
    int32_t left[FEW_ROWS]; /* all ones for a row that goes left */
} Few;

void allocate_few(const Problem *p, Arena *arena, Few *few);

/* Whether a node of so many rows and these sums can be searched here. */
bool fits_few(const Few *few, int32_t count, const int64_t *sums);

/* Begins a node, whose rows it may put in another order. */
void begin_few(Few *few, int32_t *rows, int32_t count, const int64_t *sums);

/* The score of the node, had it no split. */
double score_of_few(const Few *few);

typedef enum { SAME, VARIED, UNSUITED } Found;

/* Notes a feature to be searched, if it varies. One that is not suited must be searched otherwise. */
Found note_few(Few *few, int32_t feature);

/* Replaces `best` if a feature that was noted has a better split. `goes_left` is a table by code, filled if that is a
   category. */
void search_few(Few *few, uint8_t *goes_left, Split *best);

/* The best candidate of the features that were noted, of equals the first. */
typedef struct {
    int32_t feature, code; /* the greatest that goes left, or the category that does */
    bool missing_left;
} Chosen;

/* judge.c; the score is minus infinity if none is allowed. */
void judge_few(const Few *few, double *score, Chosen *chosen);

/* Puts the rows that go left first and returns how many they are. */
int32_t part_few(Few *few);

#pragma GCC visibility pop

#endif
