#define _GNU_SOURCE
#include "include/processes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Reads a small file, as far as it fits, and ends it with a NUL. Bytes, or a negated errno. */
static long read_file(int directory, const char *path, char *bytes, size_t capacity) {
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    size_t count = 0;
    while (count < capacity - 1) {
        ssize_t got = read(fd, bytes + count, capacity - 1 - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int error = errno;
            close(fd);
            return -error;
        }
        if (got == 0) break;
        count += (size_t)got;
    }
    close(fd);
    bytes[count] = 0;
    return (long)count;
}

static uint64_t microseconds(uint64_t ticks) {
    static uint64_t frequency;
    if (!frequency) frequency = (uint64_t)sysconf(_SC_CLK_TCK);
    return ticks * 1000000u / frequency;
}

/* The name is the only field that may hold blanks and brackets: it ends at the last one. */
static int parse(const char *text, struct bp_process_status *status, char *name,
                 size_t name_bytes) {
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (!open || !close || close < open) return -1;
    size_t length = (size_t)(close - open - 1);
    if (length >= name_bytes) length = name_bytes - 1;
    memcpy(name, open + 1, length);
    name[length] = 0;
    char state;
    int parent, session;
    unsigned long user, system;
    unsigned long long start;
    long resident;
    if (sscanf(close + 1,
               " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu "
               "%*u %ld",
               &state, &parent, &session, &user, &system, &start, &resident) != 7) {
        return -1;
    }
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    uint64_t uptime = (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
    uint64_t began = microseconds(start);
    status->state = (unsigned char)state;
    status->parent = parent;
    status->session = session;
    status->user_microseconds = microseconds(user);
    status->system_microseconds = microseconds(system);
    status->elapsed_microseconds = uptime > began ? uptime - began : 0;
    status->resident_bytes =
        resident > 0 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
    return 0;
}

/* What one line of procfs says of a process. 0 or a negated errno. */
static long read_stat(int processes, int32_t pid, struct bp_process_status *status, char *name,
                      size_t name_bytes) {
    char path[48], text[1024];
    (void)snprintf(path, sizeof path, "%d/stat", pid);
    long count = read_file(processes, path, text, sizeof text);
    if (count < 0) return count;
    return parse(text, status, name, name_bytes) < 0 ? -EPROTO : 0;
}

long bp_process_status(int processes, int32_t pid, struct bp_process_status *status) {
    char path[48], name[64];
    *status = (struct bp_process_status){.pid = pid};
    long count = read_stat(processes, pid, status, name, sizeof name);
    if (count < 0) return count;
    struct stat directory;
    (void)snprintf(path, sizeof path, "%d", pid);
    if (fstatat(processes, path, &directory, 0) < 0) return -errno;
    status->user = directory.st_uid;
    (void)snprintf(path, sizeof path, "%d/cmdline", pid);
    count = read_file(processes, path, status->command, sizeof status->command);
    while (count > 0 && status->command[count - 1] == 0) count--;
    for (long i = 0; i < count; i++) {
        if (status->command[i] == 0) status->command[i] = ' ';
    }
    if (count <= 0) (void)snprintf(status->command, sizeof status->command, "[%s]", name);
    return 0;
}

static uint64_t signal_set(const char *text, const char *name) {
    const char *line = strstr(text, name);
    return line ? strtoull(line + strlen(name), NULL, 16) : 0;
}

long bp_process_takes_default(int processes, int32_t pid, int32_t signal) {
    char path[48], text[4096];
    (void)snprintf(path, sizeof path, "%d/status", pid);
    long count = read_file(processes, path, text, sizeof text);
    if (count < 0) return count;
    uint64_t blocked = signal_set(text, "\nSigBlk:");
    // All but SIGKILL and SIGSTOP, those of the C library too: it is still being restored, and will
    // take what comes now when it runs.
    uint64_t never = UINT64_C(1) << 8 | UINT64_C(1) << 18;
    if ((blocked | never) == UINT64_MAX) return 1;
    uint64_t other = blocked | signal_set(text, "\nSigIgn:") | signal_set(text, "\nSigCgt:");
    return !(other >> (signal - 1) & 1);
}

long bp_process_tracer(int processes, int32_t pid) {
    static const char field[] = "\nTracerPid:";
    char path[48], text[4096];
    (void)snprintf(path, sizeof path, "%d/status", pid);
    long count = read_file(processes, path, text, sizeof text);
    if (count < 0) return count;
    const char *at = strstr(text, field);
    return at ? strtol(at + sizeof field - 1, NULL, 10) : -ESRCH;
}

long bp_process_session(int processes, int32_t pid) {
    char name[64];
    struct bp_process_status status;
    long result = read_stat(processes, pid, &status, name, sizeof name);
    return result < 0 ? result : (long)status.session;
}

long bp_process_has_ended(int processes, int32_t pid) {
    char name[64];
    struct bp_process_status status;
    return read_stat(processes, pid, &status, name, sizeof name) < 0 || status.state == 'Z' ||
           status.state == 'X';
}

long bp_process_has_file(int processes, int32_t pid, int32_t number, int descriptor) {
    char path[48];
    struct stat theirs, own;
    (void)snprintf(path, sizeof path, "%d/fd/%d", pid, number);
    if (fstatat(processes, path, &theirs, 0) < 0 || fstat(descriptor, &own) < 0) return -errno;
    return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

static long take_numbers(const char *text, int32_t *numbers, long capacity) {
    long count = 0;
    for (char *end; count < capacity; text = end) {
        long number = strtol(text, &end, 10);
        if (end == text) break;
        if (number > 0 && number <= INT32_MAX) numbers[count++] = (int32_t)number;
    }
    return count;
}

long bp_process_children(int processes, int32_t pid, int32_t *children, long capacity) {
    char path[64];
    (void)snprintf(path, sizeof path, "%d/task", pid);
    int fd = openat(processes, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    DIR *threads = fdopendir(fd);
    if (!threads) {
        close(fd);
        return -ENOMEM;
    }
    static char text[64 << 10];
    long count = 0;
    for (struct dirent *entry; (entry = readdir(threads)) && count < capacity;) {
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(path, sizeof path, "%d/task/%.20s/children", pid, entry->d_name);
        long length = read_file(processes, path, text, sizeof text);
        if (length == -ENOENT && count == 0) {
            closedir(threads);
            return -ENOENT;
        }
        if (length > 0) count += take_numbers(text, children + count, capacity - count);
    }
    closedir(threads);
    return count;
}
