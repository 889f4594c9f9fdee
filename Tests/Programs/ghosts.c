// Remote processes as children of this one: what plain wait and kill do with them. ghosts CASE; the
// ranks are this program again: ghosts rank ...
#define _GNU_SOURCE
#include "support.h"

#include <bproc_local.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static char folder[256];

// ---- A rank ----

// Ends as it is told: by an exit status, or by a signal.
static int end_rank(const char *how, int number) {
    if (strcmp(how, "exit") == 0) return number;
    (void)signal(number, SIG_DFL);
    (void)raise(number);
    return 98;
}

// Notes its own pid and the signals that it gets, until SIGTERM.
static _Noreturn void note_rank(const char *file) {
    reports = open(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
    const int numbers[] = {SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGCHLD};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) (void)signal(numbers[i], report);
    dprintf(reports, "pid %d\n", getpid());
    for (;;) (void)pause();
}

static int rank(char *const argv[]) {
    if (strcmp(argv[2], "note") == 0) note_rank(argv[3]);
    if (strcmp(argv[2], "say") == 0) {
        printf("%s\n", argv[3]);
        return 0;
    }
    if (strcmp(argv[2], "stop") == 0) {
        (void)raise(SIGSTOP);
        return 7;
    }
    if (strcmp(argv[2], "catch") == 0) {
        (void)signal(SIGTSTP, report);
        note_rank(argv[3]);
    }
    if (strcmp(argv[2], "stay") == 0) {
        for (;;) (void)pause();
    }
    return end_rank(argv[2], atoi(argv[3]));
}

// ---- The caller ----

static char self[256];

static int start_ranks(int count, int *nodes, int *pids, const char *what, const char *argument) {
    char *argv[] = {self, (char *)"rank", (char *)what, (char *)argument, NULL};
    return bproc_vexecmove_io(count, nodes, pids, NULL, 0, self, argv, environ);
}

static int start(int node, const char *what, const char *argument) {
    int pid = 0;
    if (start_ranks(1, &node, &pid, what, argument) == 1 && pid > 0) return pid;
    printf("FAILED: start of %s %s: %d, %s\n", what, argument, pid, bproc_reason());
    exit(1);
}

