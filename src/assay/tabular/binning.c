/* Counting the distinct values of a column, and turning columns into codes. The NumPy twin is
   binning_reference.py. */
#include "codes.h"

#include <string.h>

/* Doubles as unsigned integers in the same order; no number maps to 0. */
static inline uint64_t key_of(double x)
{
    uint64_t bits;
    x += 0.0; /* -0.0 becomes 0.0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}

static inline double value_of(uint64_t key)
{
    double x;
    uint64_t bits = key >> 63 ? key & ~(1ull << 63) : ~key;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Keys with weights. */
typedef struct {
    uint64_t *keys;
    double *weights;
} Pairs;

enum { DIGIT_BITS = 11, DIGIT_VALUES = 1 << DIGIT_BITS };

/* Moves pairs from one array to the other in the order of the digit above `shift`; equals stay in order. */
static void sort_by_digit(Pairs from, Pairs to, int64_t n, int shift)
{
    int64_t starts[DIGIT_VALUES] = {0}, start = 0;
    for (int64_t i = 0; i < n; i++)
        starts[from.keys[i] >> shift & (DIGIT_VALUES - 1)]++;
    for (int d = 0; d < DIGIT_VALUES; d++) {
        int64_t size = starts[d];
        starts[d] = start;
        start += size;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t place = starts[from.keys[i] >> shift & (DIGIT_VALUES - 1)]++;
        to.keys[place] = from.keys[i];
        to.weights[place] = from.weights[i];
    }
}

/* Sorts by insertion if that takes about 8 n moves at most; otherwise returns 0, the pairs partly sorted. */
static int insertion_sort(Pairs pairs, int64_t n)
{
    int64_t moves = 0;
    for (int64_t i = 1; i < n; i++) {
        uint64_t key = pairs.keys[i];
        if (key >= pairs.keys[i - 1])
            continue;
        double weight = pairs.weights[i];
        int64_t j = i;
        for (; j > 0 && pairs.keys[j - 1] > key; j--) {
            pairs.keys[j] = pairs.keys[j - 1];
            pairs.weights[j] = pairs.weights[j - 1];
        }
        pairs.keys[j] = key;
        pairs.weights[j] = weight;
        moves += i - j;
        if (moves > 8 * n)
            return 0;
    }
    return 1;
}

/* Sorts by radix and returns where the result is: in `pairs` or in `spare`. The three highest digits of the
   bits that differ mostly leave little to do for insertion; where they do not, all digits are sorted. */
static Pairs radix_sort(Pairs pairs, Pairs spare, int64_t n)
{
    uint64_t differ = 0;
    for (int64_t i = 1; i < n; i++)
        differ |= pairs.keys[i] ^ pairs.keys[0];
    if (!differ)
        return pairs;
    int lowest = __builtin_ctzll(differ), highest = 63 - __builtin_clzll(differ);
    int top = highest + 1 - 3 * DIGIT_BITS > lowest ? highest + 1 - 3 * DIGIT_BITS : lowest;
    for (int begin = top;; begin = lowest) {
        for (int shift = begin; shift <= highest; shift += DIGIT_BITS) {
            sort_by_digit(pairs, spare, n, shift);
            Pairs sorted = spare;
            spare = pairs, pairs = sorted;
        }
        if (begin == lowest || insertion_sort(pairs, n))
            return pairs;
    }
}

/* Few distinct values are counted in a table of this many slots, at most half of them in use. */
enum { HASH_BITS = 13, SLOTS = 1 << HASH_BITS, FEW = SLOTS / 2 };

/* Counts in a hash table. Returns how many distinct values there are, or -1 if more than FEW. */
static int64_t count_few(const char *values, int64_t stride, const double *weights, int64_t n, Pairs found)
{
    uint64_t slot_key[SLOTS] = {0};
    double slot_count[SLOTS];
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = *(const double *)(values + i * stride), weight = weights ? weights[i] : 1.0;
        if (x != x || !(weight > 0))
            continue;
        uint64_t key = key_of(x);
        uint64_t slot = key * 0x9E3779B97F4A7C15ull >> (64 - HASH_BITS);
        while (slot_key[slot] != key && slot_key[slot])
            slot = (slot + 1) & (SLOTS - 1);
        if (!slot_key[slot]) {
            if (++distinct > FEW)
                return -1;
            slot_key[slot] = key;
            slot_count[slot] = 0;
        }
        slot_count[slot] += weight;
    }
    int64_t size = 0;
    for (int s = 0; s < SLOTS; s++)
        if (slot_key[s])
            found.keys[size] = slot_key[s], found.weights[size++] = slot_count[s];
    return size;
}

