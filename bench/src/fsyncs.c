// Counts how often a broker asks the disk to keep what it wrote. Preloaded into it (LD_PRELOAD).
// RIVULET_BENCH_FSYNCS is a folder: each process has a file there, with its id as the name and the
// count in its first eight bytes. strace counts the same, but stops the process each time.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_ulong none, *count = &none;

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("RIVULET_BENCH_FSYNCS");
    char path[4096];
    if (!folder || snprintf(path, sizeof path, "%s/%d", folder, (int)getpid()) >= (int)sizeof path)
        return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, sizeof *count) != 0)
        return;
    void *place = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (place != MAP_FAILED)
        count = place;
    close(file);
}

#define COUNTED(name, parameters, arguments)                                                      \
    int name parameters {                                                                         \
        static int(*next) parameters;                                                             \
        if (!next)                                                                                \
            next = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                    \
        atomic_fetch_add_explicit(count, 1, memory_order_relaxed);                                \
        return next arguments;                                                                    \
    }

COUNTED(fsync, (int file), (file))
COUNTED(fdatasync, (int file), (file))
COUNTED(msync, (void *start, size_t length, int flags), (start, length, flags))
