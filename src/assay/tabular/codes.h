/* How the values of one column become codes: shared by binning.c and predict.c. */
#ifndef ASSAY_CODES_H
#define ASSAY_CODES_H

#include <stdint.h>

/* One column to be encoded. Numbers are counted against the thresholds, categories looked up in a table. */
typedef struct {
    const char *values;       /* double, or int32_t for a category */
    int64_t stride;           /* bytes from one value to the next */
    const double *thresholds; /* ascending */
    const int32_t *classes;   /* the code of each category; NULL for numbers */
    int32_t size;             /* how many thresholds or categories */
    int32_t missing;          /* the code of a missing value */
} Source;

enum { LANES = 16 };

/* How many thresholds are below each of LANES values: a binary search without branches, so that the searches
   of all lanes overlap. None is below NaN. */
static inline void count_below(const double *thresholds, int32_t size, const double *x, int32_t *below)
{
    for (int j = 0; j < LANES; j++)
        below[j] = 0;
    int32_t left = size;
    for (; left > 1; left -= left / 2) {
        int32_t half = left / 2;
        const double *probe = thresholds + half - 1;
        for (int j = 0; j < LANES; j++)
            below[j] += (probe[below[j]] < x[j]) * half;
    }
    if (left == 1)
        for (int j = 0; j < LANES; j++)
            below[j] += thresholds[below[j]] < x[j];
}

/* The codes of at most LANES rows from `row` on. Returns whether one is missing. */
static inline int encode_lanes(const Source *s, int64_t row, int count, int32_t *codes)
{
    const char *at = s->values + row * s->stride;
    int missing = 0;
    if (s->classes) {
        for (int j = 0; j < count; j++) {
            int32_t category = *(const int32_t *)(at + j * s->stride);
            int known = (uint32_t)category < (uint32_t)s->size;
            codes[j] = known ? s->classes[category] : s->missing;
            missing |= codes[j] == s->missing;
        }
        return missing;
    }
    double x[LANES] = {0};
    for (int j = 0; j < count; j++)
        x[j] = *(const double *)(at + j * s->stride);
    count_below(s->thresholds, s->size, x, codes);
    for (int j = 0; j < count; j++) {
        int unknown = x[j] != x[j];
        codes[j] = unknown ? s->missing : codes[j];
        missing |= unknown;
    }
    return missing;
}

/* Writes codes of 1, 2 or 4 bytes, `step` codes apart. */
static inline void store(void *to, int64_t step, int width, const int32_t *codes, int count)
{
    for (int j = 0; j < count; j++)
        if (width == 1)
            ((uint8_t *)to)[j * step] = (uint8_t)codes[j];
        else if (width == 2)
            ((uint16_t *)to)[j * step] = (uint16_t)codes[j];
        else
            ((uint32_t *)to)[j * step] = (uint32_t)codes[j];
}

#endif
