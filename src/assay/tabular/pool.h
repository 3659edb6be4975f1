/* A pool of threads for short parallel loops. */
#ifndef ASSAY_POOL_H
#define ASSAY_POOL_H

#include <stdint.h>

#pragma GCC visibility push(hidden)

enum { MAX_WORKERS = 63 };

/* One chunk of a loop; worker 0 is the caller, and no two chunks run on the same worker at once. */
typedef void (*Chunk)(void *task, int32_t chunk, int32_t worker);

/* Reserves the pool for loops of at most `threads` threads; returns how many workers they have, 1 if the pool is
   taken. */
int32_t pool_acquire(int32_t threads);
void pool_release(int32_t workers);

/* Runs all chunks, 0 to count - 1; `workers` is what pool_acquire returned. The caller takes chunks as well and
   waits for nobody but the workers that took one. */
void pool_run(int32_t workers, int32_t count, Chunk chunk, void *task);

#pragma GCC visibility pop

#endif