static void expect_no_children(void) {
    CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
    CHECK(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

// A file of /proc as text; its size or -1.
static ssize_t read_text(const char *path, char *text, size_t size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    ssize_t count = read(descriptor, text, size - 1);
    close(descriptor);
    text[count < 0 ? 0 : count] = 0;
    return count;
}

static char state_of(int pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_text(path, text, sizeof text) <= 0) return 0;
    return strrchr(text, ')')[2];
}

static int field_of(int pid, const char *name) {
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (read_text(path, text, sizeof text) <= 0) return -1;
    const char *line = strstr(text, name);
    return line ? atoi(line + strlen(name)) : -1;
}

// The pid by which this process finds one of a node that has the pid of its ghost: the outer one.
static int outer_pid(int pid) {
    DIR *processes = opendir("/proc");
    int found = pid;
    for (struct dirent *entry; processes && (entry = readdir(processes));) {
        char path[300], text[4096];
        int outer = atoi(entry->d_name), level = 0, last = 0;
        snprintf(path, sizeof path, "/proc/%d/status", outer);
        if (outer <= 0 || read_text(path, text, sizeof text) <= 0) continue;
        const char *line = strstr(text, "\nNSpid:");
        if (!line) continue;
        line += strlen("\nNSpid:");
        for (char *end; *line != '\n'; line = end, level++) {
            last = (int)strtol(line, &end, 10);
            if (end == line) break;
        }
        if (level > 1 && last == pid) found = outer;
    }
    if (processes) closedir(processes);
    return found;
}

// Waits until the notes of a rank have this many lines; the pid that it has on its node.
static int await_notes(const char *file, int lines, char *text, size_t size) {
    for (int tries = 0; tries < 10000; tries++) {
        int found = 0;
        text[0] = 0;
        if (read_text(file, text, size) > 0) {
            for (const char *at = text; (at = strchr(at, '\n')); at++) found++;
        }
        if (found >= lines) return atoi(text + strlen("pid "));
        pause_briefly();
    }
    CHECK(!"the rank's notes come");
    return -1;
}

static void statuses(void) {
    CHECK(status_of(start(0, "exit", "42")) == 42 << 8);
    CHECK(status_of(start(0, "exit", "0")) == 0);
    CHECK(status_of(start(1, "exit", "255")) == 255 << 8);
    CHECK(status_of(start(1, "signal", "11")) == SIGSEGV);
    CHECK(status_of(start(0, "signal", "15")) == SIGTERM);
    CHECK(status_of(start(0, "signal", "9")) == SIGKILL);
    CHECK(status_of(start(0, "signal", "1")) == SIGHUP);
    expect_no_children();
}

static void place(void) {
    int pid = start(1, "stay", "");
    char path[64], name[64];
    CHECK(field_of(pid, "PPid:") == getpid());
    CHECK(getpgid(pid) == getpgrp() && getsid(pid) == getsid(0));
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    CHECK(read_text(path, name, sizeof name) > 0 && strncmp(name, "ghosts", 6) == 0);
    CHECK(waitpid(pid, NULL, WNOHANG) == 0);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(status_of(pid) == SIGKILL);
    expect_no_children();
}

static void signals(void) {
    char file[300], text[4096];
    snprintf(file, sizeof file, "%s/signals", folder);
    int pid = start(0, "note", file);
    int own = await_notes(file, 1, text, sizeof text), remote = outer_pid(own);
    // Each after the other has arrived: the order of pending signals is the kernel's.
    const int numbers[] = {SIGUSR2, SIGHUP, SIGUSR1, SIGCONT, SIGCHLD, SIGINT, SIGUSR2};
    char wanted[256];
    int length = snprintf(wanted, sizeof wanted, "pid %d\n", own);
    for (int i = 0; i < 7; i++) {
        CHECK(kill(pid, numbers[i]) == 0);
        (void)await_notes(file, i + 2, text, sizeof text);
        length += snprintf(wanted + length, sizeof wanted - (size_t)length, "%d\n", numbers[i]);
        CHECK(strcmp(text, wanted) == 0);
    }
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(status_of(pid) == 5 << 8);
    CHECK(kill(remote, 0) == -1 && errno == ESRCH);
    expect_no_children();
}

static void await_state(int pid, bool stopped) {
    for (int tries = 0; tries < 10000 && (state_of(pid) == 'T') != stopped; tries++) {
        pause_briefly();
    }
    CHECK((state_of(pid) == 'T') == stopped);
}

static void stops(void) {
    char file[300], text[4096];
    snprintf(file, sizeof file, "%s/stops", folder);
    int pid = start(1, "note", file), status = 0;
    int remote = outer_pid(await_notes(file, 1, text, sizeof text));
    for (int i = 0; i < 3; i++) {
        CHECK(kill(pid, SIGSTOP) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        await_state(remote, true);
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid);
        CHECK(WIFCONTINUED(status));
        await_state(remote, false);
    }
    // One that is stopped can be killed, and ends as the other does.
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    await_state(remote, true);
    CHECK(kill(remote, SIGKILL) == 0);
    CHECK(status_of(pid) == SIGKILL);
    expect_no_children();
}

// A rank that is stopped on its node stops its ghost, and lets it go on.
static void mirror(void) {
    char file[300], text[4096];
    snprintf(file, sizeof file, "%s/mirror", folder);
    int pid = start(1, "note", file), status = 0;
    int remote = outer_pid(await_notes(file, 1, text, sizeof text));
    for (int i = 0; i < 3; i++) {
        CHECK(kill(remote, SIGSTOP) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
        CHECK(kill(remote, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid);
        CHECK(WIFCONTINUED(status));
        // Stopped there, continued here.
        CHECK(kill(remote, SIGSTOP) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
        await_state(remote, false);
        // And the other way round.
        CHECK(kill(pid, SIGSTOP) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        await_state(remote, true);
        CHECK(kill(remote, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
        await_state(remote, false);
    }
    // What a terminal stops a job with, of a process that has no terminal.
    const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 3; i++) {
        CHECK(kill(pid, stops[i]) == 0);
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        CHECK(state_of(remote) == 'T');
        CHECK(kill(pid, SIGCONT) == 0);
        CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status));
        await_state(remote, false);
    }
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(status_of(pid) == SIGKILL);
    // One that stops by itself, and one that catches SIGTSTP, which does not stop it.
    pid = start(0, "stop", "");
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(status_of(pid) == 7 << 8);
    snprintf(file, sizeof file, "%s/catch", folder);
    pid = start(0, "catch", file);
    (void)await_notes(file, 1, text, sizeof text);
    CHECK(kill(pid, SIGTSTP) == 0);
    (void)await_notes(file, 2, text, sizeof text);
    CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0);
    CHECK(kill(pid, SIGTERM) == 0);
    CHECK(status_of(pid) == 5 << 8);
    expect_no_children();
}

// Whether a process has stopped, as its parent would be told: a ghost is being traced.
static bool has_stopped(int pid) {
    siginfo_t information = {0};
    (void)waitid(P_PID, (id_t)pid, &information, WSTOPPED | WNOHANG | WNOWAIT);
    return information.si_pid == pid;
}

static bool same_state(int pid, int remote, bool stopped) {
    return has_stopped(pid) == stopped && (state_of(remote) == 'T') == stopped;
}

static void await_same(int pid, int remote, bool stopped) {
    for (int tries = 0; tries < 10000; tries++) {
        if (same_state(pid, remote, stopped)) return;
        pause_briefly();
    }
    CHECK(!"ghost and rank agree");
}

// Waits until this many signals of a kind are noted.
static void await_number(const char *file, int number, int count) {
    static char text[1 << 16];
    char line[16];
    snprintf(line, sizeof line, "\n%d\n", number);
    for (int tries = 0; tries < 10000; tries++) {
        int found = 0;
        if (read_text(file, text, sizeof text) > 0) {
            for (const char *at = text; (at = strstr(at, line)); at++) found++;
        }
        if (found >= count) return;
        pause_briefly();
    }
    CHECK(!"the signal is noted");
}

enum { STORM_RANKS = 4, STORM_ROUNDS = 300, STORM_PHASES = 8 };

// Stops and continues in any order, in the later phases from the nodes as well. What is sent on
// both sides at once has no order, so there both sides have a last word, the same.
static void storm_phase(int phase, const int *pids, const int *remotes) {
    const int numbers[] = {SIGSTOP, SIGCONT, SIGTSTP, SIGCONT};
    static unsigned int seed = 20261127;
    bool has_node = phase >= STORM_PHASES / 2;
    for (int round = 0; round < STORM_ROUNDS; round++) {
        int rank = rand_r(&seed) % STORM_RANKS, number = numbers[rand_r(&seed) % 4];
        bool from_node = has_node && rand_r(&seed) % 3 == 0;
        (void)kill(from_node ? remotes[rank] : pids[rank], number);
    }
    int last = phase % 2 == 1 ? SIGSTOP : SIGCONT;
    for (int rank = 0; rank < STORM_RANKS; rank++) {
        CHECK(kill(pids[rank], last) == 0);
        if (has_node) CHECK(kill(remotes[rank], last) == 0);
    }
}

// Whatever crosses whatever, both sides agree when it is over, and the next signals find them so.
static void storm(void) {
    int nodes[STORM_RANKS] = {0, 1, 0, 1}, pids[STORM_RANKS], remotes[STORM_RANKS];
    char files[STORM_RANKS][300], text[4096];
    for (int rank = 0; rank < STORM_RANKS; rank++) {
        snprintf(files[rank], sizeof files[rank], "%s/storm%d", folder, rank);
        pids[rank] = start(nodes[rank], "catch", files[rank]);
        remotes[rank] = outer_pid(await_notes(files[rank], 1, text, sizeof text));
    }
    for (int phase = 0; phase < STORM_PHASES; phase++) {
        storm_phase(phase, pids, remotes);
        for (int rank = 0; rank < STORM_RANKS; rank++) {
            await_same(pids[rank], remotes[rank], phase % 2 == 1);
            if (phase % 2 == 1) continue;
            // All that was sent before has arrived when this has.
            CHECK(kill(pids[rank], SIGUSR2) == 0);
            await_number(files[rank], SIGUSR2, phase / 2 + 1);
            await_same(pids[rank], remotes[rank], false);
        }
    }
    for (int rank = 0; rank < STORM_RANKS; rank++) {
        CHECK(kill(pids[rank], SIGCONT) == 0);
        await_same(pids[rank], remotes[rank], false);
        CHECK(kill(pids[rank], SIGSTOP) == 0);
        await_same(pids[rank], remotes[rank], true);
        CHECK(kill(pids[rank], SIGKILL) == 0);
        CHECK(status_of(pids[rank]) == SIGKILL);
    }
    expect_no_children();
}

static void any(void) {
    int nodes[] = {0, 1, 0, 1}, pids[4];
    pid_t own = fork();
    if (own == 0) _exit(3);
    CHECK(start_ranks(4, nodes, pids, "exit", "6") == 4);
    int seen = 0;
    for (int i = 0; i < 5; i++) {
        int status = 0;
        pid_t pid = wait(&status);
        CHECK(pid > 0);
        if (pid == own) CHECK(status == 3 << 8);
        for (int rank = 0; rank < 4; rank++) {
            if (pid != pids[rank]) continue;
            CHECK(status == 6 << 8);
            seen |= 1 << rank;
        }
    }
    CHECK(seen == 15);
    expect_no_children();
}

static volatile sig_atomic_t child_signals;
static void count(int number) { child_signals += number == SIGCHLD; }

// Node 77 does not exist: nothing may be seen of its ranks, but for the error number.
static void failing(void) {
    int nodes[] = {77, 77}, mixed[] = {0, 77, 1, 77}, pids[4] = {0};
    CHECK(start_ranks(2, nodes, pids, "exit", "1") == 2);
    CHECK(pids[0] < 0 && pids[1] < 0);
    expect_no_children();
    CHECK(start_ranks(4, mixed, pids, "stay", "") == 4);
    CHECK(pids[0] > 0 && pids[1] < 0 && pids[2] > 0 && pids[3] < 0);
    CHECK(waitpid(-1, NULL, WNOHANG) == 0);
    CHECK(child_signals == 0);
    (void)kill(pids[0], SIGKILL);
    (void)kill(pids[2], SIGKILL);
    CHECK(status_of(pids[0]) == SIGKILL);
    CHECK(status_of(pids[2]) == SIGKILL);
    expect_no_children();
}

static void failures_case(void) {
    sigset_t set;
    failing();
    (void)signal(SIGCHLD, count);
    failing();
    child_signals = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    int nodes[] = {77}, pid = 0;
    CHECK(start_ranks(1, nodes, &pid, "exit", "1") == 1);
    sigset_t pending;
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGCHLD));
    CHECK(pid < 0);
    failing();
    // An adopter of orphans gets none of these either.
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    failing();
    int adopts = 0;
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0) == 0 && adopts == 1);
}

