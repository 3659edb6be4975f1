#include "arena.h"

#include <stdlib.h>

typedef struct ArenaBlock {
    _Alignas(16) struct ArenaBlock *next;
} Block;

static void *keep(Arena *arena, Block *block)
{
    if (!block)
        longjmp(arena->failed, 1);
    block->next = arena->blocks;
    arena->blocks = block;
    return block + 1;
}

void *arena_take(Arena *arena, size_t bytes)
{
    return keep(arena, malloc(sizeof(Block) + bytes));
}

void *arena_zeros(Arena *arena, size_t bytes)
{
    return keep(arena, calloc(1, sizeof(Block) + bytes));
}

void arena_free(Arena *arena)
{
    while (arena->blocks) {
        Block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
