/* The nodes of a tree: how they are added, and copied out. */
#include "grower.h"

#include <math.h>
#include <string.h>

int32_t add_node(Grower *g, int32_t begin, int32_t count)
{
    Tree *tree = g->tree;
    if (tree->num_nodes % CHUNK_NODES == 0) {
        int64_t chunk = tree->num_nodes / CHUNK_NODES;
        tree->nodes[chunk] = arena_take(&tree->arena, CHUNK_NODES * sizeof **tree->nodes);
        tree->sums[chunk] = arena_take(&tree->arena, CHUNK_NODES * (size_t)g->words * sizeof **tree->sums);
    }
    *node_at(tree, tree->num_nodes) = (Node){.threshold = NAN, .begin = begin, .count = count, .feature = -1};
    return (int32_t)tree->num_nodes++;
}

/* Where every bin is one value: the middle of the node's own neighbours, or what was drawn between them. Without a
   neighbour, the split parts known values from missing ones, at infinity. */
static double threshold_of(const Problem *p, const Split *split)
{
    const double *highs = p->highs[split->feature];
    if (split->above < 0)
        return INFINITY;
    if (!p->is_exact[split->feature])
        return p->thresholds[split->feature][split->cut];
    if (!isnan(split->drawn))
        return split->drawn;
    double below = highs[split->below], above = highs[split->above];
    double middle = below / 2 + above / 2;
    return middle >= below && middle < above ? middle : below;
}

/* Lists the categories whose bins go left; one without a training row has the bin of missing values. */
static void note_categories(Grower *g, Node *node, int32_t feature)
{
    Tree *tree = g->tree;
    int64_t first = g->p->category_offsets[feature], count = g->p->category_offsets[feature + 1] - first;
    if (tree->num_categories + count > g->category_capacity) {
        g->category_capacity = 2 * (tree->num_categories + count);
        tree->categories = arena_enlarged(&tree->arena, tree->categories, tree->num_categories, g->category_capacity,
                                          sizeof *tree->categories);
    }
    int32_t *categories = tree->categories + tree->num_categories;
    int32_t num_left = 0;
    for (int32_t category = 0; category < count; category++) {
        categories[num_left] = category;
        num_left += g->partition.goes_left[g->p->category_bins[first + category]];
    }
    node->categories.begin = (uint32_t)tree->num_categories; /* growing.py refuses trees of too many */
    node->categories.count = num_left;
    tree->num_categories += num_left;
}

void add_children(Grower *g, int32_t index, const Split *split, int32_t left, int32_t nodes[2])
{
    Node *parent = node_at(g->tree, index);
    parent->feature = split->feature;
    parent->gain = split->gain;
    parent->missing_left = split->missing_left;
    if (split->cut < 0)
        note_categories(g, parent, split->feature);
    else
        parent->threshold = threshold_of(g->p, split);
    nodes[1] = add_node(g, parent->begin, left);
    nodes[0] = add_node(g, parent->begin + left, parent->count - left);
    parent->left = (uint32_t)nodes[1];
    const int64_t *whole = sums_of(g, index);
    int64_t *left_sums = sums_of(g, nodes[1]), *right_sums = sums_of(g, nodes[0]);
    for (int32_t w = 0; w < g->words; w++) {
        left_sums[w] = split->sums[w];
        right_sums[w] = whole[w] - split->sums[w];
    }
}

void note_leaves(Grower *g, int32_t *leaf)
{
    const int32_t *order = g->order;
    int32_t *first = g->partition.right, current = 0; /* the last node that begins with a row: a leaf, or none */
    for (int64_t place = 0; place < g->p->num_kept; place++)
        first[place] = -1;
    for (int32_t i = 0; i < g->tree->num_nodes; i++)
        first[node_at(g->tree, i)->begin] = i;
    for (int64_t place = 0; place < g->p->num_kept; place++) {
        current = first[place] >= 0 ? first[place] : current;
        leaf[order[place]] = current;
    }
}

