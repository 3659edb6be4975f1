/* Some memory is kept between trees: to get fresh pages from the system for every tree of a fit takes longer than to
   use them. */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, madvise */
#include "arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 64, SLAB = 1 << 18, KEPT_ARENAS = 8, KEPT_BYTES = 1 << 25 };

typedef struct ArenaSlab {
    struct ArenaSlab *next;
    size_t used, size;
    bool is_mapped;
    _Alignas(ALIGNMENT) char bytes[];
} Slab;

static _Atomic(Slab *) kept[KEPT_ARENAS]; /* each a list; taken and left without a lock, which a fork could hold */

void arena_begin(Arena *arena, bool keeps)
{
    arena->used = arena->spare = NULL;
    arena->keeps = keeps;
    for (int i = 0; i < KEPT_ARENAS && !arena->spare; i++)
        arena->spare = atomic_exchange(&kept[i], NULL);
}

static Slab *spare_slab(Arena *arena, size_t size)
{
    for (Slab **place = &arena->spare; *place; place = &(*place)->next)
        if ((*place)->size == size) {
            Slab *slab = *place;
            *place = slab->next;
            return slab;
        }
    return NULL;
}

/* What malloc gets back it may keep, so memory that is not to be kept comes from the system itself. */
static Slab *new_slab(size_t size, bool is_mapped)
{
    size_t bytes = sizeof(Slab) + size;
    void *memory = is_mapped ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                             : aligned_alloc(ALIGNMENT, bytes);
    if (!memory || memory == MAP_FAILED)
        return NULL;
    Slab *slab = memory;
    slab->size = size;
    slab->is_mapped = is_mapped;
    return slab;
}

/* The least that is not smaller: arrays of nearly one size find what others have left, and what lies past their end
   takes no memory before it is touched. */
static size_t power_of_two(size_t bytes)
{
    size_t power = ALIGNMENT;
    while (power < bytes)
        power *= 2;
    return power;
}

void *arena_take(Arena *arena, size_t bytes)
{
    Slab *slab = arena->used;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!slab || slab->size - slab->used < bytes) {
        size_t size = bytes > SLAB / 4 ? power_of_two(bytes) : SLAB;
        slab = spare_slab(arena, size);
        if (!slab)
            slab = new_slab(size, !arena->keeps);
        if (!slab)
            longjmp(arena->failed, 1);
        slab->used = 0;
        /* A slab with room to spare stays in front. */
        Slab **place = arena->used && size != SLAB ? &arena->used->next : &arena->used;
        slab->next = *place;
        *place = slab;
    }
    slab->used += bytes;
    return slab->bytes + slab->used - bytes;
}

void *arena_zeros(Arena *arena, size_t bytes)
{
    return memset(arena_take(arena, bytes), 0, bytes);
}

void *arena_enlarged(Arena *arena, const void *array, int64_t length, int64_t capacity, size_t size)
{
    void *larger = arena_take(arena, (size_t)capacity * size);
    if (length)
        memcpy(larger, array, (size_t)length * size);
    return larger;
}

static void free_slabs(Slab *slab)
{
    while (slab) {
        Slab *next = slab->next;
        if (slab->is_mapped)
            munmap(slab, sizeof *slab + slab->size);
        else
            free(slab);
        slab = next;
    }
}

void arena_discard(void *memory, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)memory, end = begin + bytes;
    begin = (begin + page - 1) / page * page;
    end = end / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

void arena_end(Arena *arena)
{
    size_t size = 0;
    for (Slab *slab = arena->used; slab; slab = slab->next)
        size += slab->size;
    free_slabs(arena->spare);
    for (int i = 0; i < KEPT_ARENAS && arena->used && arena->keeps && size <= KEPT_BYTES; i++) {
        Slab *none = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &none, arena->used))
            arena->used = NULL;
    }
    free_slabs(arena->used);
}
