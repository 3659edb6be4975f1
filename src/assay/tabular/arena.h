/* Memory that is given back all at once; running out of it jumps to `failed`. */
#ifndef ASSAY_ARENA_H
#define ASSAY_ARENA_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(hidden)

typedef struct {
    struct ArenaSlab *used, *spare;
    bool keeps; /* its memory, for the next one */
    jmp_buf failed;
} Arena;

void arena_begin(Arena *arena, bool keeps);
void *arena_take(Arena *arena, size_t bytes); /* undefined content */
void *arena_zeros(Arena *arena, size_t bytes);
/* A larger array with the same content. */
void *arena_enlarged(Arena *arena, const void *array, int64_t length, int64_t capacity, size_t size);
/* Gives the pages of memory that is not looked at again back to the system. */
void arena_discard(void *memory, size_t bytes);
void arena_end(Arena *arena);

#pragma GCC visibility pop

#endif
