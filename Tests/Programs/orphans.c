/* Children on nodes whose caller is killed: they live on as orphans do, or end with it if that was
   asked for. orphans CASE FOLDER; or, as what is started on nodes, orphans note PREFIX and orphans
   talk; or orphans caller, which starts a rank on node 1, says its number, and ends.

   The process itself is the one that orphans go to; the callers are its children. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 2, NAME = 300, PATIENCE = 30000 };

static char self[256], folder[200];
static char rank_variable[] = "BPROC_RANK=XXXXXXX";
static char *environment[] = {rank_variable, NULL};
static int nodes[RANKS] = {0, 1};

/* ---- A rank ---- */

/* Notes the signals that it gets, until SIGTERM. */
static void note_signals(const char *prefix, int rank) {
    const int numbers[] = {SIGHUP, SIGUSR1, SIGTERM, SIGCONT};
    char name[NAME];
    snprintf(name, sizeof name, "%s%d", prefix, rank);
    reports = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) (void)signal(numbers[i], report);
    report(0);
    for (;;) (void)pause();
}

static void talk(void) {
    (void)signal(SIGPIPE, SIG_DFL);
    for (;;) {
        if (write(1, "talk\n", 5) != 5) _exit(9);
        pause_briefly();
    }
}

/* ---- A caller ---- */

enum way { VEXECMOVE, VRFORK, RFORK, CHILDREN, WAYS, JOB };

static void start_forks(enum way way, bool ends, const char *prefix, int *pids) {
    int flags = ends ? BPROC_END_WITH_CALLER : 0;
    if (way == VRFORK) {
        int result = ends ? _bproc_vrfork(RANKS, nodes, pids, flags)
                          : bproc_vrfork(RANKS, nodes, pids);
        if (result >= 0 && result < RANKS) note_signals(prefix, result);
        return;
    }
    for (int i = 0; i < RANKS; i++) {
        pids[i] = ends ? _bproc_rfork(nodes[i], flags) : bproc_rfork(nodes[i]);
        if (pids[i] == 0) note_signals(prefix, i);
    }
}

static bproc_job_t *start_job(unsigned int flags, char *const argv[], int *pids) {
    struct bproc_job_request request;
    bproc_job_t *job = NULL;
    memset(&request, 0, sizeof request);
    request.struct_bytes = sizeof request;
    request.image = bproc_capture(self, argv, environment, BPROC_CAPTURE_AT_ENTRY, NULL);
    request.rank_count = RANKS;
    request.nodes = nodes;
    request.command = self;
    request.io_count = BPROC_JOB_FORWARD;
    request.flags = flags;
    if (bproc_job_launch(&request, &job) < 0 || bproc_job_wait_started(job) < 0) return NULL;
    close(request.image);
    memcpy(pids, bproc_job_pids(job), RANKS * sizeof *pids);
    return job;
}

static bproc_job_t *start(enum way way, bool ends, const char *prefix, int *pids) {
    char *argv[] = {self, (char *)"note", (char *)prefix, NULL};
    unsigned int flags = (ends ? BPROC_JOB_END_WITH_CALLER : 0) |
                         (way == CHILDREN ? BPROC_JOB_CHILDREN : 0);
    if (way == CHILDREN || way == JOB) return start_job(flags, argv, pids);
    if (way != VEXECMOVE) {
        start_forks(way, ends, prefix, pids);
    } else if (ends) {
        (void)_bproc_vexecmove_io(RANKS, nodes, pids, NULL, 0, BPROC_END_WITH_CALLER, self, argv,
                                  environment);
    } else {
        (void)bproc_vexecmove_io(RANKS, nodes, pids, NULL, 0, self, argv, environment);
    }
    return NULL;
}

static int telling[2];

static void tell(const int *pids) {
    if (write(telling[1], pids, RANKS * sizeof *pids) < 0) _exit(1);
}

