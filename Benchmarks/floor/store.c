// The memory that a process keeps its copy in.

#define _GNU_SOURCE
#include "floor.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.36 declares these in <sys/mount.h>, which clashes with <linux/mount.h>; by number they
// build everywhere.
static int mountPrivateTmpfs(bool huge)
{
    int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        fail("fsopen tmpfs (needs root)");
    const char *value = huge ? "always" : "never";
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "huge", value, 0) != 0)
        fail("fsconfig huge");
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        fail("fsconfig create");
    int mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    if (mount < 0)
        fail("fsmount");
    close(context);
    return mount;
}

int openStore(enum storeKind kind, size_t byteCount)
{
    int descriptor;
    if (kind == storeMemfd) {
        descriptor = memfd_create("floor", MFD_CLOEXEC);
    } else {
        // The mount is attached nowhere and lives as long as the file.
        int mount = mountPrivateTmpfs(kind == storeHuge);
        descriptor = openat(mount, "image", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        close(mount);
    }
    if (descriptor < 0)
        fail("store file");
    if (ftruncate(descriptor, (off_t)byteCount) != 0)
        fail("store ftruncate");
    return descriptor;
}

unsigned char *mapStore(int descriptor, size_t byteCount)
{
    // Aligned to 2 MiB: only then can the kernel map huge pages as such.
    const size_t alignment = 2u << 20;
    unsigned char *area = mmap(NULL, byteCount + alignment, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        fail("address space for the store");
    uintptr_t place = ((uintptr_t)area + alignment - 1) & ~(uintptr_t)(alignment - 1);
    void *map = mmap((void *)place, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     descriptor, 0);
    if (map == MAP_FAILED)
        fail("mapping the store");
    return map;
}

void emptyStore(int descriptor, size_t byteCount)
{
    if (ftruncate(descriptor, 0) != 0 || ftruncate(descriptor, (off_t)byteCount) != 0)
        fail("emptying the store");
}
