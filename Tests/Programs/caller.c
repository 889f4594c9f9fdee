// A program that has images made of itself, in the middle of its work, and checks before and after
// that nothing has changed but what must: caller STATE-CALL [ARGUMENT].
//
//   dump FILE     the image into a file; the process goes on, and the file when it is run
//   rfork NODE    parent and child go on
//   move NODE     the process goes on there
//   journey N...  the process goes on on one node after the other
//   wait NODE     the process goes on there and waits for SIGUSR2
//   large NODE    a fork of a process with very many and very large mappings
//   family        sixteen children on two nodes, which wait for ever
//   local FILE    a fork on this node, with a file
//   chain N FILE  N times: dump, and execute what was dumped
//   sizes N       N dumps, all of the same size
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, HEAP_BYTES = 3 << 20, RESERVED = 1 << 30 };

static __thread int thread_value = 1;
static __thread char thread_zeros[500];
static int initialised[] = {1, 2, 3};
static unsigned char *heap, *old_break, *alternate, *hidden, *constant_page, *reserved, *shared;
static int (*code)(void);
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static volatile sig_atomic_t handled, handled_on_alternate;
static char directory[4096];
static double upward;
static int shared_file;

static void handle(int number, siginfo_t *information, void *context) {
    (void)context;
    volatile char here = 0;
    handled += number + (information != NULL ? 1000 : 0);
    uintptr_t at = (uintptr_t)&here, low = (uintptr_t)alternate;
    handled_on_alternate = at >= low && at < low + 65536;
}

static void *pages(size_t byte_count, int protection, int flags) {
    void *at = mmap(NULL, byte_count, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return at;
}

static void set_up_memory(void) {
    thread_value = 4711;
    memset(thread_zeros, 5, sizeof thread_zeros);
    initialised[1] = 22;
    heap = malloc(HEAP_BYTES);
    for (int i = 0; i < HEAP_BYTES; i++) heap[i] = (unsigned char)(i * 7 + i / 4096);
    old_break = sbrk(3 * PAGE);
    memset(old_break, 0x5b, 3 * PAGE);
    hidden = pages(PAGE, PROT_READ | PROT_WRITE, 0);
    memset(hidden, 0x77, PAGE);
    mprotect(hidden, PAGE, PROT_NONE);
    constant_page = pages(PAGE, PROT_READ | PROT_WRITE, 0);
    strcpy((char *)constant_page, "constant");
    mprotect(constant_page, PAGE, PROT_READ);
    static const unsigned char instructions[] = {0xb8, 42, 0, 0, 0, 0xc3}; // mov $42, %eax; ret
    unsigned char *page = pages(PAGE, PROT_READ | PROT_WRITE, 0);
    memcpy(page, instructions, sizeof instructions);
    mprotect(page, PAGE, PROT_EXEC);
    memcpy(&code, &page, sizeof code);
    reserved = pages(RESERVED, PROT_READ | PROT_WRITE, MAP_NORESERVE);
    reserved[RESERVED / 2] = 9;
    // A file that is shorter than its mapping, shared for reading only.
    shared_file = memfd_create("shared", MFD_CLOEXEC);
    CHECK(write(shared_file, "shared bytes", 12) == 12);
    shared = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, shared_file, 0);
    CHECK(shared != MAP_FAILED);
    close(shared_file);
}

static void set_up_kernel_state(void) {
    alternate = malloc(65536);
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536};
    CHECK(sigaltstack(&stack, NULL) == 0);
    struct sigaction action = {.sa_sigaction = handle,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(sigaction(SIGRTMIN + 4, &action, NULL) == 0);
    CHECK(signal(SIGWINCH, SIG_IGN) != SIG_ERR);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGHUP);
    sigaddset(&mask, SIGRTMIN + 9);
    CHECK(sigprocmask(SIG_SETMASK, &mask, NULL) == 0);
    umask(027);
    (void)setpriority(PRIO_PROCESS, 0, 3);
    (void)!chdir("/usr"); // which an empty root has not
    CHECK(getcwd(directory, sizeof directory) != NULL);
    CHECK(prctl(PR_SET_NAME, "caller-test") == 0);
    struct rlimit limit = {1 << 20, 1 << 20};
    CHECK(setrlimit(RLIMIT_CORE, &limit) == 0);
    CHECK(pthread_mutex_lock(&held) == 0);
    fesetround(FE_UPWARD);
    volatile double one = 1, three = 3;
    upward = one / three;
}