/* Adds up the weights of equal neighbours. `to` may be `sorted`. */
static int64_t merge_equal(Pairs sorted, int64_t n, Pairs to)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; distinct++) {
        uint64_t key = sorted.keys[i];
        double weight = 0;
        for (; i < n && sorted.keys[i] == key; i++)
            weight += sorted.weights[i];
        to.keys[distinct] = key, to.weights[distinct] = weight;
    }
    return distinct;
}

/* Writes the distinct values, ascending and as the bits of doubles, to `keys`, and the weight of each (the
   number of rows if weights is NULL) to `counts`. NaN and rows of weight zero do not count. The four arrays
   have n elements, the spare ones are scratch; without weights, min(n, FEW) are enough.
   Returns how many distinct values there are, or without weights -1 if there are more than FEW: the values are
   then best sorted without any. */
int64_t assay_count_values(const char *values, int64_t stride, const double *weights, int64_t n,
                           uint64_t *keys, double *counts, uint64_t *spare_keys, double *spare_counts)
{
    Pairs found = {keys, counts};
    int64_t size = count_few(values, stride, weights, n, found);
    if (size < 0 && !weights)
        return -1;
    if (size < 0) {
        size = 0;
        for (int64_t i = 0; i < n; i++) {
            double x = *(const double *)(values + i * stride);
            if (x != x || !(weights[i] > 0))
                continue;
            counts[size] = weights[i];
            keys[size++] = key_of(x);
        }
    }
    int64_t distinct = merge_equal(radix_sort(found, (Pairs){spare_keys, spare_counts}, size), size, found);
    for (int64_t i = 0; i < distinct; i++) {
        double x = value_of(keys[i]);
        memcpy(keys + i, &x, sizeof x);
    }
    return distinct;
}

/* Replaces ascending values, NaN last, by the distinct ones, and writes how many there are of each to `counts`.
   Returns how many distinct values there are. */
int64_t assay_count_sorted(double *values, int64_t n, double *counts)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i < n && values[i] == values[i]; i++) {
        if (i == 0 || values[i] != values[distinct - 1]) {
            values[distinct] = values[i];
            counts[distinct++] = 0;
        }
        counts[distinct - 1]++;
    }
    return distinct;
}

/* The codes of rows first .. first + count - 1, as columns `num_rows` codes apart. Sets has_missing[f] where column f
   has a missing value. */
static inline void encode(const Source *sources, int num_features, int64_t first, int64_t count, int64_t num_rows,
                          char *columns, int width, uint8_t *has_missing)
{
    int32_t codes[LANES];
    for (int f = 0; f < num_features; f++)
        for (int64_t row = first; row < first + count; row += LANES) {
            int lanes = first + count - row < LANES ? (int)(first + count - row) : LANES;
            has_missing[f] |= encode_lanes(sources + f, row, lanes, codes);
            store(columns + (f * num_rows + row) * width, 1, width, codes, lanes);
        }
}

void assay_encode(const Source *sources, int num_features, int64_t first, int64_t count, int64_t num_rows,
                  char *columns, int width, uint8_t *has_missing)
{
    if (width == 1) /* constant widths make the stores plain ones */
        encode(sources, num_features, first, count, num_rows, columns, 1, has_missing);
    else if (width == 2)
        encode(sources, num_features, first, count, num_rows, columns, 2, has_missing);
    else
        encode(sources, num_features, first, count, num_rows, columns, 4, has_missing);
}