static void ignored(void) {
    int nodes[] = {0, 77, 1}, pids[3];
    (void)signal(SIGCHLD, SIG_IGN);
    CHECK(start_ranks(3, nodes, pids, "exit", "3") == 3);
    CHECK(pids[0] > 0 && pids[1] < 0 && pids[2] > 0);
    // As with any child: wait comes back when all have ended, and has no status.
    expect_no_children();
    // The kernel takes the number back a moment after the wait has come back.
    for (int i = 0; i < 1000 && kill(pids[0], 0) == 0; i++) usleep(10000);
    CHECK(kill(pids[0], 0) == -1 && errno == ESRCH);
    int adopts = 1;
    CHECK(prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0) == 0 && adopts == 0);
}

static volatile bool is_over;
static int taken_by_thread;

static void *wait_for_all(void *argument) {
    (void)argument;
    while (!is_over) {
        if (waitpid(-1, NULL, WNOHANG) > 0) taken_by_thread++;
    }
    return NULL;
}

// Another thread takes whatever ends; nothing but what has really started may be there to take.
static void threads(void) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, wait_for_all, NULL) == 0);
    for (int i = 0; i < 5; i++) {
        int nodes[] = {77, 77}, pids[2];
        CHECK(start_ranks(2, nodes, pids, "exit", "1") == 2);
    }
    is_over = true;
    (void)pthread_join(thread, NULL);
    CHECK(taken_by_thread == 0);
    expect_no_children();
}

