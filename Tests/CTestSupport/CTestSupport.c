#define _GNU_SOURCE
#include "include/CTestSupport.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

long bptest_open_terminal(char *name, size_t size) {
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) return -errno;
    if (unlockpt(terminal) == 0 && ptsname_r(terminal, name, size) == 0) return terminal;
    int error = errno;
    close(terminal);
    return -error;
}

// The other tests' descriptors are not this child's to keep open.
static void close_all_but(int first, int second) {
    int low = first < second ? first : second, high = first < second ? second : first;
    if (low > 3) close_range(3, (unsigned)low - 1, 0);
    if (high > low + 1) close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    close_range((unsigned)high + 1, ~0u, 0);
}

static void wait_for_close(int fd) {
    char byte;
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {
    }
}

long bptest_hold_mapping(int fd, size_t byte_count, int grandchild, int *stop) {
    int ready[2], end[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return -errno;
    if (pipe2(end, O_CLOEXEC) < 0) return -errno;
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        close(ready[0]);
        close(end[1]);
        volatile char *place = mmap(NULL, byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
        if (place == MAP_FAILED) _exit(2);
        // Only the mapping holds the file from here on, in this process.
        close_all_but(ready[1], end[0]);
        if (grandchild && fork() != 0) _exit(0);
        if (write(ready[1], (const char *)place, 1) != 1) _exit(3);
        close(ready[1]);
        wait_for_close(end[0]);
        _exit(0);
    }
    close(ready[1]);
    close(end[0]);
    char byte;
    ssize_t count;
    do count = read(ready[0], &byte, 1);
    while (count < 0 && errno == EINTR);
    close(ready[0]);
    if (grandchild) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    *stop = end[1];
    return count == 1 ? child : -ECHILD;
}

long bptest_wait(long process) {
    int status = 0;
    pid_t result;
    do result = waitpid((pid_t)process, &status, 0);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : status;
}

long bptest_child(int code, int *stop) {
    int end[2];
    if (pipe2(end, O_CLOEXEC) < 0) return -errno;
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child == 0) {
        close_all_but(end[0], end[0]);
        wait_for_close(end[0]);
        if (code < 0) {
            // The threads of a test run block signals, and fork keeps the mask.
            sigset_t none;
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &none, NULL);
            signal(-code, SIG_DFL);
            raise(-code);
        }
        _exit(code);
    }
    close(end[0]);
    *stop = end[1];
    return child;
}

long bptest_become_nobody(void) {
    const unsigned nobody = 65534;
    if (setgroups(0, NULL) < 0) return -errno;
    if (setresgid(nobody, nobody, nobody) < 0) return -errno;
    return setresuid(nobody, nobody, nobody) < 0 ? -errno : 0;
}

void bptest_raise(int number) { raise(number); }

long bptest_limit_locked_memory(size_t byte_count) {
    struct rlimit limit = {.rlim_cur = byte_count, .rlim_max = byte_count};
    return setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ? -errno : 0;
}

long bptest_limit_open_files(size_t count) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    limit.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

long bptest_forbid_io_uring(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return -errno;
    // Every thread: a test may go on in another one than it began in.
    long result =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    return result < 0 ? -errno : result;
}

long bptest_wait_readable(int fd, int milliseconds) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    int result;
    do result = poll(&wait, 1, milliseconds);
    while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
}

long bptest_reset_on_close(int socket) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    return setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now) < 0 ? -errno : 0;
}

long bptest_finish_writing(int socket) { return shutdown(socket, SHUT_WR) < 0 ? -errno : 0; }

long bptest_send_copies(int socket, int fd, int count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * 8)];
    } control = {0};
    if (count < 1 || count > 8) return -EINVAL;
    char byte = 1;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
    int *place = (int *)CMSG_DATA(&control.header);
    for (int index = 0; index < count; index++) place[index] = fd;
    ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

long bptest_read_at(int fd, void *byte, long offset) {
    ssize_t count = pread(fd, byte, 1, offset);
    return count < 0 ? -errno : count;
}

long bptest_write_at(int fd, const void *byte, long offset) {
    ssize_t count = pwrite(fd, byte, 1, offset);
    return count < 0 ? -errno : count;
}

long bptest_open_at(int directory, const char *name) {
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

long bptest_create_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return -errno;
    close(fd);
    return 0;
}

long bptest_file_exists(const char *path) { return access(path, F_OK) == 0; }