static void hear(int *pids) {
    CHECK(read(telling[0], pids, RANKS * sizeof *pids) == RANKS * (ssize_t)sizeof *pids);
    CHECK(pids[0] > 0 && pids[1] > 0);
}

static void stay(void) {
    for (;;) (void)pause();
}

/* ---- What becomes of its ranks ---- */

static void name_notes(char *name, const char *what, int way, bool ends) {
    snprintf(name, NAME - 4, "%s/%s-%d-%d-", folder, what, way, ends);
}

static bool has_noted(const char *prefix, int rank, int number) {
    char name[NAME], text[4096] = "\n", line[16];
    snprintf(name, sizeof name, "%s%d", prefix, rank);
    snprintf(line, sizeof line, "\n%d\n", number);
    int file = open(name, O_RDONLY);
    ssize_t count = file < 0 ? -1 : read(file, text + 1, sizeof text - 2);
    if (file >= 0) close(file);
    text[count > 0 ? count + 1 : 1] = 0;
    return strstr(text, line) != NULL;
}

static void await_notes(const char *prefix, int number) {
    for (int rank = 0; rank < RANKS; rank++) {
        int tries = 0;
        while (!has_noted(prefix, rank, number) && tries++ < PATIENCE) pause_briefly();
        CHECK(tries < PATIENCE);
    }
}

static int parent_of(int pid) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int file = open(path, O_RDONLY);
    ssize_t count = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (count <= 0) return -1;
    text[count] = 0;
    return atoi(strrchr(text, ')') + 4);
}

static bool is_listed(int pid, int node) {
    struct bproc_proc_info_t *list = NULL;
    bool found = false;
    int count = bproc_proclist(node, &list);
    for (int i = 0; i < count; i++) found |= list[i].pid == pid;
    free(list);
    return found;
}

/* They are there, are listed, and get what their ghosts are sent. */
static void expect_living(const char *prefix, const int *pids) {
    for (int i = 0; i < RANKS; i++) {
        CHECK(is_listed(pids[i], nodes[i]));
        CHECK(parent_of(pids[i]) == getpid());
        CHECK(kill(pids[i], SIGUSR1) == 0);
    }
    await_notes(prefix, SIGUSR1);
}

static void expect_statuses(const int *pids, int wanted) {
    for (int i = 0; i < RANKS; i++) {
        int status = -1, tries = 0;
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(status == wanted);
        while (is_listed(pids[i], nodes[i]) && tries++ < PATIENCE) pause_briefly();
        CHECK(tries < PATIENCE);
    }
}

static void end_by_signal(const int *pids) {
    for (int i = 0; i < RANKS; i++) CHECK(kill(pids[i], SIGTERM) == 0);
    expect_statuses(pids, 5 << 8);
}

static void end_caller(pid_t caller) {
    int status = -1;
    CHECK(kill(caller, SIGKILL) == 0);
    CHECK(waitpid(caller, &status, 0) == caller && status == SIGKILL);
}

/* ---- Cases ---- */

static pid_t start_caller(enum way way, bool ends, const char *prefix, int *pids) {
    pid_t caller = fork();
    if (caller == 0) {
        (void)start(way, ends, prefix, pids);
        tell(pids);
        stay();
    }
    hear(pids);
    return caller;
}

static void living(void) {
    for (int way = 0; way < WAYS; way++) {
        char prefix[NAME];
        int pids[RANKS];
        name_notes(prefix, "living", way, false);
        pid_t caller = start_caller((enum way)way, false, prefix, pids);
        await_notes(prefix, 0);
        end_caller(caller);
        expect_living(prefix, pids);
        end_by_signal(pids);
    }
}

static void ending(void) {
    for (int way = 0; way < WAYS; way++) {
        char prefix[NAME];
        int pids[RANKS];
        name_notes(prefix, "ending", way, true);
        pid_t caller = start_caller((enum way)way, true, prefix, pids);
        await_notes(prefix, 0);
        end_caller(caller);
        expect_statuses(pids, SIGKILL);
    }
}

