/* Some memory is kept between trees: to get fresh pages from the system for every tree of a fit takes longer than to
   use them. */
#include "arena.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, SLAB = 1 << 18, KEPT_ARENAS = 8, KEPT_BYTES = 1 << 25 };

typedef struct ArenaSlab {
    struct ArenaSlab *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char bytes[];
} Slab;

static _Atomic(Slab *) kept[KEPT_ARENAS]; /* each a list; taken and left without a lock, which a fork could hold */

void arena_begin(Arena *arena)
{
    arena->used = arena->spare = NULL;
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

void *arena_take(Arena *arena, size_t bytes)
{
    Slab *slab = arena->used;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!slab || slab->size - slab->used < bytes) {
        size_t size = bytes > SLAB / 4 ? bytes : SLAB;
        slab = spare_slab(arena, size);
        if (!slab)
            slab = aligned_alloc(ALIGNMENT, sizeof *slab + size);
        if (!slab)
            longjmp(arena->failed, 1);
        slab->used = 0;
        slab->size = size;
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
        free(slab);
        slab = next;
    }
}

void arena_end(Arena *arena)
{
    size_t size = 0;
    for (Slab *slab = arena->used; slab; slab = slab->next)
        size += slab->size;
    free_slabs(arena->spare);
    for (int i = 0; i < KEPT_ARENAS && arena->used && size <= KEPT_BYTES; i++) {
        Slab *none = NULL;
        if (atomic_compare_exchange_strong(&kept[i], &none, arena->used))
            arena->used = NULL;
    }
    free_slabs(arena->used);
}
