#define _GNU_SOURCE
#include "include/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static long result(long value) { return value < 0 ? -errno : value; }

/* fsopen and its relatives, Linux 5.2; the C library of Debian 12 declares them in sys/mount.h. */
long bp_private_tmpfs(int huge_pages, uint64_t byte_limit) {
    char size[32];
    int context = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (context < 0) return -errno;
    snprintf(size, sizeof size, "%llu", (unsigned long long)byte_limit);
    if (byte_limit > 0) fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0);
    fsconfig(context, FSCONFIG_SET_STRING, "mode", "0700", 0);
    /* Kernels without huge pages in tmpfs refuse this one word; the rest still holds. */
    if (huge_pages) fsconfig(context, FSCONFIG_SET_STRING, "huge", "always", 0);
    long mount = -1;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
        mount = fsmount(context, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    int error = errno;
    close(context);
    return mount < 0 ? -error : mount;
}

long bp_create_at(int directory, const char *name, unsigned mode) {
    return result(openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
}

long bp_unlink_at(int directory, const char *name) { return result(unlinkat(directory, name, 0)); }

long bp_memfd(const char *name, int allow_sealing) {
    return result(memfd_create(name, MFD_CLOEXEC | (allow_sealing ? MFD_ALLOW_SEALING : 0)));
}

long bp_seal(int fd) {
    return result(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
}

long bp_seals(int fd) { return result(fcntl(fd, F_GET_SEALS)); }

long bp_set_size(int fd, uint64_t byte_count) { return result(ftruncate(fd, (off_t)byte_count)); }

long bp_file_size(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return -errno;
    return (long)status.st_size;
}

long bp_allocate(int fd, uint64_t byte_count) {
    return result(fallocate(fd, 0, 0, (off_t)byte_count));
}

void *bp_map_shared(int fd, size_t byte_count, int writable, int *error) {
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *address = mmap(NULL, byte_count, protection, MAP_SHARED, fd, 0);
    *error = address == MAP_FAILED ? -errno : 0;
    return address == MAP_FAILED ? NULL : address;
}

long bp_unmap(void *address, size_t byte_count) { return result(munmap(address, byte_count)); }

long bp_populate_for_writing(void *address, size_t byte_count) {
    return result(madvise(address, byte_count, MADV_POPULATE_WRITE));
}

long bp_probe_sole_owner(int fd) {
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0) return -errno;
    return result(fcntl(fd, F_SETLEASE, F_UNLCK));
}
