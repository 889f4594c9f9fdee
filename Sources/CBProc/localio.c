// The I/O set-up of a rank that is a plain fork here: made by the caller before there is a child,
// so that what cannot be opened never had one.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int open_file(const struct bproc_io_t *io) {
    int descriptor = open(io->d.file.name, io->d.file.flags | O_CLOEXEC, io->d.file.mode);
    if (descriptor >= 0 && io->d.file.offset != 0 &&
        lseek(descriptor, io->d.file.offset, SEEK_SET) < 0) {
        int error = errno;
        close(descriptor);
        errno = error;
        return -1;
    }
    return descriptor;
}

// 0.0.0.0 is the machine that the process comes from, which is this one: the kernel's own meaning.
static int open_socket(const struct bproc_io_t *io) {
    int descriptor = socket(io->d.addr.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, &io->d.addr, sizeof io->d.addr) == 0) return descriptor;
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

// Out of the way of every number that is to be filled.
static int move_above(int descriptor, int lowest) {
    if (descriptor < 0) return -1;
    int moved = fcntl(descriptor, F_DUPFD_CLOEXEC, lowest);
    int error = errno;
    close(descriptor);
    errno = error;
    return moved;
}

int bplib_open_io(const struct bproc_io_t *io, int count, int *descriptors) {
    int lowest = 3;
    for (int i = 0; i < count; i++) {
        if (io[i].fd >= lowest) lowest = io[i].fd + 1;
    }
    for (int i = 0; i < count; i++) {
        int descriptor = io[i].type == BPROC_IO_FILE ? open_file(&io[i]) : open_socket(&io[i]);
        descriptors[i] = move_above(descriptor, lowest);
        if (descriptors[i] >= 0) continue;
        int error = errno;
        bplib_close_io(descriptors, i);
        return bplib_fail(error, "I/O entry %d: %s", i, bproc_strerror(error));
    }
    return 0;
}

void bplib_close_io(const int *descriptors, int count) {
    for (int i = 0; i < count; i++) close(descriptors[i]);
}

int bplib_place_io(const struct bproc_io_t *io, int count, const int *descriptors) {
    for (int i = 0; i < count; i++) {
        if (dup2(descriptors[i], io[i].fd) < 0) return -1;
        close(descriptors[i]);
        if (io[i].type != BPROC_IO_SOCKET || !(io[i].flags & BPROC_IO_SEND_INFO)) continue;
        int information[2] = {getpid(), io[i].fd};
        if (write(io[i].fd, information, sizeof information) != sizeof information) return -1;
    }
    return 0;
}
