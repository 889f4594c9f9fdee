#define _GNU_SOURCE
#include "include/process.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long result(long value) { return value < 0 ? -errno : value; }

uint64_t bp_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

long bp_reap(int pidfd, struct bp_child_exit *exit) {
    siginfo_t info = {0};
    struct rusage usage = {0};
    /* The C library's waitid hides the kernel's fifth argument, the resource usage. */
    if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG, &usage) < 0) return -errno;
    if (info.si_pid == 0) return 0;
    exit->pid = info.si_pid;
    exit->wait_status = info.si_code == CLD_EXITED   ? (info.si_status & 0xff) << 8
                        : info.si_code == CLD_DUMPED ? info.si_status | 0x80
                                                     : info.si_status;
    exit->user_microseconds =
        (uint64_t)usage.ru_utime.tv_sec * 1000000u + (uint64_t)usage.ru_utime.tv_usec;
    exit->system_microseconds =
        (uint64_t)usage.ru_stime.tv_sec * 1000000u + (uint64_t)usage.ru_stime.tv_usec;
    exit->max_resident_kilobytes = (uint64_t)usage.ru_maxrss;
    return 1;
}

long bp_child_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
    return result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

void bp_drain_child_descriptor(int fd) {
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) > 0) continue;
}

long bp_next_child_stop(struct bp_child_stop *stop) {
    siginfo_t info = {0};
    const int wanted = WSTOPPED | WCONTINUED | WNOHANG | __WALL;
    if (waitid(P_ALL, 0, &info, wanted) < 0) return errno == ECHILD ? 0 : -errno;
    if (info.si_pid == 0) return 0;
    stop->pid = info.si_pid;
    stop->signal = info.si_code == CLD_CONTINUED ? 0 : info.si_status;
    return 1;
}

long bp_kill(int32_t pid, int32_t signal) { return result(kill(pid, signal)); }

long bp_process_group(int32_t pid) { return result(getpgid(pid)); }

long bp_process_user(int32_t pid) {
    char path[32];
    struct stat status;
    (void)snprintf(path, sizeof path, "/proc/%d", pid);
    return stat(path, &status) < 0 ? -errno : (long)status.st_uid;
}

int32_t bp_shown_pid(int32_t pid) {
    char text[256];
    ssize_t length = readlink("/proc/self", text, sizeof text - 1);
    if (length <= 0) return pid;
    text[length] = 0;
    if (atoi(text) == getpid()) return pid;
    int descriptor = (int)syscall(SYS_pidfd_open, pid, 0);
    if (descriptor < 0) return pid;
    (void)snprintf(text, sizeof text, "/proc/self/fdinfo/%d", descriptor);
    int file = open(text, O_RDONLY | O_CLOEXEC);
    length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    close(descriptor);
    if (length <= 0) return pid;
    text[length] = 0;
    const char *line = strstr(text, "Pid:");
    int shown = line ? atoi(line + strlen("Pid:")) : 0;
    return shown > 0 ? shown : pid;
}

long bp_pidfd_open(int32_t pid) { return result(syscall(SYS_pidfd_open, pid, 0)); }

long bp_signal_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) return -errno;
    return result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

long bp_next_signal(int fd) {
    struct signalfd_siginfo info;
    ssize_t count = read(fd, &info, sizeof info);
    return count == (ssize_t)sizeof info ? (long)info.ssi_signo : 0;
}

long bp_message_pair(int *fds) {
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) return -errno;
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0) return 0;
    int error = errno;
    close(fds[0]);
    close(fds[1]);
    return -error;
}

long bp_pipe(int *fds, int nonblocking_read, int nonblocking_write) {
    if (pipe2(fds, O_CLOEXEC) < 0) return -errno;
    if (nonblocking_read) fcntl(fds[0], F_SETFL, O_NONBLOCK);
    if (nonblocking_write) fcntl(fds[1], F_SETFL, O_NONBLOCK);
    return 0;
}

long bp_read(int fd, void *bytes, size_t count) { return result(read(fd, bytes, count)); }

