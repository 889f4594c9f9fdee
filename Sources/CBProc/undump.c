// The caller becomes the process of an image that it reads: the file of the image is executed, and
// the code in the image does the rest. Until the exec a failure leaves the caller as it was.
#define _GNU_SOURCE
#include "internal.h"
#include "readimage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

int bplib_become(int file, char *name) {
    // Its environment says where the daemon is.
    char socket[sizeof bplib_place.socket + 16] = "";
    const char *found = bplib_has_place() ? bplib_place.socket : getenv("BPROC_SOCKET");
    (void)snprintf(socket, sizeof socket, "BPROC_SOCKET=%s", found ? found : "");
    char *const argv[] = {name, NULL};
    // And that the CPU has been looked at.
    char *const envp[] = {socket, (char *)"BPROC_CPU=suits", NULL};
    // The code in the image reads its file by this number, and closes it.
    (void)fcntl(file, F_SETFD, 0);
    (void)execveat(file, "", argv, envp, AT_EMPTY_PATH);
    int error = errno;
    close(file);
    return bplib_fail(error, "the image cannot be executed: %s", bproc_strerror(error));
}

int bproc_undump(int fd) {
    int mode = fcntl(fd, F_GETFL);
    if (mode < 0 || (mode & O_ACCMODE) == O_WRONLY) {
        return bplib_fail(EBADF, "descriptor %d is not open for reading", fd);
    }
    // The code in the image refuses these rights too, but there is no way back from there.
    if (getauxval(AT_SECURE) || geteuid() != getuid() || getegid() != getgid()) {
        return bplib_fail(EPERM, "a process with borrowed rights (set-id) cannot become an image");
    }
    char name[BPLIB_IMAGE_NAME];
    int file = bplib_read_image(fd, name, sizeof name);
    if (file < 0) return -1;
    return bplib_become(file, name);
}