static void set_up(void) {
    set_up_memory();
    set_up_kernel_state();
}

static void *thread_body(void *argument) {
    return thread_value == 1 && thread_zeros[499] == 0 ? argument : NULL;
}

static void check_memory(void) {
    CHECK(thread_value == 4711 && thread_zeros[0] == 5 && thread_zeros[499] == 5);
    CHECK(initialised[1] == 22);
    int wrong = 0;
    for (int i = 0; i < HEAP_BYTES; i++) wrong += heap[i] != (unsigned char)(i * 7 + i / 4096);
    CHECK(wrong == 0);
    unsigned char *end = sbrk(0);
    CHECK(end >= old_break + 3 * PAGE && old_break[0] == 0x5b && old_break[3 * PAGE - 1] == 0x5b);
    void *more = sbrk(5 * PAGE);
    CHECK(more == end);
    if (more == end) memset(more, 1, 5 * PAGE);
    CHECK(sbrk(-5 * PAGE) == end + 5 * PAGE);
    for (int i = 1; i < 2000; i++) {
        char *piece = malloc((size_t)i * 100);
        CHECK(piece != NULL);
        if (!piece) return;
        memset(piece, i, (size_t)i * 100);
        free(piece);
    }
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(write(ends[1], hidden, 1) == -1 && errno == EFAULT);
    CHECK(write(ends[1], constant_page, 1) == 1 && !strcmp((char *)constant_page, "constant"));
    CHECK(read(ends[0], constant_page, 1) == -1 && errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    CHECK(mprotect(hidden, PAGE, PROT_READ) == 0 && hidden[0] == 0x77 && hidden[PAGE - 1] == 0x77);
    CHECK(mprotect(hidden, PAGE, PROT_NONE) == 0);
    CHECK(code() == 42);
    CHECK(reserved[RESERVED / 2] == 9 && reserved[0] == 0 && reserved[RESERVED - 1] == 0);
    CHECK(!strcmp((char *)shared, "shared bytes"));
}

static void check_signals(void) {
    sigset_t mask;
    CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
    for (int number = 1; number < 65; number++) {
        if (number == 32 || number == 33) continue; // the C library's
        int wanted = number == SIGHUP || number == SIGRTMIN + 9;
        if (sigismember(&mask, number) != wanted) {
            printf("FAILED: mask of signal %d\n", number);
            failures++;
        }
    }
    struct sigaction action;
    CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_sigaction == handle);
    const int restorer = 0x04000000; // SA_RESTORER: the C library's own affair
    CHECK((action.sa_flags & ~restorer) == (SA_SIGINFO | SA_ONSTACK | SA_RESTART));
    CHECK(sigismember(&action.sa_mask, SIGUSR2) == 1 && sigismember(&action.sa_mask, SIGINT) == 0);
    CHECK(sigaction(SIGWINCH, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
    CHECK(sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    handled = handled_on_alternate = 0;
    CHECK(raise(SIGUSR1) == 0 && handled == 1000 + SIGUSR1 && handled_on_alternate);
    handled = 0;
    CHECK(kill(getpid(), SIGRTMIN + 4) == 0 && handled == 1000 + SIGRTMIN + 4);
}

// Directory, umask, limits and nice value go with a process that is moved. An image that is run as
// a program has those of whoever runs it.
static void check_surroundings(void) {
    char path[4096] = "";
    CHECK(getcwd(path, sizeof path) && !strcmp(path, directory));
    CHECK(umask(027) == 027);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 1 << 20);
    // A privileged daemon holds what it has started back for a while, with 19. It must end.
    for (int wait = 0; wait < 2000 && getpriority(PRIO_PROCESS, 0) == 19; wait++) usleep(10000);
    CHECK(getpriority(PRIO_PROCESS, 0) == 3);
}

static void check_kernel_state(void) {
    char name[16] = "";
    CHECK(prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "caller-test"));
    CHECK(pthread_mutex_trylock(&held) == EBUSY && pthread_mutex_unlock(&held) == 0);
    CHECK(pthread_mutex_lock(&held) == 0);
    CHECK(fegetround() == FE_UPWARD);
    volatile double one = 1, three = 3;
    CHECK(one / three == upward);
    CHECK(gettid() == getpid() && sched_getcpu() >= 0);
    struct timespec first, second;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &first) == 0 && first.tv_sec > 0);
    CHECK(clock_gettime(CLOCK_MONOTONIC, &second) == 0 && second.tv_sec - first.tv_sec < 3600);
}

