/* Grows one tree. reference.py says what is computed. Here large nodes have a histogram of all features, of which the
   larger child's is its parent's less the smaller child's; small nodes are summed feature by feature. */
#include "kernel.h"
#include "partition.h"
#include "pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ROWS = 8192,        /* of a parallel loop */
    PARALLEL_CELLS = 1 << 16, /* fewer are searched by one thread */
};

/* A node as it is given back; its rows stand in `order` from `begin` on. */
typedef struct {
    double drawn, gain;
    int64_t begin, count, bins_begin;
    uint64_t key;
    int32_t feature, left, right, cut, below, above, missing_left, depth, num_bins_left;
} Node;

typedef struct {
    Node *nodes;
    int64_t *sums; /* words_per_cell of each node */
    int32_t *bins_left;
    int64_t num_nodes, num_bins_left;
} Tree;

/* A node worth splitting, or one of a list of spare ones. */
typedef struct Open {
    int32_t node;
    Split split;
    int64_t *histogram; /* or NULL */
    struct Open *next;
} Open;

/* A new node to be searched, among some of the features. */
typedef struct {
    int32_t node, num_features;
    int32_t *features;
    uint8_t *is_chosen; /* by feature */
    int64_t *histogram; /* or NULL */
    Split *best;        /* of each worker */
} Child;

typedef struct {
    const Problem *p;
    Tree *tree;
    Arena arena;
    int64_t node_capacity, bin_capacity, open_capacity, num_open;
    Open **open; /* a heap, or a stack */
    Open *spare_open;
    int32_t words, workers;
    uint64_t root_key;
    int32_t *order; /* rows by node */
    Partition partition;
    void *first, *second; /* the targets of a node, side by side */
    Search *searches;     /* of each worker */
    Child children[2];
    int64_t num_bins; /* of all used features */
    Plan plan;
    int64_t histogram_size, *spare_histogram, **partial;
    bool *has_partial; /* whether a worker has sums that are not in the histogram yet */
} Grower;

/* -- memory --------------------------------------------------------------------------------------------------- */

static void *resized(Grower *g, void *array, int64_t length, size_t size)
{
    void *larger = realloc(array, (size_t)length * size);
    if (!larger)
        longjmp(g->arena.failed, 1);
    return larger;
}

static int64_t *take_histogram(Grower *g)
{
    int64_t *histogram = g->spare_histogram;
    if (histogram)
        memcpy(&g->spare_histogram, histogram, sizeof g->spare_histogram);
    else
        histogram = arena_take(&g->arena, (size_t)g->histogram_size * sizeof *histogram);
    return histogram;
}

static void give_histogram(Grower *g, int64_t *histogram)
{
    if (!histogram)
        return;
    memcpy(histogram, &g->spare_histogram, sizeof g->spare_histogram);
    g->spare_histogram = histogram;
}

static void allocate(Grower *g)
{
    const Problem *p = g->p;
    Arena *arena = &g->arena;
    size_t rows = (size_t)p->num_kept, features = (size_t)p->num_features;
    g->order = arena_take(arena, rows * sizeof *g->order);
    memcpy(g->order, p->rows, rows * sizeof *g->order);
    allocate_partition(p, arena, &g->partition, g->workers);
    g->first = arena_take(arena, rows * (p->layout == WIDE ? 8 : 4));
    g->second = p->layout == PACKED ? NULL : arena_take(arena, rows * 8);
    g->searches = arena_take(arena, (size_t)g->workers * sizeof *g->searches);
    for (int32_t w = 0; w < g->workers; w++)
        allocate_search(p, arena, &g->searches[w]);
    for (int32_t c = 0; c < 2; c++) {
        Child *child = &g->children[c];
        child->features = arena_take(arena, features * sizeof *child->features);
        child->is_chosen = arena_take(arena, features);
        child->best = arena_take(arena, (size_t)g->workers * sizeof *child->best);
        for (int32_t w = 0; w < g->workers; w++)
            allocate_split(p, arena, &child->best[w]);
    }
    for (int32_t j = 0; j < p->num_used; j++)
        g->num_bins += p->num_bins[p->features[j]] + 1;
    allocate_plan(p, arena, &g->plan);
    g->histogram_size = g->plan.offsets[g->plan.count];
    g->partial = arena_zeros(arena, (size_t)g->workers * sizeof *g->partial);
    g->has_partial = arena_zeros(arena, (size_t)g->workers * sizeof *g->has_partial);
}

