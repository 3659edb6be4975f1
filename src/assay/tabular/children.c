/* The search for the best split of new nodes. Large nodes have a histogram of all features, of which the larger
   child's is its parent's less the smaller child's; small nodes are summed feature by feature. */
#include "grower.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_ROWS = 8192,        /* of a parallel loop */
    PARALLEL_CELLS = 1 << 16, /* fewer are searched by one thread */
};

/* -- memory --------------------------------------------------------------------------------------------------- */

static int64_t *take_histogram(Grower *g)
{
    int64_t *histogram = g->spare_histogram;
    if (histogram)
        memcpy(&g->spare_histogram, histogram, sizeof g->spare_histogram);
    else
        histogram = arena_take(g->arena, (size_t)g->histogram_size * sizeof *histogram);
    return histogram;
}

void give_histogram(Grower *g, int64_t *histogram)
{
    if (!histogram)
        return;
    memcpy(histogram, &g->spare_histogram, sizeof g->spare_histogram);
    g->spare_histogram = histogram;
}

void allocate_children(Grower *g)
{
    const Problem *p = g->p;
    Arena *arena = g->arena;
    size_t rows = (size_t)p->num_kept, features = (size_t)p->num_features;
    g->first = arena_take(arena, rows * (p->layout == WIDE ? 8 : 4));
    g->second = p->second ? arena_take(arena, rows * 8) : NULL;
    if (p->layout == CLASSES)
        allocate_narrowed(p, arena, &g->narrowed);
    allocate_few(p, arena, &g->few);
    g->searches = arena_take(arena, (size_t)g->workers * sizeof *g->searches);
    for (int32_t w = 0; w < g->workers; w++)
        allocate_search(p, arena, &g->searches[w]);
    for (int32_t c = 0; c < 2; c++) {
        Child *child = &g->children[c];
        child->features = arena_take(arena, features * sizeof *child->features);
        memcpy(child->features, p->features, (size_t)p->num_used * sizeof *child->features);
        child->num_features = p->num_used;
        child->num_drawn = 0;
        child->drawn = arena_take(arena, features * sizeof *child->drawn);
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

/* -- which features to look at -------------------------------------------------------------------------------- */

INLINE void swap(int32_t *items, int32_t i, int32_t j)
{
    int32_t item = items[i];
    items[i] = items[j];
    items[j] = item;
}

/* Where a step of a shuffle by random numbers of a stream takes an item from; the first k steps put a sample of k
   without replacement first. */
INLINE int32_t place_drawn(int32_t count, int32_t i, uint64_t numbers)
{
    return i + (int32_t)((number_of(numbers, (uint64_t)i) >> 32) * (uint64_t)(count - i) >> 32);
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int32_t sample(int32_t *items, int32_t count, double fraction, uint64_t key, uint64_t stream)
{
    int32_t size = (int32_t)(fraction * count);
    size = size < 1 ? 1 : size;
    uint64_t numbers = stream_of(key, stream);
    for (int32_t i = 0; i < size && i < count - 1; i++)
        swap(items, i, place_drawn(count, i, numbers));
    qsort(items, (size_t)size, sizeof *items, by_value);
    return size;
}

/* Draws one more feature. */
INLINE int32_t draw_feature(Child *child)
{
    int32_t i = child->num_drawn++, from = place_drawn(child->num_features, i, child->numbers);
    swap(child->features, i, child->drawn[i] = from);
    return child->features[i];
}

/* Puts the features drawn back to where they were. */
static void undo_draws(Child *child)
{
    while (child->num_drawn) {
        int32_t i = --child->num_drawn;
        swap(child->features, i, child->drawn[i]);
    }
}

/* How many features are drawn in any case; if none of them varies in the node, drawing goes on. */
static int32_t least_drawn(const Problem *p, const Child *child)
{
    return p->max_features < 0 || p->max_features >= child->num_features ? child->num_features : p->max_features;
}

static void choose_features(const Grower *g, Child *child)
{
    const Problem *p = g->p;
    uint64_t key = child->visit.key;
    int32_t count = p->num_used;
    child->numbers = stream_of(key, DRAW);
    if (p->features_per_level == 1 && p->features_per_node == 1)
        return;
    memcpy(child->features, p->features, (size_t)count * sizeof *child->features);
    if (p->features_per_level < 1)
        count = sample(child->features, count, p->features_per_level,
                       draw(g->root_key, LEVEL, (uint64_t)child->visit.depth), LEVEL);
    if (p->features_per_node < 1)
        count = sample(child->features, count, p->features_per_node, key, NODE);
    child->num_features = count;
}

/* -- search --------------------------------------------------------------------------------------------------- */

typedef struct {
    Grower *g;
    int32_t num_children;
    Child *children[2];
    int64_t *smaller, *parent; /* histograms; the parent's becomes the larger child's, or is NULL */
    const Problem *p; /* of a search by rows, and the sums of its node */
    const int64_t *sums;
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
            search_feature(p, search, &child->best[worker], feature, cells, sums_of(g, child->visit.node),
                           child->visit.key);
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
    Search *search = &t->g->searches[worker];
    Child *child = t->children[0];
    int32_t cells = cells_of_rows(t->p, &search->cells, feature, &t->rows);
    search_feature(t->p, search, &child->best[worker], feature, cells, t->sums,
                   child->visit.key);
    return cells > 1;
}

static void search_rows_of(void *task, int32_t i, int32_t worker)
{
    const SearchTask *t = task;
    search_rows(t, t->children[0]->features[i], worker);
}

/* Prepares the search of a child feature by feature. */
static SearchTask begin_rows(Grower *g, Child *child)
{
    const Problem *p = g->p;
    const Node *node = node_at(g->tree, child->visit.node);
    const int32_t *rows = g->order + node->begin;
    SearchTask t = {.g = g,
                    .children = {child},
                    .p = p,
                    .sums = sums_of(g, child->visit.node),
                    .rows = {rows, node->count, g->first, g->second}};
    if (p->layout == CLASSES) {
        narrow_classes(p, t.sums, &g->narrowed);
        gather_narrowed(p, &g->narrowed, rows, node->count, g->first, g->second);
        t.p = &g->narrowed.problem;
        t.sums = g->narrowed.sums;
    } else {
        gather_targets(p, rows, node->count, g->first, g->second);
    }
    return t;
}

/* Searches a child of few rows, and features that do not suit that search as those of many rows. */
void search_few_rows(Grower *g, Child *child)
{
    const Problem *p = g->p;
    Split *best = &child->best[0];
    SearchTask t;
    int32_t least = least_drawn(p, child), count = child->num_features;
    bool varied = false, begun = false;
    for (int32_t i = 0; i < least || (i < count && !varied); i++) {
        int32_t feature = least == count ? child->features[i] : draw_feature(child);
        Found found = note_few(&g->few, feature);
        if (found == UNSUITED && !begun) {
            t = begin_rows(g, child);
            begun = true;
        }
        varied |= found == UNSUITED ? search_rows(&t, feature, 0) : found == VARIED;
        if (found == UNSUITED && p->layout == CLASSES && best->feature == feature)
            widen_sums(p, &g->narrowed, best);
    }
    undo_draws(child);
    search_few(&g->few, g->partition.goes_left, best);
}

/* Searches a child feature by feature. */
static void search_by_rows(Grower *g, Child *child)
{
    const Problem *p = g->p;
    const Node *node = node_at(g->tree, child->visit.node);
    if (fits_few(&g->few, node->count, sums_of(g, child->visit.node))) {
        begin_few(&g->few, g->order + node->begin, node->count, sums_of(g, child->visit.node));
        search_few_rows(g, child);
        return;
    }
    SearchTask t = begin_rows(g, child);
    int32_t least = least_drawn(p, child);
    if (least == child->num_features) {
        int32_t workers = (int64_t)node->count * child->num_features < PARALLEL_CELLS ? 1 : g->workers;
        pool_run(workers, child->num_features, search_rows_of, &t);
    } else {
        bool varied = false;
        for (int32_t i = 0; i < least || (i < child->num_features && !varied); i++)
            varied |= search_rows(&t, draw_feature(child), 0);
        undo_draws(child);
    }
    for (int32_t w = 0; w < g->workers && p->layout == CLASSES; w++)
        if (child->best[w].feature >= 0)
            widen_sums(p, &g->narrowed, &child->best[w]);
}

/* -- histograms ----------------------------------------------------------------------------------------------- */

static bool deserves_histogram(const Grower *g, int32_t node)
{
    return g->p->records && (int64_t)node_at(g->tree, node)->count * g->p->num_used >= g->num_bins;
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
    const Node *node = node_at(g->tree, index);
    int64_t *histogram = take_histogram(g);
    memset(histogram, 0, (size_t)g->histogram_size * sizeof *histogram);
    int32_t workers = node->count < 2 * CHUNK_ROWS ? 1 : g->workers;
    for (int32_t w = 1; w < workers; w++)
        if (!g->partial[w])
            g->partial[w] = arena_take(g->arena, (size_t)g->histogram_size * sizeof *histogram);
    SumTask task = {g, g->order + node->begin, node->count, histogram};
    pool_run(workers, (int32_t)((node->count - 1) / CHUNK_ROWS) + 1, sum_chunk, &task);
    return histogram;
}

/* -- children ------------------------------------------------------------------------------------------------- */

Child *begin_child(Grower *g, int32_t which, const Visit *visit)
{
    Child *child = &g->children[which];
    child->visit = *visit;
    child->histogram = NULL;
    for (int32_t w = 0; w < g->workers; w++)
        child->best[w].feature = -1;
    choose_features(g, child);
    return child;
}

Split *best_split(Grower *g, Child *child)
{
    Split *best = &child->best[0];
    for (int32_t w = 1; w < g->workers; w++)
        if (child->best[w].feature >= 0 && preferred(child->best[w].score, child->best[w].feature, best))
            best = &child->best[w];
    return best;
}

void search_root(Grower *g, Child *child)
{
    if (!deserves_histogram(g, child->visit.node)) {
        search_by_rows(g, child);
        return;
    }
    child->histogram = histogram_of(g, child->visit.node);
    search_histograms(&(SearchTask){.g = g, .num_children = 1, .children = {child}, .smaller = child->histogram});
}

void search_children(Grower *g, Child *children[2], const int32_t nodes[2], int64_t *parent)
{
    int32_t smaller = node_at(g->tree, nodes[1])->count < node_at(g->tree, nodes[0])->count, larger = !smaller;
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
    for (int32_t c = 0; c < 2; c++)
        if (children[c] && !children[c]->histogram)
            search_by_rows(g, children[c]);
}
