// Images in a file, a pipe or a socket: the caller's own, or that of a program.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// One piece; what the kernel cannot send by itself (a file open for appending) goes through memory.
static ssize_t write_piece(int descriptor, int image, off_t *offset, size_t byte_count) {
    ssize_t count = sendfile(descriptor, image, offset, byte_count);
    if (count >= 0 || (errno != EINVAL && errno != ENOSYS)) return count;
    char piece[16384];
    count = pread(image, piece, byte_count < sizeof piece ? byte_count : sizeof piece, *offset);
    if (count <= 0) return count;
    count = write(descriptor, piece, (size_t)count);
    if (count > 0) *offset += count;
    return count;
}

static long write_image(int descriptor, int image) {
    struct stat status;
    if (fstat(image, &status) < 0) return bplib_fail(errno, "%s", bproc_strerror(errno));
    off_t offset = 0;
    while (offset < status.st_size) {
        size_t rest = (size_t)(status.st_size - offset);
        ssize_t count = write_piece(descriptor, image, &offset, rest);
        if (count > 0 || (count < 0 && errno == EINTR)) continue;
        if (count < 0 && errno == EAGAIN) {
            struct pollfd entry = {.fd = descriptor, .events = POLLOUT};
            (void)poll(&entry, 1, -1);
            continue;
        }
        int error = count < 0 ? errno : EIO;
        return bplib_fail(error, "the image was cut after %lld of %lld bytes: %s",
                          (long long)offset, (long long)status.st_size, bproc_strerror(error));
    }
    return (long)status.st_size;
}

static int check_writable(int fd) {
    int mode = fcntl(fd, F_GETFL);
    if (mode >= 0 && (mode & O_ACCMODE) != O_RDONLY) return 0;
    return bplib_fail(EBADF, "descriptor %d is not open for writing", fd);
}

// Whether the file takes bytes at any offset: the image then needs no place on the way.
static bool can_be_addressed(int fd, off_t *offset) {
    struct stat status;
    *offset = lseek(fd, 0, SEEK_CUR);
    return *offset >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
           !(fcntl(fd, F_GETFL) & O_APPEND);
}

// A file into which the caller's own image goes as it is taken. The length, -1 or BPLIB_RESTORED.
static long dump_into(int fd, off_t offset) {
    sigset_t mask;
    struct bplib_helper helper = {.program = -1, .directory = -1};
    if (access("/proc/self", F_OK) < 0 && bplib_request_helper(&helper) < 0) return -1;
    const struct bplib_stretch nothing = {0, 0};
    int64_t byte_count =
        bplib_capture_caller(helper.directory, nothing, fd, (uint64_t)offset, &mask);
    if (byte_count == BPLIB_RESTORED) return BPLIB_RESTORED;
    bplib_return_helper(&helper);
    if (byte_count < 0) return -1;
    bplib_set_mask(&mask);
    if (lseek(fd, offset + byte_count, SEEK_SET) >= 0) return byte_count;
    return bplib_fail(errno, "descriptor %d: %s", fd, bproc_strerror(errno));
}

// A stream gets its bytes one after the other, and may take its time: signals come through then.
static long dump_through(int fd) {
    sigset_t mask;
    struct bplib_helper helper = {.program = -1, .directory = -1};
    if (access("/proc/self", F_OK) < 0 && bplib_request_helper(&helper) < 0) return -1;
    // The file is to be run by hand: no network is worth packing it for.
    helper.network.node_count = 0;
    int image = bplib_image_of_caller(&helper, (struct bplib_stretch){0, 0}, &mask);
    if (image == BPLIB_RESTORED) return BPLIB_RESTORED;
    bplib_return_helper(&helper);
    if (image < 0) return -1;
    bplib_set_mask(&mask);
    long byte_count = write_image(fd, image);
    int error = errno;
    close(image);
    errno = error;
    return byte_count;
}

long bproc_dump(int fd, int flags) {
    int before = errno;
    off_t offset;
    if (bplib_check_flags(flags) < 0 || check_writable(fd) < 0) return -1;
    if (bplib_check_caller() < 0) return -1;
    long byte_count = can_be_addressed(fd, &offset) ? dump_into(fd, offset) : dump_through(fd);
    if (byte_count == -1) return -1;
    errno = before;
    return byte_count == BPLIB_RESTORED ? 0 : byte_count;
}

int bproc_execdump(int fd, int flags, const char *cmd, char *const argv[], char *const envp[]) {
    if (bplib_check_flags(flags) < 0 || check_writable(fd) < 0) return -1;
    const int how = BPROC_CAPTURE_AT_ENTRY | BPROC_CAPTURE_UNPACKED;
    int image = bproc_capture(cmd, argv, envp, how, NULL);
    if (image < 0) return -1;
    // The caller has become the program, whose image is all that is left of it.
    if (write_image(fd, image) >= 0) _exit(0);
    int error = errno;
    close(image);
    errno = error;
    return -1;
}
