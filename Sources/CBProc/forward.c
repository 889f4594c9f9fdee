// The default I/O of a classic call: both outputs of every rank reach the caller's standard output.
// The library has no thread to copy them, so a process does that, as long as it and the caller
// live.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

bool bplib_write_output(const unsigned char *bytes, size_t byte_count) {
    while (byte_count > 0) {
        ssize_t count = write(STDOUT_FILENO, bytes, byte_count);
        if (count >= 0) {
            bytes += count;
            byte_count -= (size_t)count;
        } else if (errno == EAGAIN) {
            struct pollfd entry = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&entry, 1, -1);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

// Copies until the job, the caller or standard output ends.
static void forward(bproc_job_t *job, int caller) {
    for (;;) {
        struct bproc_job_event event;
        int found;
        while ((found = bproc_job_next(job, &event)) > 0) {
            if (event.kind == BPROC_EVENT_END) return;
            if (event.kind != BPROC_EVENT_OUTPUT || event.byte_count == 0) continue;
            if (!bplib_write_output(event.bytes, event.byte_count)) return;
            (void)bproc_job_consumed(job, event.rank, event.stream, event.byte_count);
        }
        if (found < 0) return;
        struct pollfd entries[] = {
            {.fd = bproc_job_descriptor(job), .events = bproc_job_poll_events(job)},
            {.fd = caller, .events = POLLIN},
        };
        if (poll(entries, 2, -1) < 0 && errno != EINTR) return;
        // Nothing is ever written to the pipe: this is its end, and so the caller's.
        if (entries[1].revents) return;
    }
}

// What the forwarder inherits beyond its needs would keep other people's pipes open.
void bplib_close_others(const int *kept, int count) {
    unsigned next = STDERR_FILENO + 1;
    for (;;) {
        unsigned lowest = ~0u;
        for (int i = 0; i < count; i++) {
            if (kept[i] >= (int)next && (unsigned)kept[i] < lowest) lowest = (unsigned)kept[i];
        }
        if (lowest == ~0u) break;
        if (lowest > next) (void)close_range(next, lowest - 1, 0);
        next = lowest + 1;
    }
    (void)close_range(next, ~0u, 0);
}

static void default_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        struct sigaction before;
        if (sigaction(number, NULL, &before) < 0) continue;
        if ((before.sa_flags & SA_SIGINFO) || before.sa_handler != SIG_IGN) {
            (void)sigaction(number, &action, NULL);
        }
    }
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int bplib_start_forwarder(bproc_job_t *job) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return bplib_fail(errno, "pipe: %s", bproc_strerror(errno));
    sigset_t all, before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t child = fork();
    int error = errno;
    if (child == 0) {
        // The grandchild belongs to init: the caller's wait never sees it.
        pid_t forwarder = fork();
        if (forwarder != 0) _exit(forwarder < 0 ? 1 : 0);
        int input = open("/dev/null", O_RDONLY);
        if (input > 0) (void)dup2(input, STDIN_FILENO);
        bplib_close_others((const int[]){ends[0], bproc_job_descriptor(job)}, 2);
        default_signals();
        forward(job, ends[0]);
        _exit(0);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return bplib_fail(error, "fork: %s", bproc_strerror(error));
    }
    // Where another thread has taken the status already, nothing is known against the forwarder.
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (status != 0) {
        close(ends[1]);
        return bplib_fail(EAGAIN, "the process that forwards output did not start");
    }
    if (bplib_remember_forwarder(ends[1]) < 0) {
        close(ends[1]);
        return -1;
    }
    return 0;
}
