#define _GNU_SOURCE
#include "include/files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

const char *bp_strerror(int error_number) { return strerrordesc_np(error_number); }

long bp_close(int fd) { return close(fd) < 0 ? -errno : 0; }

long bp_dup_cloexec(int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return copy < 0 ? -errno : copy;
}
