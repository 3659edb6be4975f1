/* A problem narrowed to the classes that a node has, which are few in small nodes. */
#ifndef ASSAY_CLASSES_H
#define ASSAY_CLASSES_H

#include "split.h"

#pragma GCC visibility push(hidden)

typedef struct {
    Problem problem;           /* of fewer classes; of two, with packed sums if they fit, or else of pairs */
    int64_t *sums, *spare;     /* of the node, in terms of that problem; those of a split */
    int32_t *present, *narrow; /* the classes that the node has; the place of each of them among these */
} Narrowed;

void allocate_narrowed(const Problem *p, Arena *arena, Narrowed *narrowed);

/* Narrows a problem of classes to those of a node with these sums. */
void narrow_classes(const Problem *p, const int64_t *sums, Narrowed *narrowed);

/* Copies the targets of the node's rows to `first` and `second`, in terms of the narrowed problem. */
void gather_narrowed(const Problem *p, const Narrowed *narrowed, const int32_t *rows, int64_t count, void *first,
                     void *second);

/* Puts the sums of a split of the narrowed problem in terms of the whole one. */
void widen_sums(const Problem *p, const Narrowed *narrowed, Split *split);

#pragma GCC visibility pop

#endif
