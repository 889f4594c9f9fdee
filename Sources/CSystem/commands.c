#define _GNU_SOURCE
#include "include/commands.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const char *bp_command_environment(size_t index) { return environ ? environ[index] : NULL; }

long bp_command_signals(uint64_t set) {
    sigset_t taken;
    sigemptyset(&taken);
    for (int number = 1; number < 64; number++) {
        struct sigaction action;
        if (!(set >> number & 1) || sigaction(number, NULL, &action) < 0) continue;
        // Who ignores a signal, as nohup does, must not be woken by it.
        if ((action.sa_flags & SA_SIGINFO) || action.sa_handler != SIG_IGN) {
            sigaddset(&taken, number);
        }
    }
    int error = pthread_sigmask(SIG_BLOCK, &taken, NULL);
    if (error) return -error;
    int fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

long bp_command_next_signal(int fd, int *from_terminal) {
    struct signalfd_siginfo info = {0};
    ssize_t count;
    do {
        count = read(fd, &info, sizeof info);
    } while (count < 0 && errno == EINTR);
    *from_terminal = info.ssi_code == SI_KERNEL;
    if (count == (ssize_t)sizeof info) return (long)info.ssi_signo;
    return count < 0 && errno != EAGAIN ? -errno : 0;
}

int bp_command_is_terminal(int fd) { return isatty(fd); }

int bp_command_terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int bp_command_terminal_rows(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

long bp_command_can_execute(const char *path) {
    struct stat status;
    if (stat(path, &status) < 0) return -errno;
    if (S_ISDIR(status.st_mode)) return -EISDIR;
    if (!S_ISREG(status.st_mode)) return -EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int bp_command_output_kind(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return 0;
    if (S_ISSOCK(status.st_mode)) return 2;
    return S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode);
}

long bp_command_sleep(uint64_t nanoseconds) {
    struct timespec time = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    return nanosleep(&time, NULL) < 0 ? -errno : 0;
}

// The child of vfork shares this process's memory: it makes system calls and nothing else.
static pid_t start(const char *path, char *const *argv, char *const *envp, int output_fd) {
    sigset_t all, before, none;
    sigfillset(&all);
    sigemptyset(&none);
    int input_fd = output_fd < 0 ? -1 : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (output_fd >= 0 && input_fd < 0) return -errno;
    volatile int exec_error = 0;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t child = vfork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        for (int number = 1; number < NSIG; number++) (void)sigaction(number, &action, NULL);
        bool ready = true;
        if (output_fd >= 0) {
            ready = setsid() >= 0 && dup2(input_fd, STDIN_FILENO) >= 0 &&
                    dup2(output_fd, STDOUT_FILENO) >= 0 && dup2(output_fd, STDERR_FILENO) >= 0 &&
                    close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) >= 0;
        }
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (ready) (void)execve(path, argv, envp);
        exec_error = errno;
        _exit(127);
    }
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (input_fd >= 0) close(input_fd);
    if (child < 0) return -error;
    if (exec_error) {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
        return -exec_error;
    }
    return child;
}

long bp_command_start_daemon(const char *path, char *const *argv, int output_fd) {
    return start(path, argv, environ, output_fd);
}

long bp_command_start(const char *path, char *const *argv, char *const *envp) {
    return start(path, argv, envp, -1);
}

long bp_command_reap(int pid, int wait, int *status) {
    pid_t ended;
    do {
        ended = waitpid(pid, status, wait ? 0 : WNOHANG);
    } while (ended < 0 && errno == EINTR);
    return ended < 0 ? -errno : ended;
}

long bp_command_pidfd(int pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

long bp_command_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

long bp_command_raise_descriptor_limit(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    if (limit.rlim_cur >= wanted) return (long)limit.rlim_cur;
    if (limit.rlim_max < wanted) {
        // Root may raise the hard limit too; others stay below it.
        struct rlimit raised = {wanted, wanted};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return (long)wanted;
    }
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
    return (long)limit.rlim_cur;
}

long bp_command_free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    long result = -1;
    if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        result = -errno;
    } else {
        result = ntohs(address.sin_port);
    }
    close(fd);
    return result;
}

long bp_command_owner_and_mode(const char *path, uint32_t *owner, uint32_t *mode) {
    struct stat status;
    if (lstat(path, &status) < 0) return -errno;
    *owner = status.st_uid;
    *mode = status.st_mode;
    return 0;
}
