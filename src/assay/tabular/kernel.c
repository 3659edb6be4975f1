/* Grows one tree; reference.py says what is computed. */
#include "grower.h"
#include "pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 }; /* of the open nodes */

/* -- memory --------------------------------------------------------------------------------------------------- */

static void allocate(Grower *g)
{
    const Problem *p = g->p;
    Arena *arena = g->arena;
    size_t rows = (size_t)p->num_kept;
    g->order = arena_take(arena, rows * sizeof *g->order);
    memcpy(g->order, p->rows, rows * sizeof *g->order);
    size_t chunks = 2 * rows / CHUNK_NODES + 1;
    g->tree->nodes = arena_take(&g->tree->arena, chunks * sizeof *g->tree->nodes);
    g->tree->sums = arena_take(&g->tree->arena, chunks * sizeof *g->tree->sums);
    allocate_partition(p, arena, &g->partition, g->workers);
    allocate_children(g);
}

/* -- nodes ---------------------------------------------------------------------------------------------------- */

/* Whether one number per unit of weight would fit all rows: g_i / h_i is the same for all, but for rounding, by
   half a unit at most where a unit is not one. */
static bool is_constant(const Grower *g, const Node *node, const int64_t *sums)
{
    const Problem *p = g->p;
    double rows = (double)node->count;
    double whole_g = p->layout == PACKED ? (double)packed_gradient(sums[0]) : (double)sums[0];
    double whole_h = p->layout == PACKED ? (double)packed_hessian(sums[0]) : (double)sums[1];
    for (int64_t i = 0; i < node->count; i++) {
        int32_t row = g->order[node->begin + i];
        double gi, hi;
        if (p->layout == PACKED) {
            int64_t cell = widen(((const int32_t *)p->first)[row]);
            gi = (double)packed_gradient(cell), hi = (double)packed_hessian(cell);
        } else {
            gi = (double)((const int64_t *)p->first)[row];
            hi = p->second ? (double)((const int64_t *)p->second)[row] : 1.0;
        }
        double rounding = 0x1p-50 * fabs(gi * whole_h);
        if (p->units[0] != 1)
            rounding += whole_h + rows * hi;
        if (p->units[1] != 1)
            rounding += fabs(whole_g) + rows * fabs(gi);
        if (fabs(gi * whole_h - whole_g * hi) > rounding)
            return false;
    }
    return true;
}

static bool may_split(const Grower *g, const Visit *visit)
{
    const Problem *p = g->p;
    const Node *node = node_at(g->tree, visit->node);
    const int64_t *sums = sums_of(g, visit->node);
    if ((p->max_depth >= 0 && visit->depth >= p->max_depth) || node->count < p->min_samples_split ||
        node->count < 2 * p->min_samples_leaf)
        return false;
    int64_t weight = weight_of(p, sums);
    if (weight < 2 * p->min_weight)
        return false;
    if (p->criterion == NEWTON)
        return p->min_gain >= 0 || !is_constant(g, node, sums);
    if (p->layout == CLASSES) {
        for (int32_t k = 0; k < p->num_classes; k++)
            if (sums[k] == weight)
                return false;
        return true;
    }
    int64_t second = p->layout == PACKED ? packed_gradient(sums[0]) : sums[0];
    return second != 0 && second != weight;
}

/* -- growth --------------------------------------------------------------------------------------------------- */

static bool goes_first(const Open *a, const Open *b)
{
    return a->split.gain > b->split.gain || (a->split.gain == b->split.gain && a->visit.node < b->visit.node);
}

static void push(Grower *g, Open *open)
{
    if (g->num_open == g->open_capacity) {
        g->open_capacity = g->open_capacity ? 2 * g->open_capacity : FIRST_CAPACITY;
        g->open = arena_enlarged(g->arena, g->open, g->num_open, g->open_capacity, sizeof *g->open);
    }
    int64_t place = g->num_open++;
    if (g->p->max_leaves >= 0)
        for (; place > 0 && goes_first(open, g->open[(place - 1) / 2]); place = (place - 1) / 2)
            g->open[place] = g->open[(place - 1) / 2];
    g->open[place] = open;
}

static Open *pop(Grower *g)
{
    Open *last = g->open[--g->num_open];
    if (g->p->max_leaves < 0 || g->num_open == 0)
        return last;
    Open *first = g->open[0];
    int64_t place = 0;
    for (;;) {
        int64_t next = 2 * place + 1;
        if (next >= g->num_open)
            break;
        next += next + 1 < g->num_open && goes_first(g->open[next + 1], g->open[next]);
        if (!goes_first(g->open[next], last))
            break;
        g->open[place] = g->open[next];
        place = next;
    }
    g->open[place] = last;
    return first;
}

static Open *take_open(Grower *g)
{
    Open *open = g->spare_open;
    if (open) {
        g->spare_open = open->next;
    } else {
        open = arena_take(g->arena, sizeof *open);
        allocate_split(g->p, g->arena, &open->split);
    }
    return open;
}

/* Whether the best split that was found gains enough. */
static bool gains(const Grower *g, int32_t index, Split *best, double score)
{
    if (best->feature < 0)
        return false;
    best->gain = gain_of(g->p, best->score, sums_of(g, index), score);
    return !isnan(best->gain);
}

