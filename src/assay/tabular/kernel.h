/* What the parts of the tree grower share. Every type is explained in reference.py and fixed_point.py, the NumPy
   twins, under the same names. */
#ifndef ASSAY_KERNEL_H
#define ASSAY_KERNEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h> /* defines __GLIBC__ */

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* One function, compiled for the vectors of several processors and chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define FOR_WIDE_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_WIDE_VECTORS
#endif

enum { PACKED, WIDE, CLASSES, PAIRS }; /* layouts; pairs are made of classes in nodes that are not heavy */
enum { NEWTON, GINI, ENTROPY };    /* criteria */
enum { AHEAD = 16 };               /* rows to prefetch ahead */

/* growing.py fills it in. */
typedef struct {
    const void *columns; /* codes [num_features][num_rows] */
    const void *records; /* codes of bundles [num_rows][stride]; NULL if there are to be no histograms */
    const int32_t *bundle_begin, *members; /* the features of a bundle are members[bundle_begin[b]] and on */
    const int32_t *factors; /* of each feature in the code of its bundle */
    const int32_t *num_codes; /* that each feature has: its bins, and the missing one if it occurs */
    const int32_t *num_bins;
    const uint8_t *is_category, *is_exact;
    const double *const *highs, *const *thresholds; /* of each feature */
    const int32_t *category_bins;
    const int64_t *category_offsets;
    const int32_t *features, *rows;
    const void *first, *second; /* wide: second is NULL if all hessians are one unit */
    int64_t num_rows, stride, num_kept; /* num_kept is the length of rows */
    double units[2], l1, l2, max_delta_step, noise, min_gain, features_per_level, features_per_node;
    int64_t min_samples_split, min_samples_leaf, min_weight;
    uint64_t seed;
    int32_t width; /* bytes per code */
    int32_t num_features, num_used, num_bundles;
    int32_t layout, criterion, num_classes, counted;
    int32_t has_short_weights; /* of classes: no row's weight exceeds 15 bits */
    int32_t max_depth, max_leaves, max_features; /* -1: no limit */
    int32_t random_thresholds, max_categories_onehot, threads;
    int32_t is_alone; /* no other tree follows, for which memory would be kept */
} Problem;

/* Arrays of a tree's nodes: `Nodes` of problem.py. */
typedef struct {
    int32_t *feature, *left, *categories, *category_offsets, *count;
    uint8_t *missing_left;
    double *threshold, *gain, *weight, *value;
} Nodes;

enum { PAIRED_WORDS = 4 }; /* the words of pairs are a multiple of this */

/* The weight of a class in a word of two: none is negative, so words are added as if they were one number. */
typedef int32_t __attribute__((may_alias)) Paired;

/* A cell is `words` 64-bit integers: packed, gradient << 32 | hessian; wide, gradient, hessian and, if the problem is
   counted, count; classes, the weight of every class and likewise; pairs, the weights of two classes in each. */
INLINE int32_t words_per_cell(const Problem *p)
{
    return p->layout == PACKED ? 1
           : p->layout == WIDE ? 2 + p->counted
           : p->layout == PAIRS ? (p->num_classes + 2 * PAIRED_WORDS - 1) / (2 * PAIRED_WORDS) * PAIRED_WORDS
                                : p->num_classes + p->counted;
}

/* The same for memory, in which classes may also be paired. */
INLINE size_t most_words_per_cell(const Problem *p)
{
    return ((size_t)words_per_cell(p) + PAIRED_WORDS - 1) / PAIRED_WORDS * PAIRED_WORDS;
}

INLINE int64_t weight_of_class(const Problem *p, const int64_t *sums, int32_t k)
{
    return p->layout == PAIRS ? ((const Paired *)sums)[k] : sums[k];
}

INLINE int64_t packed_gradient(int64_t cell)
{
    return cell >> 32;
}

INLINE int64_t packed_hessian(int64_t cell)
{
    return (int64_t)(uint32_t)cell;
}

/* The hessian or weight of sums, in units. */
INLINE int64_t weight_of(const Problem *p, const int64_t *sums)
{
    if (p->layout == PACKED)
        return packed_hessian(sums[0]);
    if (p->layout == WIDE)
        return sums[1];
    int64_t weight = 0;
    for (int32_t k = 0; k < p->num_classes; k++)
        weight += weight_of_class(p, sums, k);
    return weight;
}

INLINE int64_t widen(int32_t record)
{
    return (int64_t)(record >> 16) * ((int64_t)1 << 32) + (record & 0xFFFF);
}

INLINE uint32_t code_at(const void *codes, int64_t place, int32_t width)
{
    return width == 1   ? ((const uint8_t *)codes)[place]
           : width == 2 ? ((const uint16_t *)codes)[place]
                        : ((const uint32_t *)codes)[place];
}

/* Random numbers, functions of their arguments alone. */
enum { LEVEL = 1, NODE, DRAW, THRESHOLD }; /* streams */

INLINE uint64_t mix(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* What the numbers of a stream are counted from. */
INLINE uint64_t stream_of(uint64_t key, uint64_t stream)
{
    return mix(key ^ stream << 56);
}

INLINE uint64_t number_of(uint64_t stream, uint64_t index)
{
    return mix(stream + index);
}

INLINE uint64_t draw(uint64_t key, uint64_t stream, uint64_t index)
{
    return number_of(stream_of(key, stream), index);
}

#endif