/* -- nodes ---------------------------------------------------------------------------------------------------- */

static int64_t *sums_of(const Grower *g, int32_t node)
{
    return g->tree->sums + (int64_t)node * g->words;
}

static int32_t add_node(Grower *g, int64_t begin, int64_t count, int32_t depth, uint64_t key)
{
    Tree *tree = g->tree;
    if (tree->num_nodes == g->node_capacity) {
        int64_t capacity = 2 * g->node_capacity + 64;
        tree->nodes = resized(g, tree->nodes, capacity, sizeof *tree->nodes);
        tree->sums = resized(g, tree->sums, capacity * g->words, sizeof *tree->sums);
        g->node_capacity = capacity;
    }
    tree->nodes[tree->num_nodes] = (Node){.drawn = NAN, .begin = begin, .count = count, .key = key, .depth = depth,
                                          .feature = -1, .left = -1, .right = -1, .cut = -1, .below = -1,
                                          .above = -1};
    return (int32_t)tree->num_nodes++;
}

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
            gi = (double)((const int64_t *)p->first)[row], hi = (double)((const int64_t *)p->second)[row];
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

static bool may_split(const Grower *g, int32_t index)
{
    const Problem *p = g->p;
    const Node *node = &g->tree->nodes[index];
    const int64_t *sums = sums_of(g, index);
    if ((p->max_depth >= 0 && node->depth >= p->max_depth) || node->count < p->min_samples_split ||
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

/* -- which features to look at -------------------------------------------------------------------------------- */

/* Puts a sample without replacement first: one step of a shuffle for each. */
static void shuffle(int32_t *items, int32_t count, int32_t sample, uint64_t key, uint64_t stream)
{
    for (int32_t i = 0; i < sample && i < count - 1; i++) {
        int32_t j = i + (int32_t)((draw(key, stream, (uint64_t)i) >> 32) * (uint64_t)(count - i) >> 32);
        int32_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t sample(int32_t *items, int32_t count, double fraction, uint64_t key, uint64_t stream)
{
    if (fraction == 1)
        return count;
    int32_t size = (int32_t)(fraction * count);
    size = size < 1 ? 1 : size;
    shuffle(items, count, size, key, stream);
    qsort(items, (size_t)size, sizeof *items, by_value);
    return size;
}

static void choose_features(const Grower *g, Child *child)
{
    const Problem *p = g->p;
    const Node *node = &g->tree->nodes[child->node];
    int32_t count = p->num_used;
    memcpy(child->features, p->features, (size_t)count * sizeof *child->features);
    uint64_t level_key = draw(g->root_key, LEVEL, (uint64_t)node->depth);
    count = sample(child->features, count, p->features_per_level, level_key, LEVEL);
    count = sample(child->features, count, p->features_per_node, node->key, NODE);
    child->num_features = count;
}

/* -- search --------------------------------------------------------------------------------------------------- */

typedef struct {
    Grower *g;
    int32_t num_children;
    Child *children[2];
    int64_t *smaller, *parent; /* histograms; the parent's becomes the larger child's, or is NULL */
    NodeRows rows;
} SearchTask;

/* Completes the cells of one bundle and searches its features for both children. */
static void search_bundle(void *task, int32_t place, int32_t worker)
{
    const SearchTask *t = task;
    const Grower *g = t->g;
    const Problem *p = g->p;
    int32_t bundle = g->plan.bundles[place], num_codes = g->plan.num_codes[place];
    int64_t begin = g->plan.offsets[place], end = begin + (int64_t)num_codes * g->words;
    for (int32_t w = 1; w < g->workers; w++)
        if (g->has_partial[w])
            for (int64_t i = begin; i < end; i++)
                t->smaller[i] += g->partial[w][i];
    if (t->parent)
        for (int64_t i = begin; i < end; i++)
            t->parent[i] -= t->smaller[i];
    Search *search = &g->searches[worker];
    for (int32_t c = 0; c < t->num_children; c++) {
        Child *child = t->children[c];
        for (int32_t i = p->bundle_begin[bundle]; i < p->bundle_begin[bundle + 1]; i++) {
            int32_t feature = p->members[i];
            if (!child->is_chosen[feature])
                continue;
            int32_t cells = cells_of_histogram(p, &search->cells, feature, child->histogram + begin, num_codes);
            search_feature(p, search, &child->best[worker], feature, cells, sums_of(g, child->node),
                           g->tree->nodes[child->node].key);
        }
    }
}

/* Searches children that have histograms. */
static void search_histograms(SearchTask *t)
{
    Grower *g = t->g;
    for (int32_t c = 0; c < t->num_children; c++) {
        Child *child = t->children[c];
        memset(child->is_chosen, 0, (size_t)g->p->num_features);
        for (int32_t j = 0; j < child->num_features; j++)
            child->is_chosen[child->features[j]] = 1;
    }
    pool_run(g->histogram_size < PARALLEL_CELLS ? 1 : g->workers, g->plan.count, search_bundle, t);
    memset(g->has_partial, 0, (size_t)g->workers * sizeof *g->has_partial);
}

static bool search_rows(const SearchTask *t, int32_t feature, int32_t worker)
{
    const Grower *g = t->g;
    const Problem *p = g->p;
    Search *search = &g->searches[worker];
    Child *child = t->children[0];
    int32_t cells = cells_of_rows(p, &search->cells, feature, &t->rows);
    search_feature(p, search, &child->best[worker], feature, cells, sums_of(g, child->node),
                   g->tree->nodes[child->node].key);
    return cells > 1;
}

static void search_rows_of(void *task, int32_t i, int32_t worker)
{
    const SearchTask *t = task;
    search_rows(t, t->children[0]->features[i], worker);
}

/* Searches a child feature by feature. */
static void search_by_rows(Grower *g, Child *child)
{
    const Problem *p = g->p;
    const Node *node = &g->tree->nodes[child->node];
    const int32_t *rows = g->order + node->begin;
    SearchTask t = {.g = g, .children = {child}, .rows = {rows, node->count, g->first, g->second}};
    gather_targets(p, rows, node->count, g->first, g->second);
    if (p->max_features < 0 || p->max_features >= child->num_features) {
        int32_t workers = node->count * child->num_features < PARALLEL_CELLS ? 1 : g->workers;
        pool_run(workers, child->num_features, search_rows_of, &t);
        return;
    }
    bool varied = false;
    shuffle(child->features, child->num_features, child->num_features, node->key, DRAW);
    for (int32_t i = 0; i < child->num_features && !(varied && i >= p->max_features); i++)
        varied |= search_rows(&t, child->features[i], 0);
}

/* -- histograms ----------------------------------------------------------------------------------------------- */

static bool deserves_histogram(const Grower *g, int32_t node)
{
    return g->p->records && g->tree->nodes[node].count * g->p->num_used >= g->num_bins;
}

typedef struct {
    Grower *g;
    const int32_t *rows;
    int64_t count;
    int64_t *histogram;
} SumTask;

static void sum_chunk(void *task, int32_t chunk, int32_t worker)
{
    const SumTask *t = task;
    Grower *g = t->g;
    int64_t *histogram = t->histogram;
    if (worker > 0) {
        histogram = g->partial[worker];
        if (!g->has_partial[worker])
            memset(histogram, 0, (size_t)g->histogram_size * sizeof *histogram);
        g->has_partial[worker] = true;
    }
    int64_t begin = (int64_t)chunk * CHUNK_ROWS;
    int64_t count = t->count - begin < CHUNK_ROWS ? t->count - begin : CHUNK_ROWS;
    add_rows(g->p, &g->plan, t->rows + begin, count, histogram);
}

/* Sums the rows of a node; what other workers sum is added in search_bundle. */
static int64_t *histogram_of(Grower *g, int32_t index)
{
    const Node *node = &g->tree->nodes[index];
    int64_t *histogram = take_histogram(g);
    memset(histogram, 0, (size_t)g->histogram_size * sizeof *histogram);
    int32_t workers = node->count < 2 * CHUNK_ROWS ? 1 : g->workers;
    for (int32_t w = 1; w < workers; w++)
        if (!g->partial[w])
            g->partial[w] = arena_take(&g->arena, (size_t)g->histogram_size * sizeof *histogram);
    SumTask task = {g, g->order + node->begin, node->count, histogram};
    pool_run(workers, (int32_t)((node->count - 1) / CHUNK_ROWS) + 1, sum_chunk, &task);
    return histogram;
}

/* -- growth --------------------------------------------------------------------------------------------------- */

static bool goes_first(const Open *a, const Open *b)
{
    return a->split.gain > b->split.gain || (a->split.gain == b->split.gain && a->node < b->node);
}

static void push(Grower *g, Open *open)
{
    if (g->num_open == g->open_capacity) {
        g->open_capacity = 2 * g->open_capacity + 64;
        g->open = resized(g, g->open, g->open_capacity, sizeof *g->open);
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

/* Opens a searched child if its best split is good enough. */
static void enter(Grower *g, Child *child)
{
    const Problem *p = g->p;
    Split *best = &child->best[0];
    for (int32_t w = 1; w < g->workers; w++)
        if (child->best[w].feature >= 0 && preferred(child->best[w].score, child->best[w].feature, best))
            best = &child->best[w];
    if (best->feature >= 0)
        best->gain = gain_of(p, best->score, sums_of(g, child->node));
    if (best->feature < 0 || isnan(best->gain)) {
        give_histogram(g, child->histogram);
        return;
    }
    Open *open = g->spare_open;
    if (open) {
        g->spare_open = open->next;
    } else {
        open = arena_take(&g->arena, sizeof *open);
        allocate_split(p, &g->arena, &open->split);
    }
    open->node = child->node;
    open->histogram = child->histogram;
    copy_split(p, &open->split, best);
    push(g, open);
}

static Child *begin_child(Grower *g, int32_t which, int32_t node)
{
    if (!may_split(g, node))
        return NULL;
    Child *child = &g->children[which];
    child->node = node;
    child->histogram = NULL;
    for (int32_t w = 0; w < g->workers; w++)
        child->best[w].feature = -1;
    choose_features(g, child);
    return child;
}

/* Searches the children of a node (the right one and the left one; NULL if not to be split) and opens them.
   `parent` is the node's histogram, or NULL, and is given back or handed on. */
static void search_children(Grower *g, Child *children[2], int32_t nodes[2], int64_t *parent)
{
    const Node *all = g->tree->nodes;
    int32_t smaller = all[nodes[1]].count < all[nodes[0]].count, larger = !smaller;
    bool keep_larger = parent && children[larger] && deserves_histogram(g, nodes[larger]);
    bool keep_smaller = parent && children[smaller] && (keep_larger || deserves_histogram(g, nodes[smaller]));
    if (keep_larger || keep_smaller) {
        SearchTask task = {.g = g, .smaller = histogram_of(g, nodes[smaller])};
        if (keep_larger) {
            task.parent = children[larger]->histogram = parent;
            task.children[task.num_children++] = children[larger];
            parent = NULL;
        }
        if (keep_smaller) {
            children[smaller]->histogram = task.smaller;
            task.children[task.num_children++] = children[smaller];
        }
        search_histograms(&task);
        if (!keep_smaller)
            give_histogram(g, task.smaller);
    }
    give_histogram(g, parent);
    for (int32_t c = 0; c < 2; c++) {
        if (!children[c])
            continue;
        if (!children[c]->histogram)
            search_by_rows(g, children[c]);
        enter(g, children[c]);
    }
}

static void note_bins_left(Grower *g, Node *node, const Split *split)
{
    Tree *tree = g->tree;
    int64_t length = tree->num_bins_left + split->num_bins_left;
    if (length > g->bin_capacity) {
        g->bin_capacity = 2 * length + 64;
        tree->bins_left = resized(g, tree->bins_left, g->bin_capacity, sizeof *tree->bins_left);
    }
    node->bins_begin = tree->num_bins_left;
    node->num_bins_left = split->num_bins_left;
    memcpy(tree->bins_left + tree->num_bins_left, split->bins_left,
           (size_t)split->num_bins_left * sizeof *tree->bins_left);
    tree->num_bins_left = length;
}

/* Carries out a split. */
static void split_node(Grower *g, const Open *open, int32_t nodes[2])
{
    const Problem *p = g->p;
    const Split *split = &open->split;
    Node parent = g->tree->nodes[open->node];
    int32_t *rows = g->order + parent.begin;
    parent.below = split->below;
    parent.above = split->above;
    int64_t left = partition_rows(p, &g->partition, split, rows, parent.count, g->workers);
    parent.feature = split->feature;
    parent.cut = split->cut;
    parent.gain = split->gain;
    parent.drawn = split->drawn;
    parent.missing_left = split->missing_left;
    if (split->cut < 0)
        note_bins_left(g, &parent, split);
    parent.left = nodes[1] = add_node(g, parent.begin, left, parent.depth + 1, mix(parent.key ^ 1));
    parent.right = nodes[0] =
        add_node(g, parent.begin + left, parent.count - left, parent.depth + 1, mix(parent.key ^ 2));
    g->tree->nodes[open->node] = parent;
    for (int32_t w = 0; w < g->words; w++) {
        sums_of(g, nodes[1])[w] = split->sums[w];
        sums_of(g, nodes[0])[w] = sums_of(g, open->node)[w] - split->sums[w];
    }
}

static void add_root(Grower *g)
{
    const Problem *p = g->p;
    int32_t root = add_node(g, 0, p->num_kept, 0, g->root_key);
    int64_t *sums = sums_of(g, root);
    memset(sums, 0, (size_t)g->words * sizeof *sums);
    sum_targets(p, g->order, p->num_kept, sums);
    Child *child = p->max_leaves == 1 ? NULL : begin_child(g, 0, root);
    if (!child)
        return;
    if (deserves_histogram(g, root)) {
        child->histogram = histogram_of(g, root);
        search_histograms(&(SearchTask){.g = g, .num_children = 1, .children = {child}, .smaller = child->histogram});
    } else {
        search_by_rows(g, child);
    }
    enter(g, child);
}

static void grow(Grower *g)
{
    allocate(g);
    add_root(g);
    int32_t leaves = 1;
    while (g->num_open) {
        Open *open = pop(g);
        int32_t nodes[2]; /* right and left */
        split_node(g, open, nodes);
        int64_t *histogram = open->histogram;
        open->next = g->spare_open;
        g->spare_open = open;
        if (++leaves == g->p->max_leaves)
            break;
        Child *children[2];
        for (int32_t c = 0; c < 2; c++)
            children[c] = begin_child(g, c, nodes[c]);
        search_children(g, children, nodes, histogram);
    }
}

static void note_leaves(const Grower *g, int32_t *leaf)
{
    for (int64_t i = 0; i < g->tree->num_nodes; i++) {
        const Node *node = &g->tree->nodes[i];
        if (node->feature < 0)
            for (int64_t j = 0; j < node->count; j++)
                leaf[g->order[node->begin + j]] = (int32_t)i;
    }
}

EXPORT void assay_free_tree(Tree *tree)
{
    free(tree->nodes);
    free(tree->sums);
    free(tree->bins_left);
    free(tree);
}

/* Returns the tree, or NULL if memory ran out; `leaf` gets the node of every row that counts. */
EXPORT Tree *assay_grow(const Problem *p, int32_t *leaf)
{
    Grower *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    *g = (Grower){.p = p, .tree = calloc(1, sizeof *g->tree), .words = words_per_cell(p), .root_key = mix(p->seed)};
    arena_begin(&g->arena);
    g->workers = pool_acquire(p->threads);
    if (g->tree && !setjmp(g->arena.failed)) {
        grow(g);
        note_leaves(g, leaf);
    } else if (g->tree) {
        assay_free_tree(g->tree);
        g->tree = NULL;
    }
    Tree *tree = g->tree;
    pool_release(g->workers);
    arena_end(&g->arena);
    free(g->open);
    free(g);
    return tree;
}