/* Two calls of one caller, each with what was asked for it. */
static void both(void) {
    char keeping[NAME], ended[NAME];
    int kept[RANKS], lost[RANKS];
    name_notes(keeping, "both", 0, false);
    name_notes(ended, "both", 0, true);
    pid_t caller = fork();
    if (caller == 0) {
        (void)start(VEXECMOVE, false, keeping, kept);
        (void)start(CHILDREN, true, ended, lost);
        tell(kept);
        tell(lost);
        stay();
    }
    hear(kept);
    hear(lost);
    await_notes(keeping, 0);
    end_caller(caller);
    expect_statuses(lost, SIGKILL);
    expect_living(keeping, kept);
    end_by_signal(kept);
}

/* A job without children that is closed, or whose caller is killed. */
static void jobs(void) {
    for (int round = 0; round < 4; round++) {
        bool ends = round & 1, is_closed = round & 2;
        char prefix[NAME];
        int pids[RANKS];
        name_notes(prefix, "jobs", round, ends);
        pid_t caller = is_closed ? 0 : start_caller(JOB, ends, prefix, pids);
        bproc_job_t *job = is_closed ? start(JOB, ends, prefix, pids) : NULL;
        await_notes(prefix, 0);
        if (is_closed) {
            bproc_job_close(job);
        } else {
            end_caller(caller);
        }
        for (int i = 0; i < RANKS && !ends; i++) {
            CHECK(is_listed(pids[i], nodes[i]));
            CHECK(bproc_kill(pids[i], SIGUSR1) == 0);
        }
        if (!ends) await_notes(prefix, SIGUSR1);
        for (int i = 0; i < RANKS; i++) {
            int tries = 0;
            if (!ends) CHECK(bproc_kill(pids[i], SIGTERM) == 0);
            while (is_listed(pids[i], nodes[i]) && tries++ < PATIENCE) pause_briefly();
            CHECK(tries < PATIENCE);
        }
    }
}

/* A process group that is left by the last who could let it go on, with a stopped member: the
   kernel sends SIGHUP and SIGCONT to its ghosts, and they pass them on. */
static void group(void) {
    char prefix[NAME];
    int pids[RANKS];
    name_notes(prefix, "group", 0, false);
    pid_t leader = fork();
    if (leader == 0) {
        (void)setsid();
        pid_t caller = fork();
        if (caller == 0) {
            int status = 0;
            (void)setpgid(0, 0);
            (void)start(VEXECMOVE, false, prefix, pids);
            // Stopped before it has its handlers it would be ended by the SIGHUP.
            await_notes(prefix, 0);
            (void)kill(pids[0], SIGSTOP);
            if (waitpid(pids[0], &status, WUNTRACED) != pids[0] || !WIFSTOPPED(status)) _exit(1);
            tell(pids);
            (void)raise(SIGKILL);
        }
        stay();
    }
    hear(pids);
    await_notes(prefix, SIGHUP);
    await_notes(prefix, SIGCONT);
    expect_living(prefix, pids);
    end_by_signal(pids);
    end_caller(leader);
}

static void read_talk(int file) {
    char text[5];
    for (int i = 0; i < 200; i++) CHECK(read(file, text, sizeof text) > 0);
}

/* Output goes where the caller's standard output went, and ends as a pipe that nobody reads. */
static void output(void) {
    int ends[2], pids[RANKS];
    char *argv[] = {self, (char *)"talk", NULL};
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    pid_t caller = fork();
    if (caller == 0) {
        (void)dup2(ends[1], 1);
        (void)bproc_vexecmove(RANKS, nodes, pids, self, argv, environment);
        tell(pids);
        stay();
    }
    close(ends[1]);
    hear(pids);
    end_caller(caller);
    read_talk(ends[0]);
    close(ends[0]);
    expect_statuses(pids, SIGPIPE);
}

