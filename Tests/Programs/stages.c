// A launch that is stopped at a stage, where one of those who take part in it is killed.
// stages CALL STAGE VICTIM FOLDER MASTER SLAVE0 SLAVE1 SLAVE2: what comes of it must be what the
// table says. stages list: the table, a line for each CALL STAGE VICTIM.
//
// Two processes: the caller, and this one, which waits for the stage, kills, lets all go on and
// looks at the outcome. The library's own calls of sendmsg and recvmsg come by here, so that the
// caller stops before it sends a message of a kind; the stages of nodes are those in which the
// kernel shows a rank's process waiting, or are reached with a slave that is stopped. The ranks are
// this program again, or forks: they wait for the file "go", or "go" and their rank, and end
// with 7.
#define _GNU_SOURCE
#include <bproc_local.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 3, STATUS = 7 << 8, PATIENCE_SECONDS = 30 };

// ---- The table ----

enum stage {
    CONNECTED, // before hello
    CAPTURING, // the capture helper runs, and has not been told of the program
    HELPED,    // the ghost helper runs, and has not been asked for ghosts
    MADE,      // the ghosts are made, and nothing has been sent
    ON_ITS_WAY, // node 1 has not got the image, node 0 has
    RESTORER,  // every rank is its user's, and waits for a descriptor, before the image is mapped
    HELD,      // the rank on node 0 is mapped and placed, and waits for the one on node 1
    ANSWERED,  // all ranks run, and are not the caller's children
    ADOPTED,   // they are, and it does not know them
    RUNNING,   // it does
    ENDING,    // the rank on node 1 has ended, and its ghost does not know
    STAGES,
};

// A helper is the capture's, or the one that holds the ghosts.
enum victim { GHOST, HELPER, SERVER, SLAVE, RANK, CALLER, MASTER, VICTIMS };

enum outcome {
    NEVER,      // this victim is not there at this stage
    ALL_RIGHT,
    ONE_KILLED, // all begin; the victim's rank ends by SIGKILL, the others right
    ONE_LOST,   // the victim's rank does not begin
    ALL_KILLED,
    OTHERS_KILLED, // the rank that has ended is right, SIGKILL for the others
    NONE,       // the call fails: there was never a child
    NOBODY,     // the caller is dead, and no rank lives
    ORPHANS,    // the caller is dead, and its ranks live on
};

static const char *const stage_names[] = {"connected", "capturing", "helped",   "made",
                                          "way",       "restorer",  "held",     "answered",
                                          "adopted",   "running",   "ending"};
static const char *const victim_names[] = {"ghost", "helper", "server", "slave",
                                           "rank",  "caller", "master"};

static const enum outcome table[STAGES][VICTIMS] = {
    [CONNECTED] = {[SLAVE] = ONE_LOST, [CALLER] = NOBODY, [MASTER] = NONE},
    [CAPTURING] = {[HELPER] = NONE, [SLAVE] = ONE_LOST, [CALLER] = NOBODY, [MASTER] = NONE},
    [HELPED] = {[HELPER] = NONE, [SLAVE] = ONE_LOST, [CALLER] = NOBODY, [MASTER] = NONE},
    [MADE] = {ONE_KILLED, NONE, NONE, ONE_LOST, NEVER, NOBODY, NONE},
    [ON_ITS_WAY] = {ONE_KILLED, NONE, NONE, ONE_LOST, ONE_KILLED, NOBODY, NONE},
    [RESTORER] = {ONE_KILLED, NONE, NONE, ONE_LOST, ONE_LOST, NOBODY, NONE},
    [HELD] = {ONE_KILLED, NONE, NONE, ONE_LOST, ONE_KILLED, NOBODY, NONE},
    [ANSWERED] = {ONE_KILLED, NONE, NONE, ONE_KILLED, ONE_KILLED, NOBODY, ALL_KILLED},
    [ADOPTED] = {ONE_KILLED, NEVER, ALL_KILLED, ONE_KILLED, ONE_KILLED, NOBODY, ALL_KILLED},
    [RUNNING] = {ONE_KILLED, NEVER, ALL_KILLED, ONE_KILLED, ONE_KILLED, ORPHANS, ALL_KILLED},
    [ENDING] = {ONE_KILLED, NEVER, ALL_KILLED, ALL_RIGHT, NEVER, ORPHANS, OTHERS_KILLED},
};

