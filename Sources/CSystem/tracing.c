#define _GNU_SOURCE
#include "include/tracing.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(struct bp_registers) == sizeof(struct user_regs_struct), "ptrace's layout");
_Static_assert(sizeof(struct user_fpregs_struct) == 512, "the fxsave area");

long bp_trace_start(const char *path, const char *const *arguments,
                    const char *const *environment) {
    volatile int error = 0;
    pid_t self = getpid();
    pid_t pid = vfork();
    if (pid < 0) return -errno;
    if (pid == 0) {
        // Until the trace options are set nothing else would end this child with its tracer.
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != self ||
            ptrace(PTRACE_TRACEME, 0, 0, 0) < 0) {
            error = errno ? errno : ESRCH;
            _exit(127);
        }
        execve(path, (char *const *)arguments, (char *const *)environment);
        error = errno;
        _exit(127);
    }
    if (error) {
        while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {}
        return -error;
    }
    return pid;
}

long bp_trace_wait(pid_t pid, struct bp_trace_event *event) {
    int status;
    memset(event, 0, sizeof *event);
    pid_t result;
    while ((result = waitpid(pid, &status, __WALL)) < 0 && errno == EINTR) {}
    if (result < 0) return -errno;
    if (WIFSTOPPED(status)) {
        event->stopped = WSTOPSIG(status);
        event->event = status >> 16;
        unsigned long message = 0;
        if (event->event >= PTRACE_EVENT_FORK && event->event <= PTRACE_EVENT_CLONE &&
            ptrace(PTRACE_GETEVENTMSG, pid, 0, &message) == 0)
            event->other = (int32_t)message;
    } else if (WIFEXITED(status)) {
        event->exited = 1;
        event->status = WEXITSTATUS(status);
    } else {
        event->killed = WTERMSIG(status);
    }
    return 0;
}

long bp_trace_set_options(pid_t pid) {
    long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    return ptrace(PTRACE_SETOPTIONS, pid, 0, options) < 0 ? -errno : 0;
}

long bp_trace_continue(pid_t pid, int signal) {
    return ptrace(PTRACE_CONT, pid, 0, (long)signal) < 0 ? -errno : 0;
}

long bp_trace_step(pid_t pid) { return ptrace(PTRACE_SINGLESTEP, pid, 0, 0) < 0 ? -errno : 0; }

long bp_trace_send_kill(pid_t pid) { return kill(pid, SIGKILL) < 0 ? -errno : 0; }

void bp_trace_kill(pid_t pid) {
    kill(pid, SIGKILL);
    int status;
    for (;;) {
        pid_t result = waitpid(pid, &status, __WALL);
        if (result < 0 && errno == EINTR) continue;
        if (result < 0 || WIFEXITED(status) || WIFSIGNALED(status)) return;
    }
}

long bp_trace_registers(pid_t pid, struct bp_registers *registers) {
    return ptrace(PTRACE_GETREGS, pid, 0, registers) < 0 ? -errno : 0;
}

long bp_trace_set_registers(pid_t pid, const struct bp_registers *registers) {
    return ptrace(PTRACE_SETREGS, pid, 0, registers) < 0 ? -errno : 0;
}

long bp_trace_float_registers(pid_t pid, void *bytes) {
    return ptrace(PTRACE_GETFPREGS, pid, 0, bytes) < 0 ? -errno : 0;
}

long bp_trace_signal_mask(pid_t pid, uint64_t *mask) {
    return ptrace(PTRACE_GETSIGMASK, pid, 8L, mask) < 0 ? -errno : 0;
}

long bp_trace_rseq(pid_t pid, struct bp_rseq *rseq) {
    memset(rseq, 0, sizeof *rseq);
    const int get_rseq_configuration = 0x420f; /* PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13 */
    return ptrace(get_rseq_configuration, pid, sizeof *rseq, rseq) < 0 ? -errno : 0;
}

long bp_trace_breakpoint(pid_t pid, uint64_t address) {
    if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[0]), address) < 0)
        return -errno;
    // Local enable of register 0; the kind and length bits are zero: execution, one byte.
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, u_debugreg[7]), 1L) < 0 ? -errno : 0;
}

long bp_trace_peek(pid_t pid, uint64_t address, uint64_t *word) {
    errno = 0;
    long value = ptrace(PTRACE_PEEKDATA, pid, address, 0);
    if (value == -1 && errno) return -errno;
    *word = (uint64_t)value;
    return 0;
}

long bp_trace_poke(pid_t pid, uint64_t address, uint64_t word) {
    return ptrace(PTRACE_POKEDATA, pid, address, word) < 0 ? -errno : 0;
}

long bp_trace_robust_list(pid_t pid, uint64_t *address, uint64_t *byte_count) {
    void *head = NULL;
    size_t length = 0;
    if (syscall(SYS_get_robust_list, pid, &head, &length) < 0) return -errno;
    *address = (uint64_t)head;
    *byte_count = length;
    return 0;
}

