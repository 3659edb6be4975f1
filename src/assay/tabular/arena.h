/* Memory that is given back all at once; running out of it jumps to `failed`. */
#ifndef ASSAY_ARENA_H
#define ASSAY_ARENA_H

#include <setjmp.h>
#include <stddef.h>

#pragma GCC visibility push(hidden)

typedef struct {
    struct ArenaSlab *used, *spare;
    jmp_buf failed;
} Arena;

void arena_begin(Arena *arena);
void *arena_take(Arena *arena, size_t bytes); /* undefined content */
void *arena_zeros(Arena *arena, size_t bytes);
void arena_end(Arena *arena);

#pragma GCC visibility pop

#endif