static void group(void) {
    char file[300], text[4096];
    snprintf(file, sizeof file, "%s/group", folder);
    CHECK(getpgrp() == getpid() || setpgid(0, 0) == 0);
    (void)signal(SIGINT, SIG_IGN);
    int pid = start(0, "note", file);
    int remote = await_notes(file, 1, text, sizeof text);
    CHECK(kill(0, SIGINT) == 0);
    (void)await_notes(file, 2, text, sizeof text);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "pid %d\n%d\n", remote, SIGINT);
    CHECK(strcmp(text, wanted) == 0);
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(status_of(pid) == SIGKILL);
}

// The server of the ghosts is killed: they end, and so does what they stood for.
static void server(void) {
    char file[300], text[4096];
    snprintf(file, sizeof file, "%s/server", folder);
    int pid = start(0, "note", file);
    int remote = outer_pid(await_notes(file, 1, text, sizeof text));
    int tracer = field_of(pid, "TracerPid:");
    CHECK(tracer > 0);
    CHECK(kill(tracer, SIGKILL) == 0);
    CHECK(status_of(pid) == SIGKILL);
    for (int tries = 0; tries < 10000 && kill(remote, 0) == 0; tries++) pause_briefly();
    CHECK(kill(remote, 0) == -1 && errno == ESRCH);
    expect_no_children();
}