long bp_trace_read(pid_t pid, uint64_t address, void *bytes, size_t byte_count) {
    struct iovec local = {bytes, byte_count};
    struct iovec remote = {(void *)address, byte_count};
    ssize_t count = process_vm_readv(pid, &local, 1, &remote, 1, 0);
    return count < 0 ? -errno : count;
}

long bp_image_file(const char *name, int executable) {
    const unsigned int exec = 0x10, no_exec_seal = 0x8; /* MFD_EXEC, MFD_NOEXEC_SEAL: Linux 6.3 */
    unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    (void)no_exec_seal;
    int fd = memfd_create(name, flags | (executable ? exec : 0));
    if (fd < 0 && errno == EINVAL) fd = memfd_create(name, flags);
    return fd < 0 ? -errno : fd;
}

long bp_image_seal(int fd) {
    // A file that its users may run but nobody, by whatever descriptor, may open for writing.
    if (fchmod(fd, 0555) < 0) return -errno;
    int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    return fcntl(fd, F_ADD_SEALS, seals) < 0 ? -errno : 0;
}

long bp_image_resize(int fd, uint64_t byte_count) {
    return ftruncate(fd, (off_t)byte_count) < 0 ? -errno : 0;
}

long bp_image_open(const char *path, int flags) {
    return bp_image_open_at(AT_FDCWD, path, flags);
}

long bp_image_open_at(int directory, const char *name, int flags) {
    int fd = openat(directory, name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bp_image_create(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    return fd < 0 ? -errno : fd;
}

long bp_image_read_at(int fd, void *bytes, size_t byte_count, uint64_t offset) {
    ssize_t count;
    while ((count = pread(fd, bytes, byte_count, (off_t)offset)) < 0 && errno == EINTR) {}
    return count < 0 ? -errno : count;
}

long bp_image_write(int fd, const void *bytes, size_t byte_count) {
    size_t done = 0;
    while (done < byte_count) {
        ssize_t count = write(fd, (const char *)bytes + done, byte_count - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -errno;
        done += (size_t)count;
    }
    return (long)done;
}

intptr_t bp_image_map(int fd, uint64_t byte_count, int writable) {
    void *address = mmap(NULL, byte_count, PROT_READ | (writable ? PROT_WRITE : 0),
                         writable ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    return address == MAP_FAILED ? -errno : (intptr_t)address;
}

void bp_image_unmap(void *address, uint64_t byte_count) { munmap(address, byte_count); }

long bp_image_populate(void *address, uint64_t byte_count) {
    const int populate_write = 23; /* MADV_POPULATE_WRITE, Linux 5.14 */
    return madvise(address, byte_count, populate_write) < 0 ? -errno : 0;
}

uint64_t bp_capture_clock(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

long bp_open_command(const char *path, struct bp_command_file *file) {
    memset(file, 0, sizeof *file);
    struct stat status;
    if (stat(path, &status) < 0) return -errno;
    file->mode = status.st_mode;
    file->byte_count = (uint64_t)status.st_size;
    if (S_ISDIR(status.st_mode)) return -EISDIR;
    if (!S_ISREG(status.st_mode)) return -EACCES;
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0) file->not_runnable = errno;
    file->set_id = (status.st_mode & S_ISUID) != 0 ||
                   (status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
                   getxattr(path, "security.capability", NULL, 0) > 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bp_capture_receive(int socket, void *bytes, size_t byte_count) {
    size_t done = 0;
    while (done < byte_count) {
        ssize_t count = read(socket, (char *)bytes + done, byte_count - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -errno;
        if (count == 0) return -ECONNRESET;
        done += (size_t)count;
    }
    return (long)done;
}

long bp_capture_receive_first(int socket, void *bytes, size_t byte_count, int *descriptor) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {bytes, byte_count};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.space};
    *descriptor = -1;
    ssize_t count;
    do {
        count = recvmsg(socket, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
    }
    return count;
}

long bp_capture_send(int socket, const void *bytes, size_t byte_count, int descriptor) {
    size_t done = 0;
    while (done < byte_count) {
        struct iovec vector = {(char *)bytes + done, byte_count - done};
        struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
        union {
            struct cmsghdr header;
            char space[CMSG_SPACE(sizeof(int))];
        } control;
        if (descriptor >= 0 && done == 0) {
            memset(&control, 0, sizeof control);
            message.msg_control = &control;
            message.msg_controllen = sizeof control.space;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
        }
        ssize_t count = sendmsg(socket, &message, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return -errno;
        done += (size_t)count;
    }
    return (long)done;
}

void bp_raise_limits(void) {
    const int resources[] = {RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA, RLIMIT_CPU, RLIMIT_NOFILE};
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        struct rlimit limit;
        if (getrlimit((__rlimit_resource_t)resources[i], &limit) < 0) continue;
        limit.rlim_cur = limit.rlim_max;
        setrlimit((__rlimit_resource_t)resources[i], &limit);
    }
    // Beyond a hard limit: an error is an answer, a death is none.
    signal(SIGXFSZ, SIG_IGN);
}

long bp_capture_close_on_exec(int fd) {
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}
