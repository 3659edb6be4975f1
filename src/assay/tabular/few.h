/* The search among the splits of nodes of few rows, without cells: each row's code is a candidate, and each row is
   compared with all candidates at once. */
#ifndef ASSAY_FEW_H
#define ASSAY_FEW_H

#include "split.h"

#pragma GCC visibility push(hidden)

enum { FEW_ROWS = 16 };

/* A feature that varies. */
typedef struct {
    int32_t feature, slot; /* where its codes are */
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
    int32_t num_noted;
    Noted *noted;   /* by feature */
    int32_t *codes; /* of the rows, FEW_ROWS of each slot */
    uint32_t left;  /* a bit for each row, of the best split if it was found here */
    int32_t feature, best_slot;

    int32_t gradients[FEW_ROWS], hessians[FEW_ROWS]; /* of packed sums; of classes, by which rows are sorted, */
    int32_t labels[FEW_ROWS];
    double weights[FEW_ROWS], totals[FEW_ROWS]; /* the weight of the row, and the node's of its class */
    int64_t ends[FEW_ROWS];                     /* all ones for the last row of a class */
    double weight, squares;                     /* of the node; the sum over classes of their squares */
} Few;

void allocate_few(const Problem *p, Arena *arena, Few *few);

/* Whether a node of so many rows and these sums can be searched here. */
bool fits_few(const Few *few, int32_t count, const int64_t *sums);

/* Begins a node, whose rows it may put in another order. */
void begin_few(Few *few, int32_t *rows, int32_t count, const int64_t *sums);

typedef enum { SAME, VARIED, UNSUITED } Found;

/* Notes a feature to be searched, if it varies. One that is not suited must be searched otherwise. */
Found note_few(Few *few, int32_t feature);

/* Replaces `best` if a feature that was noted has a better split. `goes_left` is a table by code, filled if that is a
   category. */
void search_few(Few *few, uint8_t *goes_left, Split *best);

/* The best candidate of the features that were noted, of equals the first. */
typedef struct {
    int32_t place, code; /* among the features noted; the greatest that goes left, or the category that does */
    bool missing_left;
} Chosen;

/* judge.c; the score is minus infinity if none is allowed. */
void judge_few(const Few *few, double *score, Chosen *chosen);

/* Puts the rows that go left first and returns how many they are. */
int32_t part_few(Few *few);

#pragma GCC visibility pop

#endif