enum call { VEXECMOVE, VRFORK, JOB, CALLS };
static const char *const call_names[] = {"vexecmove", "vrfork", "job"};

static enum outcome outcome_of(enum call call, enum stage stage, enum victim victim) {
    // Without ghosts a job's ranks are nobody's children, which is no failure.
    if (call == JOB && stage == HELPED && victim == HELPER) return NEVER;
    // A fork takes its image itself.
    if (call == VRFORK && stage == CAPTURING) return NEVER;
    return table[stage][victim];
}

// ---- The caller ----

static char self[256], folder[200];
static int telling[2], going[2];
static int wanted_kind; // of the message before which it stops; 0: none

struct news {
    enum { GHOSTS, STOPPED, OVER } what;
    int result, error;
    int pids[RANKS], statuses[RANKS];
};

static void tell(const struct news *news) {
    if (write(telling[1], news, sizeof *news) != sizeof *news) _exit(100);
}

static void stop_here(void) {
    char byte;
    wanted_kind = 0;
    tell(&(struct news){.what = STOPPED});
    if (read(going[0], &byte, 1) != 1) _exit(101);
}

// What the library hands to the kernel begins with a header; more messages may stand behind it.
static bool holds(const void *bytes, size_t byte_count, int kind) {
    const char *at = bytes;
    struct bproc_local_header header;
    while (byte_count >= sizeof header) {
        memcpy(&header, at, sizeof header);
        if (header.magic != BPROC_LOCAL_MAGIC) return false;
        if (header.kind == kind) return true;
        size_t whole = sizeof header + header.body_bytes;
        if (whole > byte_count) return false;
        at += whole;
        byte_count -= whole;
    }
    return false;
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    const struct iovec *part = message->msg_iov;
    if (wanted_kind && holds(part->iov_base, part->iov_len, wanted_kind)) stop_here();
    return syscall(SYS_sendmsg, socket, message, flags);
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags) {
    ssize_t count = syscall(SYS_recvmsg, socket, message, flags);
    struct bproc_local_header header;
    const char *bytes = message->msg_iov->iov_base;
    size_t before = sizeof header + sizeof(struct bproc_local_ghosts_made);
    if (count < (ssize_t)(before + RANKS * sizeof(int))) return count;
    memcpy(&header, bytes, sizeof header);
    if (header.magic == BPROC_LOCAL_MAGIC && header.kind == BPROC_LOCAL_GHOSTS_MADE) {
        struct news news = {.what = GHOSTS};
        memcpy(news.pids, bytes + before, sizeof news.pids);
        tell(&news);
    }
    return count;
}

static _Noreturn void be_rank(const char *go, int rank) {
    const struct timespec a_while = {.tv_nsec = 2000000};
    char own[NAME_MAX];
    snprintf(own, sizeof own, "%s%d", go, rank);
    while (access(go, F_OK) < 0 && access(own, F_OK) < 0) (void)nanosleep(&a_while, NULL);
    _exit(STATUS >> 8);
}

