#include "partition.h"

#include "few.h"
#include "pool.h"

#include <string.h>
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAS_VECTOR_PART 1
#endif

enum { CHUNK_ROWS = 8192 };

typedef struct {
    const Problem *p;
    Partition *space;
    const Split *split;
    int32_t *rows;
    int64_t count;
} Task;

void allocate_partition(const Problem *p, Arena *arena, Partition *space, int32_t workers)
{
    size_t rows = (size_t)p->num_kept, codes = 1;
    for (int32_t f = 0; f < p->num_features; f++)
        if (p->is_category[f] && (size_t)p->num_bins[f] + 1 > codes)
            codes = (size_t)p->num_bins[f] + 1;
    space->right = arena_take(arena, rows * sizeof *space->right);
    space->left = workers > 1 ? arena_take(arena, rows * sizeof *space->left) : NULL;
    space->chunk_left = arena_take(arena, (rows / CHUNK_ROWS + 1) * sizeof *space->chunk_left);
    space->goes_left = arena_take(arena, codes);
}

/* Of a category split. */
static void fill_table(const Problem *p, const Split *split, uint8_t *goes_left)
{
    int32_t bins = p->num_bins[split->feature];
    memset(goes_left, 0, (size_t)bins);
    for (int32_t i = 0; i < split->num_bins_left; i++)
        goes_left[split->bins_left[i]] = 1;
    goes_left[bins] = split->missing_left;
}

/* Every row is written to both sides, and one side moves on; `left` may be `rows`. */
INLINE int64_t part(const Task *t, const int32_t *rows, int64_t count, int32_t *left, int32_t *right, int32_t width,
                    bool by_table)
{
    const Split *split = t->split;
    const char *column = (const char *)t->p->columns + (int64_t)split->feature * t->p->num_rows * width;
    const uint8_t *goes_left = t->space->goes_left;
    uint32_t cut = (uint32_t)split->cut, missing = (uint32_t)t->p->num_bins[split->feature];
    bool missing_left = split->missing_left;
    int64_t num_left = 0, num_right = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t row = rows[i];
        uint32_t code = code_at(column, row, width);
        bool is_left = by_table ? goes_left[code] : (code <= cut) | (missing_left & (code == missing));
        left[num_left] = row;
        right[num_right] = row;
        num_left += is_left;
        num_right += !is_left;
    }
    return num_left;
}

#ifdef HAS_VECTOR_PART
/* The same for sixteen rows at once whose codes are bytes; `done` is how many rows were parted. */
__attribute__((target("avx512f"))) static int64_t part_vectors(const Task *t, const int32_t *rows, int64_t count,
                                                               int32_t *left, int32_t *right, int64_t *done)
{
    const Split *split = t->split;
    uintptr_t column = (uintptr_t)t->p->columns + (uintptr_t)split->feature * (uintptr_t)t->p->num_rows;
    const int *aligned = (const int *)(column & ~(uintptr_t)3); /* whole words, lest one reaches past the end */
    __m512i shift = _mm512_set1_epi32((int)(column & 3)), three = _mm512_set1_epi32(3), byte = _mm512_set1_epi32(255);
    uint32_t bits[16] = {0}; /* of the codes that go left */
    for (int32_t i = 0; i < split->num_bins_left; i++)
        bits[split->bins_left[i] / 32] |= 1u << split->bins_left[i] % 32;
    for (int32_t i = 0; i < 8; i++) {
        int32_t below = split->cut + 1 - 32 * i; /* codes of this word up to the cut, which is -1 for a category */
        bits[i] |= below >= 32 ? UINT32_MAX : below > 0 ? (1u << below) - 1 : 0;
    }
    int32_t missing = t->p->num_bins[split->feature];
    bits[missing / 32] |= (uint32_t)split->missing_left << missing % 32;
    __m512i table = _mm512_loadu_si512(bits), one = _mm512_set1_epi32(1), low = _mm512_set1_epi32(31);
    int64_t i = 0, num_left = 0, num_right = 0;
    for (; i + 16 <= count; i += 16) {
        __m512i row = _mm512_loadu_si512(rows + i), code;
        if (rows[i + 15] - rows[i] == 15) { /* rows ascend, so these are neighbours, as all are in the root */
            code = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(column + (uintptr_t)rows[i])));
        } else {
            __m512i place = _mm512_add_epi32(row, shift);
            __m512i word = _mm512_i32gather_epi32(_mm512_srli_epi32(place, 2), aligned, 4);
            __m512i in_word = _mm512_slli_epi32(_mm512_and_si512(place, three), 3);
            code = _mm512_and_si512(_mm512_srlv_epi32(word, in_word), byte);
        }
        __m512i entry = _mm512_permutexvar_epi32(_mm512_srli_epi32(code, 5), table);
        __mmask16 is_left = _mm512_test_epi32_mask(_mm512_srlv_epi32(entry, _mm512_and_si512(code, low)), one);
        int num = __builtin_popcount(is_left);
        _mm512_storeu_si512(left + num_left, _mm512_maskz_compress_epi32(is_left, row));
        _mm512_storeu_si512(right + num_right, _mm512_maskz_compress_epi32((__mmask16)~is_left, row));
        num_left += num;
        num_right += 16 - num;
    }
    *done = i;
    return num_left;
}
#endif