long bp_write(int fd, const void *bytes, size_t count) { return result(write(fd, bytes, count)); }

long bp_raise_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    rlim_t wanted = 65536;
    struct rlimit raised = {.rlim_cur = wanted, .rlim_max = limit.rlim_max < wanted ? wanted
                                                                                  : limit.rlim_max};
    if (limit.rlim_cur >= wanted) return (long)limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return (long)wanted;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : (long)limit.rlim_cur;
}

long bp_set_nice(int nice) { return result(setpriority(PRIO_PROCESS, 0, nice)); }

long bp_set_session_nice(int nice) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", nice);
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    ssize_t written = write(fd, text, (size_t)length);
    int error = errno;
    close(fd);
    return written < 0 ? -error : 0;
}

uint32_t bp_effective_user(void) { return geteuid(); }

int32_t bp_own_pid(void) { return getpid(); }

long bp_open_read_only(const char *path) { return result(open(path, O_RDONLY | O_CLOEXEC)); }

long bp_open_own_program(void) {
    long fd = bp_open_read_only("/proc/self/exe");
    if (fd >= 0) return fd;
    const char *path = (const char *)getauxval(AT_EXECFN);
    return path ? bp_open_read_only(path) : fd;
}

long bp_open_processes(void) {
    int fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct statfs status;
    if (fd >= 0 && fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC) return fd;
    if (fd >= 0) close(fd);
    return bp_mount_processes();
}

long bp_mount_processes(void) {
    int context = fsopen("proc", FSOPEN_CLOEXEC);
    if (context < 0) return -errno;
    long mount = -1;
    if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0) {
        mount = fsmount(context, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    }
    int error = errno;
    close(context);
    return mount < 0 ? -error : mount;
}

long bp_open_process(int processes, int pid) {
    char name[16];
    snprintf(name, sizeof name, "%d", pid);
    return result(openat(processes, name, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

long bp_open_read_write(const char *path) { return result(open(path, O_RDWR | O_CLOEXEC)); }

long bp_change_root(const char *path) {
    if (chroot(path) < 0) return -errno;
    return result(chdir("/"));
}

long bp_can_execute(const char *path) { return result(access(path, X_OK)); }

long bp_execute(const char *const *arguments) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execv(arguments[0], (char *const *)arguments);
    return -errno;
}

long bp_end_machine(enum bp_machine_end end) {
    static const int commands[] = {
        [BP_MACHINE_REBOOT] = RB_AUTOBOOT,
        [BP_MACHINE_HALT] = RB_HALT_SYSTEM,
        [BP_MACHINE_POWER_OFF] = RB_POWER_OFF,
    };
    sync();
    return result(reboot(commands[end]));
}

long bp_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path) return 0;
    size_t length = strlen(path);
    if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length);
    if (address.sun_path[0] == '@') address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (void *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    int error = errno;
    close(fd);
    return sent < 0 ? -error : 1;
}

long bp_daemonize(void) {
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return -errno;
    pid_t child = fork();
    if (child < 0) return -errno;
    if (child > 0) {
        /* The foreground process ends as soon as the daemon is ready, or has failed. */
        unsigned char code = 1;
        close(ready[1]);
        if (read(ready[0], &code, 1) != 1) code = 1;
        _exit(code);
    }
    close(ready[0]);
    setsid();
    child = fork();
    if (child < 0) _exit(1);
    if (child > 0) _exit(0);
    if (chdir("/") < 0) _exit(1);
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        if (null > 2) close(null);
    }
    return ready[1];
}

long bp_stop_self(void) { return result(kill(getpid(), SIGSTOP)); }

long bp_core_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count;
}

long bp_unlink_path(const char *path) { return result(unlink(path)); }

long bp_write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return -errno;
    ssize_t written = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    return written < 0 ? -error : 0;
}

void bp_exit(int code) { exit(code); }

long bp_kernel_version(void) {
    struct utsname name;
    int major = 0, minor = 0;
    if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) return 0;
    return (long)major * 1000 + minor;
}