static void forks(void) {
    int nodes[] = {0, 1, 77}, pids[3];
    int result = bproc_vrfork(3, nodes, pids);
    if (result >= 0 && result < 3) _exit(20 + result);
    CHECK(result == 3 && pids[0] > 0 && pids[1] > 0 && pids[2] < 0);
    CHECK(status_of(pids[1]) == 21 << 8);
    CHECK(status_of(pids[0]) == 20 << 8);
    expect_no_children();
    int pid = bproc_rfork(1);
    if (pid == 0) {
        (void)raise(SIGKILL);
        _exit(1);
    }
    CHECK(pid > 0);
    CHECK(status_of(pid) == SIGKILL);
    expect_no_children();
}

// Output is there when the end of its rank is.
static void output(void) {
    int ends[2], nodes[] = {0, 1, 0}, pids[3], saved = dup(1);
    char *argv[] = {self, (char *)"rank", (char *)"say", (char *)"word", NULL};
    CHECK(pipe(ends) == 0);
    fflush(stdout);
    (void)dup2(ends[1], 1);
    CHECK(bproc_vexecmove(3, nodes, pids, self, argv, environ) == 3);
    (void)dup2(saved, 1);
    for (int i = 0; i < 3; i++) CHECK(status_of(pids[i]) == 0);
    char text[64] = "";
    close(ends[1]);
    size_t length = 0;
    ssize_t piece;
    while ((piece = read(ends[0], text + length, sizeof text - 1 - length)) > 0) {
        length += (size_t)piece;
    }
    CHECK(strcmp(text, "word\nword\nword\n") == 0);
}

// ---- Claims ----

static void say(int daemon, uint16_t kind, const void *body, size_t byte_count, int attachment) {
    char bytes[4096];
    struct bproc_local_header header = {.magic = BPROC_LOCAL_MAGIC,
                                        .version = BPROC_LOCAL_VERSION,
                                        .kind = kind,
                                        .body_bytes = (uint32_t)byte_count};
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, body, byte_count);
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.head = {.cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS,
                          .cmsg_len = CMSG_LEN(sizeof(int))}};
    memcpy(CMSG_DATA(&control.head), &attachment, sizeof attachment);
    struct iovec part = {bytes, sizeof header + byte_count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (attachment >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    CHECK(sendmsg(daemon, &message, MSG_NOSIGNAL) == (ssize_t)part.iov_len);
}

static void hear(int daemon, uint16_t kind, void *body, size_t byte_count) {
    struct bproc_local_header header = {0};
    CHECK(recv(daemon, &header, sizeof header, MSG_WAITALL) == sizeof header);
    CHECK(header.kind == kind && header.body_bytes >= byte_count);
    char bytes[4096];
    if (header.kind != kind || header.body_bytes > sizeof bytes) return;
    CHECK(recv(daemon, bytes, header.body_bytes, MSG_WAITALL) == (ssize_t)header.body_bytes);
    memcpy(body, bytes, byte_count);
}

// What a daemon answers to a launch of two ranks under these numbers: an errno.
static int claim(int image, int32_t first, int32_t second) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", getenv("BPROC_SOCKET"));
    int daemon = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(daemon, (struct sockaddr *)&address, sizeof address) == 0);
    struct bproc_local_hello hello = {.protocol_version = BPROC_LOCAL_VERSION, .architecture = 4};
    struct bproc_local_welcome welcome;
    say(daemon, BPROC_LOCAL_HELLO, &hello, sizeof hello, -1);
    hear(daemon, BPROC_LOCAL_WELCOME, &welcome, sizeof welcome);
    struct {
        struct bproc_local_launch launch;
        int32_t nodes[2], processes[2];
        char names[2];
    } body = {.launch = {.rank_count = 2,
                         .flags = BPROC_LOCAL_LAUNCH_PROCESSES,
                         .directory_bytes = 1,
                         .command_bytes = 1},
              .nodes = {0, 1},
              .processes = {first, second},
              .names = "/x"};
    size_t byte_count = sizeof body.launch + sizeof body.nodes + sizeof body.processes + 2;
    say(daemon, BPROC_LOCAL_LAUNCH, &body, byte_count, image);
    struct bproc_local_refused refused = {0};
    hear(daemon, BPROC_LOCAL_REFUSED, &refused, sizeof refused);
    close(daemon);
    return refused.error;
}