static int64_t part_by_type(const Task *t, const int32_t *rows, int64_t count, int32_t *left, int32_t *right)
{
    int64_t done = 0, num_left = 0;
#ifdef HAS_VECTOR_PART
    if (t->p->width == 1 && count > FEW_ROWS && __builtin_cpu_supports("avx512f")) /* few need not ascend */
        num_left = part_vectors(t, rows, count, left, right, &done);
#endif
    rows += done, left += num_left, right += done - num_left, count -= done;
    bool by_table = t->split->cut < 0;
    return num_left + (t->p->width == 1   ? by_table ? part(t, rows, count, left, right, 1, true)
                                                     : part(t, rows, count, left, right, 1, false)
                       : t->p->width == 2 ? by_table ? part(t, rows, count, left, right, 2, true)
                                                     : part(t, rows, count, left, right, 2, false)
                       : by_table         ? part(t, rows, count, left, right, 4, true)
                                          : part(t, rows, count, left, right, 4, false));
}

static int64_t chunk_size(const Task *t, int32_t chunk)
{
    int64_t rest = t->count - (int64_t)chunk * CHUNK_ROWS;
    return rest < CHUNK_ROWS ? rest : CHUNK_ROWS;
}

static void part_chunk(void *task, int32_t chunk, int32_t worker)
{
    const Task *t = task;
    int64_t begin = (int64_t)chunk * CHUNK_ROWS;
    (void)worker;
    t->space->chunk_left[chunk] = part_by_type(t, t->rows + begin, chunk_size(t, chunk), t->space->left + begin,
                                               t->space->right + begin);
}

static void copy_chunk(void *task, int32_t chunk, int32_t worker)
{
    const Task *t = task;
    int64_t begin = (int64_t)chunk * CHUNK_ROWS;
    int64_t left_before = chunk ? t->space->chunk_left[chunk - 1] : 0; /* by now a running sum */
    int64_t left = t->space->chunk_left[chunk] - left_before;
    int64_t all_left = t->space->chunk_left[(t->count - 1) / CHUNK_ROWS];
    (void)worker;
    memcpy(t->rows + left_before, t->space->left + begin, (size_t)left * sizeof *t->rows);
    memcpy(t->rows + all_left + begin - left_before, t->space->right + begin,
           (size_t)(chunk_size(t, chunk) - left) * sizeof *t->rows);
}

int64_t partition_rows(const Problem *p, Partition *space, const Split *split, int32_t *rows, int64_t count,
                       int32_t workers)
{
    Task task = {p, space, split, rows, count};
    if (split->cut < 0)
        fill_table(p, split, space->goes_left);
    if (workers < 2 || count < 2 * CHUNK_ROWS) {
        int64_t left = part_by_type(&task, rows, count, rows, space->right);
        memcpy(rows + left, space->right, (size_t)(count - left) * sizeof *rows);
        return left;
    }
    int32_t chunks = (int32_t)((count - 1) / CHUNK_ROWS) + 1;
    pool_run(workers, chunks, part_chunk, &task);
    for (int32_t chunk = 1; chunk < chunks; chunk++)
        space->chunk_left[chunk] += space->chunk_left[chunk - 1];
    pool_run(workers, chunks, copy_chunk, &task);
    return space->chunk_left[chunks - 1];
}
