/* The state of a tree's growth. */
#ifndef ASSAY_GROWER_H
#define ASSAY_GROWER_H

#include "classes.h"
#include "few.h"
#include "partition.h"

#pragma GCC visibility push(hidden)

/* A node as it is given back, its right child next to the left one; its rows stand in `order` from `begin` on. There
   are as many as rows, so it is kept small. */
typedef struct {
    union {
        double threshold;
        struct {
            uint32_t begin;
            int32_t count;
        } categories; /* of a split of categories */
    };
    double gain;
    int32_t begin, count, feature;
    uint32_t left : 31, missing_left : 1; /* left is 0 for a leaf */
} Node;

enum { CHUNK_NODES = 4096 };

/* A node that is to be searched or split, and what its random numbers are made of. */
typedef struct {
    int32_t node, depth;
    uint64_t key;
} Visit;

INLINE Visit visit_child(const Visit *parent, int32_t node, bool is_left)
{
    return (Visit){node, parent->depth + 1, mix(parent->key ^ (is_left ? 1 : 2))};
}

typedef struct {
    int64_t num_nodes, num_categories;
    Node **nodes;        /* chunks, so that they need not be moved when there are more */
    int64_t **sums;      /* words_per_cell of each node */
    int32_t *categories; /* that go left, in the order of the splits */
    Arena arena;         /* all memory of the tree */
    Arena growth;        /* and of its growth */
} Tree;

/* A node worth splitting, or one of a list of spare ones. */
typedef struct Open {
    Visit visit;
    Split split;
    int64_t *histogram; /* or NULL */
    struct Open *next;
} Open;

/* A new node to be searched, among some of the features. */
typedef struct {
    Visit visit;
    int32_t num_features, *features;
    uint64_t numbers;   /* random ones, that draw among them */
    int32_t num_drawn, *drawn; /* the places that the first ones came from */
    uint8_t *is_chosen; /* by feature */
    int64_t *histogram; /* or NULL */
    Split *best;        /* of each worker */
} Child;

typedef struct {
    const Problem *p;
    Tree *tree;
    Arena *arena;
    int64_t category_capacity, open_capacity, num_open;
    Open **open; /* a heap, or a stack */
    Open *spare_open;
    int32_t words, workers;
    uint64_t root_key;
    int32_t *order; /* rows by node */
    Partition partition;
    void *first, *second; /* the targets of a node, side by side */
    Narrowed narrowed;
    Few few;
    Search *searches; /* of each worker */
    Child children[2];
    int64_t num_bins; /* of all used features */
    Plan plan;
    int64_t histogram_size, *spare_histogram, **partial;
    bool *has_partial; /* whether a worker has sums that are not in the histogram yet */
} Grower;

static inline Node *node_at(const Tree *tree, int64_t node)
{
    return tree->nodes[node / CHUNK_NODES] + node % CHUNK_NODES;
}

static inline int64_t *sums_of(const Grower *g, int32_t node)
{
    return g->tree->sums[node / CHUNK_NODES] + node % CHUNK_NODES * g->words;
}

/* -- nodes.c -------------------------------------------------------------------------------------------------- */

int32_t add_node(Grower *g, int32_t begin, int32_t count);

/* Adds the children, right and left, of a node whose first `left` rows go left. */
void add_children(Grower *g, int32_t index, const Split *split, int32_t left, int32_t nodes[2]);

/* Writes the leaf of every row that counts. */
void note_leaves(Grower *g, int32_t *leaf);

/* -- children.c ----------------------------------------------------------------------------------------------- */

void allocate_children(Grower *g);
void give_histogram(Grower *g, int64_t *histogram);

/* Prepares the search of a node, as the first or the second child. */
Child *begin_child(Grower *g, int32_t which, const Visit *visit);

/* Searches the root. */
void search_root(Grower *g, Child *child);

/* Searches a child whose rows `few` has begun, and features that do not suit that search as those of many rows. */
void search_few_rows(Grower *g, Child *child);

/* Searches two new nodes; `children` are NULL for those that are not to be split. `parent` is the histogram of the
   parent, or NULL, and is given back or handed on. */
void search_children(Grower *g, Child *children[2], const int32_t nodes[2], int64_t *parent);

/* The best split that the workers found. */
Split *best_split(Grower *g, Child *child);

#pragma GCC visibility pop

#endif
