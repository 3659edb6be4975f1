/* The threads are started once per process and sleep between loops. After fork() the child starts its own. */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

/* A ticket is, in one word, the loop's generation, its number of workers, its number of chunks and the next chunk:
   whoever swaps it for its successor owns that chunk, and the loop cannot end before that chunk is done. */
enum { CHUNK_BITS = 16, WORKER_BITS = 6 };
enum { MAX_CHUNKS = (1 << CHUNK_BITS) - 1, WORKER_MASK = (1 << WORKER_BITS) - 1 };

static struct {
    atomic_bool taken;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    uint64_t generation; /* guarded by the mutex */
    int32_t started;
    _Atomic uint64_t ticket;
    atomic_int done;
    Chunk chunk;
    void *task;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static void take_chunks(int32_t worker)
{
    uint64_t ticket = atomic_load(&pool.ticket);
    for (;;) {
        int32_t next = ticket & MAX_CHUNKS, count = ticket >> CHUNK_BITS & MAX_CHUNKS;
        int32_t workers = ticket >> 2 * CHUNK_BITS & WORKER_MASK;
        if (next >= count || worker >= workers)
            return;
        if (atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket + 1)) {
            pool.chunk(pool.task, next, worker);
            atomic_fetch_add(&pool.done, 1);
            ticket = atomic_load(&pool.ticket);
        }
    }
}

static void *work(void *argument)
{
    int32_t worker = (int32_t)(intptr_t)argument;
    uint64_t seen = 0;
    pthread_mutex_lock(&pool.mutex);
    for (;;) {
        while (pool.generation == seen)
            pthread_cond_wait(&pool.wake, &pool.mutex);
        seen = pool.generation;
        pthread_mutex_unlock(&pool.mutex);
        take_chunks(worker);
        pthread_mutex_lock(&pool.mutex);
    }
    return NULL;
}

static void forget_threads(void)
{
    pthread_mutex_init(&pool.mutex, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pool.started = 0;
    atomic_store(&pool.ticket, 0);
    atomic_store(&pool.taken, false);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_threads);
}

int32_t pool_acquire(int32_t threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    if (threads < 2 || atomic_exchange(&pool.taken, true))
        return 1;
    if (threads > MAX_WORKERS)
        threads = MAX_WORKERS;
    while (pool.started + 1 < threads) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(pool.started + 1)))
            break;
        pthread_detach(thread);
        pool.started++;
    }
    if (pool.started == 0) {
        atomic_store(&pool.taken, false);
        return 1;
    }
    return threads < pool.started + 1 ? threads : pool.started + 1;
}

void pool_release(int32_t workers)
{
    if (workers > 1)
        atomic_store(&pool.taken, false);
}

void pool_run(int32_t workers, int32_t count, Chunk chunk, void *task)
{
    if (workers < 2 || count < 2) {
        for (int32_t i = 0; i < count; i++)
            chunk(task, i, 0);
        return;
    }
    pthread_mutex_lock(&pool.mutex);
    pool.generation++;
    pool.chunk = chunk;
    pool.task = task;
    atomic_store(&pool.done, 0);
    uint64_t header = pool.generation << WORKER_BITS | (uint64_t)workers;
    atomic_store(&pool.ticket, (header << CHUNK_BITS | (uint64_t)count) << CHUNK_BITS);
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.mutex);
    take_chunks(0);
    while (atomic_load(&pool.done) < count)
        sched_yield(); /* the rest of at most one chunk per worker */
}