static int launch_job(const struct bproc_io_t *io, int iolen, int *nodes, int *pids,
                      char *const argv[]) {
    extern char **environ;
    int image = bproc_capture(self, argv, environ, BPROC_CAPTURE_AT_ENTRY, NULL);
    struct bproc_job_request request = {.struct_bytes = sizeof request,
                                        .image = image,
                                        .rank_count = RANKS,
                                        .nodes = nodes,
                                        .command = self,
                                        .io = io,
                                        .io_count = iolen,
                                        .flags = BPROC_JOB_CHILDREN};
    bproc_job_t *job = NULL;
    if (image < 0 || bproc_job_launch(&request, &job) < 0) return -1;
    if (bproc_job_wait_started(job) < 0) {
        int error = errno;
        bproc_job_close(job);
        errno = error;
        return -1;
    }
    memcpy(pids, bproc_job_pids(job), RANKS * sizeof *pids);
    if (bproc_job_has_children(job) == 1) return RANKS;
    // They could not become children any more: the job has ended, and says why.
    struct bproc_job_event event = {0};
    while (event.kind != BPROC_EVENT_END && bproc_job_next(job, &event) >= 0) continue;
    int error = event.error;
    bproc_job_close(job);
    errno = error;
    return -1;
}

static int run_call(enum call call, enum stage stage, const char *go, int *pids) {
    extern char **environ;
    int nodes[RANKS] = {0, 1, 2}, iolen = 0;
    char *argv[] = {self, (char *)"rank", (char *)go, NULL};
    struct bproc_io_t io = {.fd = 0, .type = BPROC_IO_FILE};
    if (stage == RESTORER) {
        snprintf(io.d.file.name, sizeof io.d.file.name, "%s/fifo", folder);
        iolen = 1;
    } else if (stage == HELD) {
        snprintf(io.d.file.name, sizeof io.d.file.name, "/dev/null");
        io.flags = BPROC_IO_DELAY;
        iolen = 1;
    }
    if (call == JOB) return launch_job(&io, iolen, nodes, pids, argv);
    if (call == VEXECMOVE) {
        return bproc_vexecmove_io(RANKS, nodes, pids, &io, iolen, self, argv, environ);
    }
    int result = bproc_vrfork_io(RANKS, nodes, pids, &io, iolen);
    if (result >= 0 && result < RANKS) be_rank(go, result);
    return result;
}

static const int kinds[STAGES] = {
    [CONNECTED] = BPROC_LOCAL_HELLO, [CAPTURING] = BPROC_LOCAL_CAPTURE,
    [HELPED] = BPROC_LOCAL_GHOSTS,   [MADE] = BPROC_LOCAL_LAUNCH,
    [ANSWERED] = BPROC_LOCAL_GHOSTS_ADOPT,
    [ADOPTED] = BPROC_LOCAL_GHOSTS_ADOPTED,
};

static _Noreturn void call_and_wait(enum call call, enum stage stage, const char *go) {
    struct news news = {.what = OVER, .pids = {0}};
    // The first connection of vexecmove and of a job is the capture's: it needs the helper alone.
    (void)setpgid(0, 0);
    wanted_kind = kinds[stage];
    (void)setenv("BPROC_RANK", "XXXXXXX", 1);
    news.result = run_call(call, stage, go, news.pids);
    news.error = errno;
    if (stage == RUNNING || stage == ENDING) stop_here();
    for (int i = 0; i < RANKS; i++) {
        news.statuses[i] = -1;
        if (news.result == RANKS && news.pids[i] > 0) {
            (void)waitpid(news.pids[i], &news.statuses[i], 0);
        }
    }
    if (waitpid(-1, NULL, __WALL) != -1 || errno != ECHILD) news.result = -2;
    tell(&news);
    _exit(0);
}

// ---- Processes, as /proc shows them ----

// Sleeps a moment; false when what began at this time has lasted too long.
static bool waits_on(time_t begin) {
    struct timespec now;
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < begin + PATIENCE_SECONDS;
}

static time_t now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec;
}

static bool read_proc(int pid, const char *name, char *text, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? -1 : read(file, text, size - 1);
    if (file >= 0) close(file);
    text[count < 0 ? 0 : count] = 0;
    for (ssize_t i = 0; i < count; i++) {
        if (text[i] == 0) text[i] = ' ';
    }
    return count > 0;
}

