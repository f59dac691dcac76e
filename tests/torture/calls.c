/* Loaded before the C library: counts a process's writes, renames and syncs below a folder, and fails the one that is
   asked for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE, RENAME, SYNC, KINDS };

static char folder[PATH_MAX];
static long counts[KINDS];
static int failing = -1, error_number;
static long failing_at;

/* Counts calls from now on, of files below `below`; the one numbered `at` of that kind, from 0, fails. */
void arm(const char *below, int kind, long at, int error) {
    memset(counts, 0, sizeof counts);
    failing = kind;
    failing_at = at;
    error_number = error;
    snprintf(folder, sizeof folder, "%s", below);
}

long counted(int kind) { return counts[kind]; }

static int fails(int kind) {
    if (counts[kind]++ != failing_at || kind != failing)
        return 0;
    errno = error_number;
    return 1;
}

static int is_below(int descriptor) {
    char link[64], path[PATH_MAX];
    struct stat status;
    if (!*folder || fstat(descriptor, &status) || !S_ISREG(status.st_mode))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    return length > 0 && !strncmp(path, folder, strlen(folder));
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

ssize_t write(int descriptor, const void *data, size_t size) {
    return is_below(descriptor) && fails(WRITE) ? -1 : REAL(write, descriptor, data, size);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    return is_below(descriptor) && fails(WRITE) ? -1 : REAL(writev, descriptor, parts, count);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
    return is_below(descriptor) && fails(WRITE) ? -1 : REAL(pwrite, descriptor, data, size, at);
}

int rename(const char *from, const char *to) { return *folder && fails(RENAME) ? -1 : REAL(rename, from, to); }

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return *folder && fails(RENAME) ? -1 : REAL(renameat, from_folder, from, to_folder, to);
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    return *folder && fails(RENAME) ? -1 : REAL(renameat2, from_folder, from, to_folder, to, flags);
}

int fsync(int descriptor) { return is_below(descriptor) && fails(SYNC) ? -1 : REAL(fsync, descriptor); }

int fdatasync(int descriptor) { return is_below(descriptor) && fails(SYNC) ? -1 : REAL(fdatasync, descriptor); }