// Numbers of processes that are none, are another user's, or are one and the same.
static void claims(void) {
    char *argv[] = {self, (char *)"rank", (char *)"stay", (char *)"", NULL};
    int image = bproc_capture(self, argv, environ, BPROC_CAPTURE_AT_ENTRY, NULL);
    CHECK(image >= 0);
    CHECK(claim(image, getpid(), getpid()) == EINVAL);
    CHECK(claim(image, getpid(), 0) == EINVAL);
    CHECK(claim(image, getpid(), -1) == EINVAL);
    CHECK(claim(image, 1 << 23, getpid()) == EINVAL);
    CHECK(claim(image, getpid(), (1 << 23) - 1) == EPERM);
    if (getuid() != 0) CHECK(claim(image, getpid(), 1) == EPERM);
}

static void fork_and_wait(int node) {
    for (int i = 0; i < 40; i++) {
        int pid = bproc_rfork(node);
        if (pid == 0) _exit(0);
        CHECK(pid > 0 && status_of(pid) == 0);
    }
}

// A process and one that it has forked here make ghosts at the same time: each has its own, and
// nobody has the servers of any.
static void relatives(void) {
    pid_t relative = fork();
    if (relative == 0) {
        fork_and_wait(1);
        CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
        _exit(failures);
    }
    fork_and_wait(0);
    int status = -1;
    CHECK(waitpid(-1, &status, __WALL) == relative && status == 0);
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
}

// Tells the pids and the statuses of ranks that stay: the test ends them.
static void family(void) {
    int nodes[] = {0, 1}, pids[2];
    CHECK(start_ranks(2, nodes, pids, "stay", "") == 2);
    CHECK(pids[0] > 0 && pids[1] > 0);
    printf("ready\n");
    fflush(stdout);
    printf("%d %d\n", status_of(pids[0]), status_of(pids[1]));
    // The cause, while there is a master.
    printf("lost %d %d\n", bproc_lostnode(pids[0]), bproc_lostnode(pids[1]));
    printf("cause %d %d\n", bproc_lostcause(pids[0]), bproc_lostcause(pids[1]));
}

static const struct test_case cases[] = {
    {"statuses", statuses}, {"place", place},     {"signals", signals}, {"stops", stops},
    {"mirror", mirror},     {"storm", storm},
    {"any", any},           {"failures", failures_case}, {"ignored", ignored},
    {"threads", threads},   {"group", group},     {"server", server},   {"forks", forks},
    {"output", output},     {"claims", claims},   {"family", family},
    {"relatives", relatives},
};

int main(int argc, char *argv[]) {
    if (argc > 2 && strcmp(argv[1], "rank") == 0) return rank(argv);
    snprintf(self, sizeof self, "%s", argv[0]);
    snprintf(folder, sizeof folder, "%s", argc > 2 ? argv[2] : "/tmp");
    return argc < 2 ? 2 : run_case(cases, sizeof cases / sizeof *cases, argv[1]);
}