static int number_in(int pid, const char *name) {
    char text[4096];
    const char *line = read_proc(pid, "status", text, sizeof text) ? strstr(text, name) : NULL;
    return line ? atoi(line + strlen(name)) : -1;
}

static int parent_of(int pid) { return number_in(pid, "\nPPid:\t"); }

static bool is_gone(int pid) {
    char text[4096];
    return !read_proc(pid, "status", text, sizeof text) || strstr(text, "\nState:\tZ") != NULL;
}

// The first process for which this holds; 0: there is none.
static int find(bool (*matches)(int pid, int argument), int argument) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    int found = 0;
    while (found == 0 && (entry = readdir(processes))) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && matches(pid, argument)) found = pid;
    }
    closedir(processes);
    return found;
}

static bool is_rank(int pid, int slave) {
    char name[64];
    return parent_of(pid) == slave && read_proc(pid, "comm", name, sizeof name) &&
           strcmp(name, "bproc-init\n") != 0 && !is_gone(pid);
}

// A helper that this caller has started: it is of its process group.
static bool is_helper(int pid, int caller) {
    char text[4096];
    return getpgid(pid) == caller && read_proc(pid, "cmdline", text, sizeof text) &&
           strstr(text, " --helper=") != NULL && !is_gone(pid);
}

// The system call in which a process waits; -1: none.
static int call_in(int pid) {
    char text[256];
    return read_proc(pid, "syscall", text, sizeof text) && text[0] >= '0' && text[0] <= '9'
               ? atoi(text)
               : -1;
}

// ---- The other side ----

static int master, slaves[RANKS], ghosts[RANKS];
static int failures;

static void wrong(const char *what, int number) {
    printf("WRONG: %s (%d)\n", what, number);
    failures++;
}

// Waits for news of the caller; false: it has ended without any, or hangs.
static bool hear(struct news *news) {
    struct pollfd entry = {telling[0], POLLIN, 0};
    if (poll(&entry, 1, PATIENCE_SECONDS * 1000) == 1 &&
        read(telling[0], news, sizeof *news) == (ssize_t)sizeof *news) {
        return true;
    }
    wrong("no word of the caller", entry.revents);
    return false;
}

static bool rank_waits(int slave, int first, int second) {
    int pid = find(is_rank, slaves[slave]);
    int call = pid ? call_in(pid) : -1;
    return call >= 0 && (call == first || call == second);
}

static bool is_reached(enum stage stage) {
    switch (stage) {
    case ON_ITS_WAY: return find(is_rank, slaves[0]) != 0;
    case RESTORER:
        return rank_waits(0, SYS_open, SYS_openat) && rank_waits(1, SYS_open, SYS_openat) &&
               rank_waits(2, SYS_open, SYS_openat);
    case HELD: return rank_waits(0, SYS_read, SYS_recvfrom);
    default: return true;
    }
}

// Whether it is a stage before which the caller stops by itself.
static bool stops_caller(enum stage stage) {
    return kinds[stage] != 0 || stage == RUNNING || stage == ENDING;
}

static bool await_stage(enum stage stage) {
    struct news news;
    bool waits_for_caller = stops_caller(stage);
    for (;;) {
        if (!hear(&news)) return false;
        if (news.what == GHOSTS) memcpy(ghosts, news.pids, sizeof ghosts);
        if (news.what == OVER) {
            wrong("the stage was not reached, errno", news.error);
            return false;
        }
        if (news.what == (waits_for_caller ? STOPPED : GHOSTS)) break;
    }
    time_t begin = now();
    while (!is_reached(stage)) {
        if (waits_on(begin)) continue;
        wrong("the stage was not reached", (int)stage);
        return false;
    }
    return true;
}

// The rank whose process, ghost or node is the victim: where node 1 is stopped it has no process.
static int rank_of(enum stage stage, enum victim victim) {
    return victim == RANK && (stage == ON_ITS_WAY || stage == HELD) ? 0 : 1;
}

