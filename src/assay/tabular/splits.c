/* The splits of an ensemble's trees, by feature: splits_reference.py is the NumPy twin. */
#include "kernel.h"
#include "predict.h"

#include <math.h>
#include <string.h>

enum { NEVER = 65535 }; /* the limit of leaves and of category splits */

/* As splits.py numbers them. */
enum { SOUND, OFFSETS, PARENTS, CHILD, FEATURE, THRESHOLD_MISSING, CATEGORY };

/* A tree of tree.py. */
typedef struct {
    const int32_t *feature, *left, *categories, *category_offsets;
    const double *threshold;
    const uint8_t *missing_left;
    int64_t num_nodes, num_categories;
} View;

typedef struct {
    int64_t tree, node;
} Place;

/* Lists the inner nodes of a tree, without a branch that nobody could predict; returns how many they are. */
static int64_t list_inner(const View *tree, int32_t *inner)
{
    int64_t count = 0;
    for (int32_t i = 0; i < tree->num_nodes; i++) {
        inner[count] = i;
        count += tree->feature[i] >= 0;
    }
    return count;
}

/* What is wrong with the categories that a tree lists, and at which node. */
static int32_t check_categories(const View *tree, const int32_t *num_known, int64_t *node)
{
    const int32_t *offsets = tree->category_offsets;
    int32_t decreasing = offsets[0] != 0 || offsets[tree->num_nodes] != tree->num_categories;
    for (int64_t i = 0; i < tree->num_nodes; i++)
        decreasing |= offsets[i + 1] < offsets[i];
    if (decreasing)
        return OFFSETS;
    for (*node = 0; *node < tree->num_nodes && offsets[*node] < tree->num_categories; ++*node) {
        int32_t feature = tree->feature[*node], known = feature < 0 ? 0 : num_known[feature];
        for (int32_t i = offsets[*node]; i < offsets[*node + 1]; i++)
            if (tree->categories[i] < 0 || tree->categories[i] >= known)
                return CATEGORY;
    }
    return SOUND;
}

/* Writes the children of a tree's nodes, adds to the counts of splits by feature and side, and finds the depth. */
static int32_t link_nodes(const View *tree, int32_t num_features, const int32_t *num_known, Node *nodes,
                          int32_t *spare, int64_t *counts, int32_t *depth, int64_t *node)
{
    int32_t *inner = spare, *depths = spare + tree->num_nodes;
    int64_t num_inner = list_inner(tree, inner);
    for (int64_t i = 0; i < tree->num_nodes; i++) {
        nodes[i] = (Node){(uint32_t)i, 0, NEVER};
        depths[i] = -1; /* no parent yet */
    }
    depths[0] = *depth = 0;
    for (int64_t j = 0; j < num_inner; j++) {
        int32_t i = inner[j], feature = tree->feature[i], left = tree->left[i];
        *node = i;
        if (left <= i || left + (int64_t)1 >= tree->num_nodes)
            return CHILD;
        if (feature >= num_features)
            return FEATURE;
        bool number = num_known[feature] < 0;
        if (number && isnan(tree->threshold[i]))
            return THRESHOLD_MISSING;
        *node = depths[left] < 0 ? left + 1 : left;
        if (depths[*node] >= 0)
            return PARENTS;
        depths[left] = depths[left + 1] = depths[i] + 1;
        *depth = *depth > depths[left] ? *depth : depths[left];
        nodes[i].left = (uint32_t)left;
        counts[2 * feature + (number & tree->missing_left[i])]++;
    }
    for (*node = 0; *node < tree->num_nodes; ++*node)
        if (depths[*node] < 0)
            return PARENTS;
    return SOUND;
}

/* Returns what is wrong with the first tree that is malformed, and where, or 0; `spare` has room for twice the nodes
   of the largest tree, and `counts`, which is zero, for two sides of every feature. `num_known` are the categories
   known of every feature, -1 for numbers. */
EXPORT int32_t assay_link_trees(const View *trees, int64_t num_trees, int32_t num_features, const int32_t *num_known,
                                Node *nodes, int32_t *spare, int64_t *counts, int32_t *depths, Place *place)
{
    for (int64_t t = 0; t < num_trees; nodes += trees[t++].num_nodes) {
        place->tree = t;
        int32_t fault =
            link_nodes(&trees[t], num_features, num_known, nodes, spare, counts, &depths[t], &place->node);
        if (!fault)
            fault = check_categories(&trees[t], num_known, &place->node);
        if (fault)
            return fault;
    }
    return SOUND;
}

/* Lists inner nodes, and their thresholds, by feature and side; `next` are the places of the first ones of each, and
   `spare` has room for the nodes of the largest tree. */
EXPORT void assay_gather_splits(const View *trees, int64_t num_trees, const int32_t *num_known, int32_t *spare,
                                int64_t *next, uint32_t *nodes, double *thresholds)
{
    int64_t root = 0;
    for (const View *tree = trees; tree < trees + num_trees; root += tree++->num_nodes) {
        int64_t num_inner = list_inner(tree, spare);
        for (int64_t j = 0; j < num_inner; j++) {
            int32_t i = spare[j], feature = tree->feature[i];
            int64_t place = next[2 * feature + ((num_known[feature] < 0) & tree->missing_left[i])]++;
            nodes[place] = (uint32_t)(root + i);
            thresholds[place] = tree->threshold[i];
        }
    }
}

/* Sets slot and limit of nodes; no slot has more than `largest` thresholds. */
EXPORT void assay_set_limits(Node *nodes, const uint32_t *which, const uint32_t *limits, int64_t count,
                             uint32_t largest, int32_t first_slot)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t limit = limits[i], slot = (uint32_t)first_slot;
        for (; limit >= largest; limit -= largest)
            slot++;
        nodes[which[i]].slot = (uint16_t)slot;
        nodes[which[i]].limit = (uint16_t)limit;
    }
}

/* Sets the bits of the codes that go left, `width` words for each of some nodes, ascending, that split on one
   category feature; `codes` are those of its categories and, last, of missing values. */
EXPORT void assay_fill_sets(const View *trees, const uint32_t *which, int64_t count, const int32_t *codes,
                            int32_t num_categories, int64_t width, uint32_t *sets)
{
    int64_t root = 0;
    for (int64_t i = 0; i < count; i++, sets += width) {
        for (; which[i] >= root + trees->num_nodes; trees++)
            root += trees->num_nodes;
        int64_t node = which[i] - root;
        for (int32_t j = trees->category_offsets[node]; j < trees->category_offsets[node + 1]; j++) {
            int32_t code = codes[trees->categories[j]];
            sets[code / 32] |= 1u << code % 32;
        }
        if (trees->missing_left[node])
            sets[codes[num_categories] / 32] |= 1u << codes[num_categories] % 32;
    }
}