static pid_t remote_child; // 0: no children

static void check_creation(void) {
    pthread_t thread;
    void *answer = NULL;
    CHECK(pthread_create(&thread, NULL, thread_body, &failures) == 0);
    CHECK(pthread_join(thread, &answer) == 0 && answer == &failures);
    pid_t child = fork();
    if (child == 0) _exit(getpid() == gettid() ? 17 : 18);
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 17 << 8);
    if (remote_child > 0) {
        CHECK(kill(remote_child, 0) == 0);
    } else {
        CHECK(waitpid(-1, &status, WNOHANG | __WALL) == -1 && errno == ECHILD);
    }
}

static int deep(int levels) {
    volatile char space[4000];
    space[0] = (char)levels;
    space[3999] = 1;
    return levels == 0 ? 0 : deep(levels - 1) + space[3999];
}

static void check(void) {
    check_memory();
    check_signals();
    check_kernel_state();
    check_creation();
    CHECK(deep(700) == 700);
}

// Values that the compiler keeps in registers, and some on the stack, across the call.
static long across(long (*call)(long), long argument, const unsigned *seed) {
    unsigned a = seed[0] * 3, b = seed[1] * 5, c = seed[2] * 7, d = seed[3] * 11, e = seed[4] * 13;
    unsigned local[100];
    for (int i = 0; i < 100; i++) local[i] = (unsigned)i * a;
    errno = 77;
    long result = call(argument);
    CHECK(result < 0 || errno == 77);
    CHECK(a == 3 && b == 10 && c == 21 && d == 44 && e == 65);
    int wrong = 0;
    for (int i = 0; i < 100; i++) wrong += local[i] != (unsigned)i * 3;
    CHECK(wrong == 0);
    return result;
}

static const unsigned seed[] = {1, 2, 3, 4, 5};

static long dump_to(long fd) { return bproc_dump((int)fd, BPROC_DUMP_ALL); }
static long fork_to(long node) { return bproc_rfork((int)node); }
static long move_to(long node) { return bproc_move((int)node); }

static int finish(const char *who) {
    printf("%s: %s\n", who, failures ? "wrong" : "right");
    fflush(stdout);
    return failures ? 1 : 0;
}

static int fail(const char *what) {
    printf("%s: %s (%d)\n", what, bproc_reason(), errno);
    fflush(stdout);
    return 3;
}

static int run_dump(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    set_up();
    check();
    long byte_count = across(dump_to, fd, seed);
    if (byte_count < 0) return fail("dump");
    struct stat status;
    if (byte_count > 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        CHECK(status.st_size == byte_count);
    }
    if (byte_count > 0) check_surroundings();
    check();
    return finish(byte_count > 0 ? "dumper" : "image");
}

// The parent's word includes the child's.
static int end_fork(pid_t child) {
    int status = 0;
    if (child > 0) CHECK(waitpid(child, &status, 0) == child && status == 0);
    return finish(child > 0 ? "parent" : "child");
}

static int run_fork(int node) {
    set_up();
    check();
    pid_t before = getpid();
    int home = bproc_currnode();
    long number = across(fork_to, node, seed);
    if (number < 0) return fail("rfork");
    remote_child = (pid_t)number;
    CHECK((number == 0) == (getpid() != before));
    CHECK(bproc_currnode() == (number == 0 ? node : home));
    check_surroundings();
    check();
    return end_fork((pid_t)number);
}

static int run_move(int node) {
    set_up();
    check();
    if (across(move_to, node, seed) < 0) return fail("move");
    CHECK(bproc_currnode() == node);
    check_surroundings();
    check();
    CHECK(bproc_move(node) == 0 && bproc_move(BPROC_NODE_SELF) == 0);
    return finish("moved") ? 1 : 33;
}