static int pid_of(enum stage stage, enum victim victim, int caller) {
    switch (victim) {
    case GHOST: return ghosts[1];
    case HELPER:
        return stage <= HELPED ? find(is_helper, caller) : parent_of(ghosts[0]);
    case SERVER: return number_in(ghosts[0], "\nTracerPid:\t");
    case SLAVE: return slaves[1];
    case RANK: return find(is_rank, slaves[rank_of(stage, victim)]);
    case CALLER: return caller;
    case MASTER: return master;
    default: return 0;
    }
}

static void await_end(const char *what, int pid) {
    time_t begin = now();
    while (!is_gone(pid)) {
        if (waits_on(begin)) continue;
        wrong(what, pid);
        return;
    }
}

static void expect_no_ranks(void) {
    time_t begin = now();
    for (int i = 0; i < RANKS; i++) {
        while (!is_gone(slaves[i]) && find(is_rank, slaves[i])) {
            if (waits_on(begin)) continue;
            wrong("a rank lives on a node", i);
            break;
        }
    }
}

static void let_ranks_end(const char *go) { close(open(go, O_WRONLY | O_CREAT, 0600)); }

static bool is_right(int rank, const struct news *news) {
    return news->pids[rank] > 0 && news->statuses[rank] == STATUS;
}

static bool is_killed(int rank, const struct news *news) {
    return news->pids[rank] > 0 && news->statuses[rank] == SIGKILL;
}

// What the manual pages say of a rank whose node or process dies before it begins.
static bool is_lost(int rank, const struct news *news) {
    int error = -news->pids[rank];
    return error == BE_NODEDOWN || error == BE_SLAVEDIED || error == EIO;
}

static void judge(enum stage stage, enum outcome outcome, int victim, const struct news *news) {
    if (outcome == NONE) {
        if (news->result != -1) wrong("the call has not failed", news->result);
        bool is_documented = news->error == ECONNRESET || news->error == ECHILD ||
                             news->error == EBUSY;
        if (stage == CAPTURING) is_documented |= news->error == EIO;
        if (!is_documented) wrong("errno", news->error);
        return;
    }
    if (news->result != RANKS) wrong("the call, or a child too many", news->error);
    for (int rank = 0; rank < RANKS; rank++) {
        bool as_it_should =
            outcome == ALL_KILLED                        ? is_killed(rank, news)
            : outcome == OTHERS_KILLED && rank != victim ? is_killed(rank, news)
            : outcome == ONE_KILLED && rank == victim    ? is_killed(rank, news)
            : outcome == ONE_LOST && rank == victim      ? is_lost(rank, news)
                                                         : is_right(rank, news);
        if (as_it_should) continue;
        printf("rank %d: pid %d, status %d\n", rank, news->pids[rank], news->statuses[rank]);
        wrong("a rank's end", rank);
    }
}

// ENDING: the server does not hear of the end of the rank on node 1, of which the master knows.
static void begin_ending(int server) {
    int rank = find(is_rank, slaves[1]);
    (void)kill(server, SIGSTOP);
    char go[NAME_MAX];
    snprintf(go, sizeof go, "%s/go1", folder);
    let_ranks_end(go);
    await_end("the rank on node 1", rank);
    time_t begin = now();
    while (bproc_pidnode(ghosts[1]) >= 0 && waits_on(begin)) continue;
}

