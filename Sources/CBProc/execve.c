// exec through the front end: it executes a program, and the caller on a node goes on as the image.
//
// A child of the caller on the front end takes the image, and writes it to the caller through its
// standard output. The caller stays what it is until the whole image is there and checked; then it
// executes that, as an undump does: same process, same children, same open files.
#define _GNU_SOURCE
#include "internal.h"
#include "readimage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

// What the caller has set aside while its child is at work.
struct aside {
    sigset_t mask;
    struct sigaction child_action;
    bool had_news_of_child;
};

static bool is_pending(int number) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, number) == 1;
}

// Signals wait, and a child that ends is not reaped by the kernel.
static void set_aside(struct aside *aside) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &aside->mask);
    aside->had_news_of_child = is_pending(SIGCHLD);
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &usual, &aside->child_action);
}

static void put_back(const struct aside *aside) {
    sigaction(SIGCHLD, &aside->child_action, NULL);
    bplib_set_mask(&aside->mask);
}

// Takes the word of the child's end away, unless another child has ended as well.
static void forget_child(const struct aside *aside) {
    siginfo_t information = {0};
    sigset_t news;
    if (aside->had_news_of_child || !is_pending(SIGCHLD)) return;
    if (waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT) == 0 && information.si_pid) {
        return;
    }
    const struct timespec now = {0, 0};
    sigemptyset(&news);
    sigaddset(&news, SIGCHLD);
    (void)sigtimedwait(&news, NULL, &now);
}

// The child's whole life. Its standard output leads to the caller; nothing else may come there.
static _Noreturn void send_program(const struct aside *aside, const char *cmd, char *const argv[],
                                   char *const envp[]) {
    int nothing = open("/dev/null", O_WRONLY);
    if (nothing >= 0) (void)dup2(nothing, STDERR_FILENO);
    put_back(aside);
    (void)bproc_execdump(STDOUT_FILENO, 0, cmd, argv, envp);
    _exit(errno > 0 && errno < 256 ? errno : EIO);
}

// A child on the front end whose standard output is the pipe. Its pid, 0 in the child, or -1.
static pid_t fork_to_front_end(int writing) {
    int flags = fcntl(STDOUT_FILENO, F_GETFD);
    int output = flags < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (dup2(writing, STDOUT_FILENO) < 0) return bplib_fail(errno, "%s", bproc_strerror(errno));
    pid_t pid = _bproc_rfork(BPROC_NODE_MASTER, BPROC_END_WITH_CALLER);
    if (pid == 0) return 0;
    int error = errno;
    if (output >= 0) {
        (void)dup3(output, STDOUT_FILENO, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
        close(output);
    } else {
        close(STDOUT_FILENO);
    }
    if (pid < 0 && error == BE_NODEDOWN) {
        return bplib_fail(error, "no process can be on the front end: bpslave --front-end does not "
                                 "run there");
    }
    errno = error;
    return pid;
}

// Waits for the child's end. Its status as of waitpid, or -1.
static int wait_for_child(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return status;
}

// The file of the program's image, or -1.
static int fetch(const struct aside *aside, const char *cmd, char *const argv[], char *const envp[],
                 char *name, size_t name_capacity) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return bplib_fail(errno, "%s", bproc_strerror(errno));
    pid_t pid = fork_to_front_end(ends[1]);
    if (pid == 0) send_program(aside, cmd, argv, envp);
    close(ends[1]);
    int image = pid < 0 ? -1 : bplib_read_image(ends[0], name, name_capacity);
    int error = errno;
    // What still writes ends with that.
    close(ends[0]);
    if (pid > 0) {
        int status = wait_for_child(pid);
        forget_child(aside);
        if (status > 0 && WIFEXITED(status)) {
            if (image >= 0) close(image);
            error = WEXITSTATUS(status);
            return bplib_fail(error, "%s, on the front end: %s", cmd, bproc_strerror(error));
        }
    }
    errno = error;
    return image;
}

int bproc_execve(const char *cmd, char *const argv[], char *const envp[]) {
    if (!cmd || !argv) return bplib_fail(EFAULT, "no command, or no arguments");
    if (!envp) envp = environ;
    if (bproc_currnode() == BPROC_NODE_MASTER) return bplib_execute_here(cmd, argv, envp);
    if (bplib_check_caller() < 0) return -1;
    char **environment = bplib_has_place() ? bplib_environment_here(envp) : (char **)envp;
    if (!environment) return bplib_fail(ENOMEM, "out of memory");
    char name[BPLIB_IMAGE_NAME];
    struct aside aside;
    set_aside(&aside);
    int image = fetch(&aside, cmd, argv, environment, name, sizeof name);
    if (image >= 0) (void)bplib_become(image, name);
    int error = errno;
    put_back(&aside);
    if (environment != envp) bplib_free_environment(environment);
    errno = error;
    return -1;
}