// Over all these nodes, with work and a check at each stop.
static int run_journey(int count, char **stops) {
    set_up();
    check();
    long sum = 0;
    for (int i = 0; i < count; i++) {
        int node = atoi(stops[i]);
        if (across(move_to, node, seed) < 0) return fail(stops[i]);
        CHECK(bproc_currnode() == node && bproc_numnodes() > 0);
        for (int k = 0; k < HEAP_BYTES; k += 997) sum += heap[k];
        check();
    }
    long expected = 0;
    for (int k = 0; k < HEAP_BYTES; k += 997) expected += (unsigned char)(k * 7 + k / 4096);
    CHECK(sum == expected * count);
    return finish("journey");
}

static void leave(int number) {
    (void)number;
    _exit(21);
}

static int run_wait(int node) {
    signal(SIGUSR2, leave);
    if (bproc_move(node) < 0) return fail("move");
    printf("moved\n");
    fflush(stdout);
    for (;;) pause();
}

// Two thousand mappings, and a terabyte of which next to nothing is used.
static int run_large(int node) {
    enum { MAPPINGS = 2000, SPARSE_PAGES = 100 };
    static unsigned char *mappings[MAPPINGS];
    unsigned char *sparse = pages(1ul << 40, PROT_READ | PROT_WRITE, MAP_NORESERVE);
    for (size_t i = 0; i < SPARSE_PAGES; i++) sparse[i << 33] = (unsigned char)(i + 1);
    unsigned char *block = pages(2 * MAPPINGS * PAGE, PROT_READ | PROT_WRITE, 0);
    for (int i = 0; i < MAPPINGS; i++) {
        mappings[i] = block + (size_t)i * 2 * PAGE;
        mappings[i][7] = (unsigned char)(i % 251 + 1);
        // Every other page in another way, so that each is a mapping of its own.
        CHECK(mprotect(mappings[i] + PAGE, PAGE, PROT_NONE) == 0);
    }
    int number = bproc_rfork(node);
    if (number < 0) return fail("rfork");
    for (size_t i = 0; i < SPARSE_PAGES; i++) CHECK(sparse[i << 33] == i + 1);
    CHECK(sparse[(1ul << 40) - 1] == 0 && sparse[12345678901] == 0);
    for (int i = 0; i < MAPPINGS; i++) CHECK(mappings[i][7] == i % 251 + 1);
    return end_fork(number);
}

// Sixteen children that wait for ever, and their parent too.
static int run_family(void) {
    int nodes[16], pids[16];
    for (int i = 0; i < 16; i++) nodes[i] = i % 2;
    int rank = bproc_vrfork(16, nodes, pids);
    if (rank < 0) return fail("vrfork");
    if (rank == 16) {
        printf("forked\n");
        fflush(stdout);
    }
    for (;;) pause();
}

// A fork on this node gets the I/O set-up as one elsewhere does.
static int run_local_io(const char *path) {
    struct bproc_io_t io = {.fd = 200, .type = BPROC_IO_FILE};
    io.d.file.flags = O_RDWR | O_CREAT;
    io.d.file.mode = 0600;
    io.d.file.offset = 3;
    snprintf(io.d.file.name, sizeof io.d.file.name, "%s", path);
    int number = bproc_rfork_io(-1, &io, 1);
    if (number < 0) return fail("rfork");
    if (number == 0) return write(200, "child", 5) == 5 ? 17 : 18;
    int status = 0;
    char text[9] = "";
    CHECK(waitpid(number, &status, 0) == number && status == 17 << 8);
    int file = open(path, O_RDONLY);
    CHECK(read(file, text, 8) == 8 && !memcmp(text, "\0\0\0child", 8));
    CHECK(fcntl(200, F_GETFD) == -1);
    snprintf(io.d.file.name, sizeof io.d.file.name, "%s/none", path);
    CHECK(bproc_rfork_io(-1, &io, 1) == -1 && errno == ENOTDIR);
    CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
    return finish("local");
}