static void run(enum call call, enum stage stage, enum victim victim) {
    char go[NAME_MAX], fifo[NAME_MAX];
    enum outcome outcome = outcome_of(call, stage, victim);
    bool stops_slave = stage == ON_ITS_WAY || stage == HELD;
    snprintf(go, sizeof go, "%s/go", folder);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    (void)mkfifo(fifo, 0600);
    if (stops_slave) (void)kill(slaves[1], SIGSTOP);
    int caller = fork();
    if (caller == 0) {
        close(telling[0]);
        close(going[1]);
        call_and_wait(call, stage, go);
    }
    close(telling[1]);
    close(going[0]);
    bool is_there = await_stage(stage);
    int server = number_in(ghosts[0], "\nTracerPid:\t");
    if (is_there && stage == ENDING) begin_ending(server);
    // A process has its arguments a moment after it has begun.
    time_t begin = now();
    int pid = 0;
    while (is_there && (pid = pid_of(stage, victim, caller)) <= 0 && waits_on(begin)) continue;
    if (pid <= 0) {
        wrong("no such victim", pid);
    } else if (kill(pid, SIGKILL) == 0 && victim != GHOST) {
        // A ghost of a stopped server is a zombie of its tracer's first.
        if (victim != RANK || stage != HELD) await_end("the victim lives", pid);
    }
    if (stops_slave) (void)kill(slaves[1], SIGCONT);
    if (stage == ENDING) (void)kill(server, SIGCONT);
    bool shall_end = outcome != NONE && outcome != NOBODY && outcome != ALL_KILLED;
    int writing = -1;
    if (stage == RESTORER && outcome != NOBODY) writing = open(fifo, O_RDWR | O_NONBLOCK);
    if (outcome == ORPHANS) {
        for (int i = 0; i < RANKS; i++) {
            bool has_ended = stage == ENDING && i == 1;
            if (!has_ended && !find(is_rank, slaves[i])) wrong("an orphan has not lived", i);
        }
    }
    if (shall_end) let_ranks_end(go);
    if (victim == CALLER) {
        (void)waitpid(caller, NULL, 0);
        expect_no_ranks();
    } else if (is_there) {
        struct news news = {.what = GHOSTS};
        if (stops_caller(stage)) (void)!write(going[1], "", 1);
        while (hear(&news) && news.what != OVER) continue;
        if (news.what == OVER) judge(stage, outcome, rank_of(stage, victim), &news);
        if (news.what == OVER) (void)waitpid(caller, NULL, 0);
        expect_no_ranks();
    }
    if (failures) (void)kill(caller, SIGKILL);
    if (writing >= 0) close(writing);
}

static int index_of(const char *name, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) return i;
    }
    exit(64);
}

static int list(void) {
    for (int call = 0; call < CALLS; call++) {
        for (int stage = 0; stage < STAGES; stage++) {
            for (int victim = 0; victim < VICTIMS; victim++) {
                if (outcome_of((enum call)call, (enum stage)stage, (enum victim)victim) == NEVER) {
                    continue;
                }
                printf("%s %s %s\n", call_names[call], stage_names[stage], victim_names[victim]);
            }
        }
    }
    return 0;
}

int main(int argc, char *argv[]) {
    snprintf(self, sizeof self, "%s", argv[0]);
    const char *rank = getenv("BPROC_RANK");
    if (argc == 3 && strcmp(argv[1], "rank") == 0) be_rank(argv[2], rank ? atoi(rank) : 0);
    if (argc == 2 && strcmp(argv[1], "list") == 0) return list();
    if (argc != 9) return 64;
    int call = index_of(argv[1], call_names, CALLS);
    int stage = index_of(argv[2], stage_names, STAGES);
    int victim = index_of(argv[3], victim_names, VICTIMS);
    snprintf(folder, sizeof folder, "%s", argv[4]);
    master = atoi(argv[5]);
    for (int i = 0; i < RANKS; i++) slaves[i] = atoi(argv[6 + i]);
    (void)signal(SIGPIPE, SIG_IGN);
    if (pipe2(telling, O_CLOEXEC) < 0 || pipe2(going, O_CLOEXEC) < 0) return 65;
    run((enum call)call, (enum stage)stage, (enum victim)victim);
    if (failures == 0) printf("right\n");
    return failures != 0;
}