/* Every second node is a leaf, which nobody could predict, so there is no branch. */
FOR_WIDE_VECTORS static void divide_sums(const double *sums, int64_t count, double *value)
{
    for (int64_t i = 0; i < count; i++) {
        double weight = sums[2 * i], mean = sums[2 * i + 1] / weight, old = value[i];
        value[i] = weight > 0 ? mean : old;
    }
}

/* Replaces the values of leaves by the means of their rows' targets; rows without a leaf have a negative one. `sums`
   is a spare array of zeros, two for every node and two more. */
EXPORT void assay_set_means(int64_t num_rows, const int32_t *leaf, const double *target, const double *weight,
                            int64_t num_nodes, double *sums, double *value)
{
    for (int64_t i = 0; i < num_rows; i++) {
        double one = weight ? weight[i] : 1.0, *of_leaf = sums + 2 * (leaf[i] >= 0 ? leaf[i] : num_nodes);
        of_leaf[0] += one;
        of_leaf[1] += one * target[i];
    }
    divide_sums(sums, num_nodes, value);
}

FOR_WIDE_VECTORS static void copy_shares(const int64_t *sums, int32_t count, double unit, double weight,
                                         double *value)
{
    for (int32_t k = 0; k < count; k++)
        value[k] = (double)sums[k] * unit / weight;
}

/* The sum of the gradients, or the share of each class. */
static void copy_value(const Problem *p, const int64_t *sums, double weight, double *value)
{
    if (p->layout == CLASSES) {
        copy_shares(sums, p->num_classes, p->units[1], weight, value);
        return;
    }
    double gradient = (double)(p->layout == PACKED ? packed_gradient(sums[0]) : sums[0]) * p->units[0];
    if (p->criterion == NEWTON) {
        value[0] = gradient;
    } else {
        value[0] = (weight - gradient) / weight;
        value[1] = gradient / weight;
    }
}

/* Copies a tree out, one array for each of its properties. If no other tree follows, what was copied is given back on
   the way, so that little is there twice. */
EXPORT void assay_copy_tree(const Problem *p, Tree *tree, const Nodes *to)
{
    int32_t words = words_per_cell(p), num_values = p->criterion == NEWTON ? 1 : p->num_classes;
    int64_t num_categories = 0;
    for (int64_t i = 0; i < tree->num_nodes; i++) {
        const Node *node = node_at(tree, i);
        bool is_leaf = node->feature < 0, by_category = (!is_leaf) & p->is_category[is_leaf ? 0 : node->feature];
        int32_t listed = node->categories.count & -(int32_t)by_category;
        to->feature[i] = node->feature;
        to->left[i] = (int32_t)node->left - is_leaf; /* -1 for a leaf */
        to->missing_left[i] = node->missing_left;
        to->threshold[i] = by_category ? NAN : node->threshold;
        to->gain[i] = node->gain;
        to->count[i] = node->count;
        to->category_offsets[i] = (int32_t)num_categories;
        if (listed)
            memcpy(to->categories + num_categories, tree->categories + node->categories.begin,
                   (size_t)listed * sizeof *to->categories);
        num_categories += listed;
        int64_t chunk = i / CHUNK_NODES, *sums = tree->sums[chunk] + i % CHUNK_NODES * words;
        to->weight[i] = (double)weight_of(p, sums) * p->units[1];
        copy_value(p, sums, to->weight[i], to->value + i * num_values);
        if (p->is_alone && i % CHUNK_NODES == CHUNK_NODES - 1) {
            arena_discard(tree->nodes[chunk], CHUNK_NODES * sizeof **tree->nodes);
            arena_discard(tree->sums[chunk], CHUNK_NODES * (size_t)words * sizeof **tree->sums);
        }
    }
    to->category_offsets[tree->num_nodes] = (int32_t)num_categories;
}