/* What is forwarded over a job has no reader any more when its caller is gone. */
static void stream(void) {
    int pids[RANKS];
    char *argv[] = {self, (char *)"talk", NULL};
    pid_t caller = fork();
    if (caller == 0) {
        (void)start_job(BPROC_JOB_CHILDREN, argv, pids);
        tell(pids);
        stay();
    }
    hear(pids);
    end_caller(caller);
    expect_statuses(pids, SIGPIPE);
}

/* A caller that has moved on is there as long as its stand-in is. */
static void moved(void) {
    for (int round = 0; round < 2; round++) {
        char prefix[NAME], own[NAME];
        int pids[RANKS];
        name_notes(prefix, "moved", 0, round);
        name_notes(own, "own", 0, round);
        pid_t caller = fork();
        if (caller == 0) {
            (void)start(VEXECMOVE, round, prefix, pids);
            tell(pids);
            if (_bproc_move(1, BPROC_MOVE_ORPHANS) < 0) _exit(1);
            note_signals(own, 0);
        }
        hear(pids);
        for (int tries = 0; !has_noted(own, 0, 0) && tries < PATIENCE; tries++) pause_briefly();
        await_notes(prefix, 0);
        CHECK(has_noted(own, 0, 0));
        for (int i = 0; i < RANKS; i++) CHECK(kill(pids[i], SIGUSR1) == 0);
        await_notes(prefix, SIGUSR1);
        end_caller(caller);
        if (round) {
            expect_statuses(pids, SIGKILL);
        } else {
            expect_living(prefix, pids);
            end_by_signal(pids);
        }
    }
}

/* Plain forks on the caller's own machine, which vrfork makes of its own node's ranks. */
static void local(void) {
    int here[] = {BPROC_NODE_MASTER, 0}, pids[RANKS];
    char prefix[NAME];
    name_notes(prefix, "local", 0, true);
    pid_t caller = fork();
    if (caller == 0) {
        int rank = _bproc_vrfork(RANKS, here, pids, BPROC_END_WITH_CALLER);
        if (rank < 0) _exit(1);
        if (rank < RANKS) note_signals(prefix, rank);
        tell(pids);
        stay();
    }
    hear(pids);
    await_notes(prefix, 0);
    end_caller(caller);
    for (int i = 0; i < RANKS; i++) {
        int status = -1;
        CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == SIGKILL);
    }
}

/* Not one of the cases: the ranks are left to whom orphans go to on this machine. */
static int call_and_end(const char *prefix) {
    int pids[RANKS], both_on_one[RANKS] = {1, 1};
    memcpy(nodes, both_on_one, sizeof nodes);
    (void)start(VEXECMOVE, false, prefix, pids);
    await_notes(prefix, 0);
    printf("%d %d\n", pids[0], pids[1]);
    return 0;
}

static const struct test_case cases[] = {
    {"living", living}, {"ending", ending}, {"both", both},   {"jobs", jobs},   {"group", group},
    {"output", output}, {"stream", stream}, {"moved", moved}, {"local", local},
};

int main(int argc, char *argv[]) {
    const char *rank = getenv("BPROC_RANK");
    if (argc < 2) return 2;
    snprintf(self, sizeof self, "%s", argv[0]);
    if (strcmp(argv[1], "talk") == 0) talk();
    if (argc < 3) return 2;
    if (strcmp(argv[1], "note") == 0) note_signals(argv[2], rank ? atoi(rank) : 0);
    if (strcmp(argv[1], "caller") == 0) return call_and_end(argv[2]);
    snprintf(folder, sizeof folder, "%s", argv[2]);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0);
    CHECK(pipe2(telling, O_CLOEXEC) == 0);
    return run_case(cases, sizeof cases / sizeof *cases, argv[1]);
}
