// What is left of a process that has moved: it stands where the process was started, so that its
// parent and its shell see it live, stop and end as the moved one does.
#define _GNU_SOURCE
#include "internal.h"
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_LOST = 255 }; // nobody knows how the moved process ended

// Ends as a wait status says, without a core of its own.
static _Noreturn void end_as(int status) {
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        const struct rlimit none = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(number, SIG_DFL);
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, number);
        (void)kill(getpid(), number);
        (void)sigprocmask(SIG_UNBLOCK, &mask, NULL);
        // A signal whose default is not to end a process cannot have ended the other one.
        _exit(128 + number);
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_LOST);
}

// Passes the signals on that have come. A stop by the terminal is one for both.
static void pass_signals(bproc_job_t *job, int signals) {
    struct signalfd_siginfo information;
    while (read(signals, &information, sizeof information) == sizeof information) {
        int number = (int)information.ssi_signo;
        if (number == SIGCHLD) continue;
        (void)bproc_job_signal(job, 0, number);
        if (number == SIGTSTP || number == SIGTTIN || number == SIGTTOU) {
            while (bplib_channel_flush(&job->channel) == 0 &&
                   job->channel.out.start < job->channel.out.end) {
                if (bplib_channel_wait(&job->channel, POLLOUT, -1) < 0) break;
            }
            (void)kill(getpid(), SIGSTOP);
        }
    }
}

// Handles what the job has to tell. False when it is over; then *status is how its rank ended.
static bool take_events(bproc_job_t *job, int *status) {
    struct bproc_job_event event;
    int found;
    while ((found = bproc_job_next(job, &event)) > 0) {
        switch (event.kind) {
        case BPROC_EVENT_END: return false;
        case BPROC_EVENT_EXIT: *status = event.status; break;
        case BPROC_EVENT_OUTPUT:
            if (event.byte_count == 0) break;
            (void)bplib_write_output(event.bytes, event.byte_count);
            (void)bproc_job_consumed(job, event.rank, event.stream, event.byte_count);
            break;
        default: break;
        }
    }
    return found == 0;
}

_Noreturn void bplib_stand_in(bproc_job_t *job) {
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    int signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals >= 0 && signals <= STDERR_FILENO) {
        // A process without standard streams: their numbers are about to be taken by others.
        int moved = fcntl(signals, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        close(signals);
        signals = moved;
    }
    // The descriptors went with the process, as far as they could; kept here, they would hold other
    // people's pipes open.
    bplib_job_move_above(job, STDERR_FILENO);
    bplib_close_others((const int[]){signals, bproc_job_descriptor(job)}, 2);
    int input = open("/dev/null", O_RDONLY);
    if (input > 0) (void)dup2(input, STDIN_FILENO);
    if (input > STDERR_FILENO) close(input);
    int status = STATUS_LOST << 8;
    while (take_events(job, &status)) {
        struct pollfd entries[] = {
            {.fd = bproc_job_descriptor(job), .events = bproc_job_poll_events(job)},
            {.fd = signals, .events = POLLIN},
        };
        if (poll(entries, 2, -1) < 0 && errno != EINTR) break;
        if (entries[1].revents) pass_signals(job, signals);
    }
    end_as(status);
}
