/* Stands between a process and its C library, and decides what a disk does with the journal: see disk.rs.
 *
 * DISK_PLAN names a file with one word: "full" and "broken" fail writes and flushes, anything else lets them be. DISK_LOG names a file that
 * gets a byte for each flush that succeeded. Only the journal's own files are meddled with. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int is_the_journals(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/journal.sqlite", 15) == 0;
}

static int planned(const char *word) {
    const char *path = getenv("DISK_PLAN");
    FILE *file = path ? fopen(path, "r") : NULL;
    char plan[16] = "";
    if (!file) return 0;
    if (!fgets(plan, sizeof plan, file)) plan[0] = 0;
    fclose(file);
    return strncmp(plan, word, strlen(word)) == 0;
}

static int flushed(int fd, int (*flush)(int)) {
    if (!is_the_journals(fd)) return flush(fd);
    if (planned("broken")) {
        errno = EIO;
        return -1;
    }
    int answer = flush(fd);
    const char *path = getenv("DISK_LOG");
    int log = answer == 0 && path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (log >= 0) {
        ssize_t (*plain)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
        if (plain(log, ".", 1) != 1) abort();
        close(log);
    }
    return answer;
}

int fsync(int fd) {
    return flushed(fd, (int (*)(int))dlsym(RTLD_NEXT, "fsync"));
}

int fdatasync(int fd) {
    return flushed(fd, (int (*)(int))dlsym(RTLD_NEXT, "fdatasync"));
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t (*plain)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    if (is_the_journals(fd) && planned("full")) {
        errno = ENOSPC;
        return -1;
    }
    return plain(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    ssize_t (*plain)(int, const void *, size_t, off64_t) = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (is_the_journals(fd) && planned("full")) {
        errno = ENOSPC;
        return -1;
    }
    return plain(fd, bytes, count, at);
}
