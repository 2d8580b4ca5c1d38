// What a machine of one's own never has: a card whose fsync is slow, and a clock that is wrong.
// Preloaded into the processes of a node (LD_PRELOAD), for its own architecture or for aarch64.
//
//   SHIM_FSYNC_MS=20        each fsync takes that long, one after the other, as on a card
//   SHIM_CLOCK_SECONDS=86400  the clock is ahead by that much; intervals are not
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static void wait_for_the_card(void) {
    static pthread_mutex_t card = PTHREAD_MUTEX_INITIALIZER;
    long ms = setting("SHIM_FSYNC_MS");
    if (ms > 0) {
        struct timespec time = {ms / 1000, ms % 1000 * 1000000};
        pthread_mutex_lock(&card);
        nanosleep(&time, NULL);
        pthread_mutex_unlock(&card);
    }
}

int fsync(int file) {
    wait_for_the_card();
    return NEXT(fsync)(file);
}

int fdatasync(int file) {
    wait_for_the_card();
    return NEXT(fdatasync)(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = NEXT(clock_gettime)(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        time->tv_sec += setting("SHIM_CLOCK_SECONDS");
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    int result = NEXT(gettimeofday)(time, zone);
    if (result == 0) {
        time->tv_sec += setting("SHIM_CLOCK_SECONDS");
    }
    return result;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) {
        *place = now.tv_sec;
    }
    return now.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, time) == 0 ? base : 0;
}

// A deadline that was computed from the clock above must be told to the kernel in its own time. Those
// of the monotonic clock are small numbers.
static struct timespec own(const struct timespec *deadline) {
    struct timespec now, own = *deadline;
    NEXT(clock_gettime)(CLOCK_REALTIME, &now);
    if (own.tv_sec > now.tv_sec / 2) {
        own.tv_sec -= setting("SHIM_CLOCK_SECONDS");
    }
    return own;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline) {
    struct timespec time = own(deadline);
    return NEXT(pthread_cond_timedwait)(condition, mutex, &time);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict deadline) {
    struct timespec time = own(deadline);
    return NEXT(cnd_timedwait)(condition, mutex, &time);
}