static int run_chain(int count, const char *path) {
    static long sizes[1000];
    set_up();
    for (int i = 0; i < count; i++) {
        unlink(path);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
        long byte_count = across(dump_to, fd, seed);
        if (byte_count < 0) return fail("dump");
        if (byte_count > 0) {
            close(fd);
            execl(path, path, (char *)NULL);
            return 4;
        }
        struct stat status;
        CHECK(stat(path, &status) == 0);
        sizes[i] = (long)status.st_size;
        // The first ones still settle what the checks have allocated.
        if (i > 3 && sizes[i] != sizes[3]) {
            printf("FAILED: image %d has %ld bytes, image 3 %ld\n", i, sizes[i], sizes[3]);
            failures++;
        }
        check();
        if (failures) break;
    }
    return finish("chain");
}

static int run_sizes(int count) {
    set_up();
    int fd = open("/dev/null", O_WRONLY);
    long first = 0;
    for (int i = 0; i < count; i++) {
        long byte_count = bproc_dump(fd, 0);
        if (byte_count <= 0) return fail("dump");
        if (i == 0) first = byte_count;
        if (byte_count != first) {
            printf("FAILED: image %d has %ld bytes, image 0 %ld\n", i, byte_count, first);
            failures++;
            break;
        }
    }
    check();
    return finish("sizes");
}

// Far more output than any window holds, over two stops.
static int run_output(int lines) {
    for (int i = 0; i < lines; i++) {
        if (i % (lines / 2) == 0 && bproc_move(i != 0) < 0) return fail("move");
        printf("line %d of %d\n", i, lines);
    }
    return fflush(stdout) == 0 ? 9 : 1;
}

// A process that is too large for a node stays where it is, as it was.
static int run_big(int node, int megabytes) {
    size_t byte_count = (size_t)megabytes << 20;
    unsigned char *memory = pages(byte_count, PROT_READ | PROT_WRITE, 0);
    for (size_t i = 0; i < byte_count; i += PAGE) memory[i] = (unsigned char)(i / PAGE % 251 + 1);
    set_up();
    CHECK(across(move_to, node, seed) == -1 && errno == ENOSPC);
    CHECK(strstr(bproc_reason(), "No space") || strstr(bproc_reason(), "for an image"));
    CHECK(bproc_currnode() == BPROC_NODE_MASTER);
    for (size_t i = 0; i < byte_count; i += PAGE) CHECK(memory[i] == i / PAGE % 251 + 1);
    check_surroundings();
    check();
    CHECK(bproc_rfork(node) == -1 && errno == ENOSPC);
    return finish("big");
}

// To and fro between two nodes; what travels is as large the last time as the first.
static int run_moves(int count) {
    signal(SIGUSR2, leave);
    long first = 0;
    for (int i = 0; i < count; i++) {
        if (bproc_move_io(i % 2, NULL, 0) < 0) return 4;
        int fd = open("/dev/null", O_WRONLY);
        long byte_count = bproc_dump(fd, 0);
        close(fd);
        if (byte_count <= 0) return 5;
        if (i == 0) first = byte_count;
        if (byte_count != first || bproc_currnode() != i % 2) return 6;
    }
    for (;;) pause();
}

int main(int count, char **list) {
    if (count > 2 && !strcmp(list[1], "dump")) return run_dump(list[2]);
    if (count > 2 && !strcmp(list[1], "rfork")) return run_fork(atoi(list[2]));
    if (count > 2 && !strcmp(list[1], "move")) return run_move(atoi(list[2]));
    if (count > 2 && !strcmp(list[1], "large")) return run_large(atoi(list[2]));
    if (count > 1 && !strcmp(list[1], "family")) return run_family();
    if (count > 2 && !strcmp(list[1], "local")) return run_local_io(list[2]);
    if (count > 2 && !strcmp(list[1], "journey")) return run_journey(count - 2, list + 2);
    if (count > 2 && !strcmp(list[1], "wait")) return run_wait(atoi(list[2]));
    if (count > 3 && !strcmp(list[1], "chain")) return run_chain(atoi(list[2]), list[3]);
    if (count > 2 && !strcmp(list[1], "output")) return run_output(atoi(list[2]));
    if (count > 3 && !strcmp(list[1], "big")) return run_big(atoi(list[2]), atoi(list[3]));
    if (count > 2 && !strcmp(list[1], "moves")) return run_moves(atoi(list[2]));
    if (count > 2 && !strcmp(list[1], "sizes")) return run_sizes(atoi(list[2]));
    return 64;
}
