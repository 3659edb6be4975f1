/* The packed form of an ensemble, as packing.py describes it. */
#ifndef ASSAY_PREDICT_H
#define ASSAY_PREDICT_H

#include "codes.h"

typedef struct {
    uint32_t left; /* the right child follows it; a leaf is its own */
    uint16_t slot;
    uint16_t limit;
} Node;

typedef struct {
    const Source *sources; /* [slots] */
    const Node *nodes;
    const uint32_t *sets;
    const uint32_t *set_at;      /* [nodes] */
    const double *const *values; /* [trees][nodes, outputs] */
    const int64_t *roots;        /* [trees + 1] */
    const int32_t *depths;       /* [trees] */
    int64_t num_trees;
    int64_t outputs;
    int32_t num_slots;
    int32_t num_numeric; /* slots of numbers come first */
    int32_t width;       /* bytes of a code */
} Model;

/* Where predictions go: sums [rows, groups, outputs], to which values are added tree after tree, or leaves
   [rows, trees]. The other one is NULL. */
typedef struct {
    double *sums;
    int32_t *leaves;
    int64_t groups;
} Target;

/* Rows `row` .. row + count - 1 end in nodes `at` of `tree`. */
static inline void arrive(const Model *m, const Target *to, int64_t tree, int64_t row, int count,
                          const uint32_t *at)
{
    if (to->leaves) {
        for (int j = 0; j < count; j++)
            to->leaves[(row + j) * m->num_trees + tree] = (int32_t)at[j];
        return;
    }
    int64_t outputs = m->outputs, step = to->groups * outputs;
    const double *values = m->values[tree];
    double *sum = to->sums + row * step + tree % to->groups * outputs;
    if (step == 1)
        for (int j = 0; j < count; j++)
            sum[j] += values[at[j]];
    else
        for (int j = 0; j < count; j++)
            for (int64_t k = 0; k < outputs; k++)
                sum[j * step + k] += values[at[j] * outputs + k];
}

/* predict_avx512.c: the same for trees of few leaves where the processor has byte permutations. */
int assay_has_wide_path(const Model *m);
void assay_predict_wide(const Model *m, const Target *to, int64_t first, int64_t count, const uint8_t *codes,
                        int64_t stride);

#endif