/* Opens a searched child if its best split gains enough. */
static void enter(Grower *g, Child *child)
{
    Split *best = best_split(g, child);
    int32_t node = child->visit.node;
    if (!gains(g, node, best, score_of_node(g->p, sums_of(g, node)))) {
        give_histogram(g, child->histogram);
        return;
    }
    Open *open = take_open(g);
    open->visit = child->visit;
    open->histogram = child->histogram;
    copy_split(g->p, &open->split, best);
    push(g, open);
}

/* Opens a node of few rows, below which all is to be grown at once. */
static void enter_few(Grower *g, const Visit *visit)
{
    Open *open = take_open(g);
    open->visit = *visit;
    open->histogram = NULL;
    open->split.feature = -1;
    push(g, open);
}

static void split_node(Grower *g, const Open *open, int32_t nodes[2])
{
    const Node *node = node_at(g->tree, open->visit.node);
    int64_t left =
        partition_rows(g->p, &g->partition, &open->split, g->order + node->begin, node->count, g->workers);
    add_children(g, open->visit.node, &open->split, (int32_t)left, nodes);
}

/* Whether all below a node is grown at once. */
static bool is_few(const Grower *g, int32_t index)
{
    return g->p->max_leaves < 0 && g->few.suits_all &&
           fits_few(&g->few, node_at(g->tree, index)->count, sums_of(g, index));
}

static void grow_few(Grower *g, const Visit *visit)
{
    if (!may_split(g, visit))
        return;
    int32_t index = visit->node;
    const Node *node = node_at(g->tree, index);
    begin_few(&g->few, g->order + node->begin, node->count, sums_of(g, index));
    Child *child = begin_child(g, 0, visit);
    search_few_rows(g, child);
    Split *best = best_split(g, child);
    if (!gains(g, index, best, score_of_few(&g->few)))
        return;
    int32_t nodes[2];
    add_children(g, index, best, part_few(&g->few), nodes);
    Visit left = visit_child(visit, nodes[1], true), right = visit_child(visit, nodes[0], false);
    grow_few(g, &left);
    grow_few(g, &right);
}

static void add_root(Grower *g)
{
    const Problem *p = g->p;
    int32_t root = add_node(g, 0, (int32_t)p->num_kept);
    Visit visit = {root, 0, g->root_key};
    int64_t *sums = sums_of(g, root);
    memset(sums, 0, (size_t)g->words * sizeof *sums);
    sum_targets(p, g->order, p->num_kept, sums);
    if (is_few(g, root))
        enter_few(g, &visit);
    if (is_few(g, root) || p->max_leaves == 1 || !may_split(g, &visit))
        return;
    Child *child = begin_child(g, 0, &visit);
    search_root(g, child);
    enter(g, child);
}

static void grow(const Problem *p, Tree *tree, int32_t workers, int32_t *leaf)
{
    Grower *g = arena_zeros(&tree->growth, sizeof *g);
    *g = (Grower){.p = p,
                  .tree = tree,
                  .arena = &tree->growth,
                  .workers = workers,
                  .words = words_per_cell(p),
                  .root_key = mix(p->seed)};
    allocate(g);
    add_root(g);
    int32_t leaves = 1;
    while (g->num_open) {
        Open *open = pop(g);
        open->next = g->spare_open;
        g->spare_open = open;
        if (open->split.feature < 0) {
            Visit visit = open->visit; /* others will be opened in its place */
            grow_few(g, &visit);
            continue;
        }
        int32_t nodes[2]; /* right and left */
        Visit visits[2];
        split_node(g, open, nodes);
        if (++leaves == p->max_leaves)
            break;
        Child *children[2];
        for (int32_t c = 0; c < 2; c++) {
            visits[c] = visit_child(&open->visit, nodes[c], c == 1);
            children[c] = !is_few(g, nodes[c]) && may_split(g, &visits[c]) ? begin_child(g, c, &visits[c]) : NULL;
        }
        search_children(g, children, nodes, open->histogram);
        for (int32_t c = 0; c < 2; c++)
            if (children[c])
                enter(g, children[c]);
            else if (is_few(g, nodes[c]))
                enter_few(g, &visits[c]);
    }
    note_leaves(g, leaf);
}

/* Grows the tree, or returns false if memory runs out. */
static bool grow_within(const Problem *p, Tree *tree, int32_t workers, int32_t *leaf)
{
    if (setjmp(tree->arena.failed))
        return false;
    if (setjmp(tree->growth.failed))
        return false;
    grow(p, tree, workers, leaf);
    return true;
}

EXPORT void assay_free_tree(Tree *tree)
{
    arena_end(&tree->arena);
    free(tree);
}

/* Returns the tree, or NULL if memory ran out; `leaf` gets the node of every row that counts. */
EXPORT Tree *assay_grow(const Problem *p, int32_t *leaf)
{
    Tree *tree = calloc(1, sizeof *tree);
    if (!tree)
        return NULL;
    arena_begin(&tree->growth, !p->is_alone); /* in the order of their ends: each finds what its like has kept */
    arena_begin(&tree->arena, !p->is_alone);
    int32_t workers = pool_acquire(p->threads);
    bool complete = grow_within(p, tree, workers, leaf);
    pool_release(workers);
    arena_end(&tree->growth);
    if (complete)
        return tree;
    assay_free_tree(tree);
    return NULL;
}
