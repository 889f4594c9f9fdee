// A program that looks at itself after it has been moved, and says what is not as it should be.
// Arguments: "one", "two words", "", then options: fds=3,5 (descriptors that shall be open beside
// 0-2), rank=0000042, socket=/path, uid=65534, blocked=10, ignored=12, threads.
#define _GNU_SOURCE
#include "support.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static __thread int thread_value = 4711;
static __thread char thread_zeros[300];
static int initialised[1000] = {1, 2, 3, [999] = 999};
static char zeros[100000];
static const char constant[] = "constant";
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed = 99; }

static const char *option(int count, char **list, const char *name) {
    for (int i = 4; i < count; i++)
        if (!strncmp(list[i], name, strlen(name)) && list[i][strlen(name)] == '=')
            return list[i] + strlen(name) + 1;
    return NULL;
}

static void check_descriptors(const char *allowed) {
    for (int fd = 3; fd < 2000; fd++) {
        if (fcntl(fd, F_GETFD) < 0) continue;
        char text[16];
        snprintf(text, sizeof text, "%d", fd);
        char list[256];
        snprintf(list, sizeof list, "%s", allowed ? allowed : "");
        int found = 0;
        for (char *word = strtok(list, ","); word; word = strtok(NULL, ","))
            if (!strcmp(word, text)) found = 1;
        if (!found) {
            printf("FAILED: descriptor %d is open\n", fd);
            failures++;
        }
    }
}

static void check_auxv(void) {
    const unsigned char *vdso = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);
    CHECK(vdso && !memcmp(vdso, ELFMAG, SELFMAG));
    CHECK(getauxval(AT_PAGESZ) == 4096);
    CHECK(getauxval(AT_ENTRY) != 0 && getauxval(AT_PHDR) != 0);
    const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
    CHECK(random != NULL && (random[0] | random[5] | random[9] | random[15]));
}

static void check_time(void) {
    struct timespec fast, slow;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &fast) == 0);
    CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &slow) == 0);
    CHECK(fast.tv_sec <= slow.tv_sec);
    CHECK(clock_gettime(CLOCK_REALTIME, &fast) == 0 && fast.tv_sec > 1600000000);
    CHECK(time(NULL) >= fast.tv_sec - 1);
    CHECK(sched_getcpu() >= 0);
}

static void check_float(void) {
    volatile double a = 1.0, b = 3.0;
    CHECK(fabs(a / b * b - 1.0) < 1e-15 && sqrt(b * b) == 3.0);
    volatile long double wide = 1.0L;
    CHECK(wide / 3 * 3 == 1.0L);
    unsigned control;
    __asm__("stmxcsr %0" : "=m"(control));
    CHECK((control & 0xffc0) == 0x1f80);
    unsigned short x87;
    __asm__("fnstcw %0" : "=m"(x87));
    CHECK(x87 == 0x37f);
}

__attribute__((target("avx"))) static void check_avx(void) {
    float in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8];
    __asm__ volatile("vmovups %1, %%ymm15\n\tvaddps %%ymm15, %%ymm15, %%ymm14\n\t"
                     "vmovups %%ymm14, %0\n\tvzeroupper"
                     : "=m"(out)
                     : "m"(in)
                     : "xmm14", "xmm15");
    for (int i = 0; i < 8; i++) CHECK(out[i] == 2 * in[i]);
}

static void check_heap(void) {
    char *at = sbrk(0);
    CHECK(at != (void *)-1);
    CHECK(sbrk(1 << 20) == at);
    memset(at, 7, 1 << 20);
    CHECK(sbrk(0) == at + (1 << 20));
    char *blocks[1000];
    for (int i = 0; i < 1000; i++) {
        blocks[i] = malloc((size_t)i * 37 + 1);
        CHECK(blocks[i] != NULL);
        memset(blocks[i], i, (size_t)i * 37 + 1);
    }
    for (int i = 0; i < 1000; i++) {
        CHECK((unsigned char)blocks[i][i * 37] == (unsigned char)i);
        free(blocks[i]);
    }
    char *large = malloc(64 << 20);
    CHECK(large != NULL);
    for (int i = 0; i < 64 << 20; i += 4096) large[i] = 1;
    free(large);
}

__attribute__((noinline)) static int deep(int levels) {
    volatile char frame[1000];
    memset((char *)frame, levels, sizeof frame);
    return levels ? deep(levels - 1) + (frame[5] == (char)levels) : 0;
}

static sigjmp_buf fault;
static volatile sig_atomic_t caught;
static void on_signal(int number) { caught = number; }
static void on_fault(int number) { (void)number; siglongjmp(fault, 1); }

static void check_signals(const char *blocked, const char *ignored) {
    sigset_t now;
    CHECK(sigprocmask(SIG_SETMASK, NULL, &now) == 0);
    for (int i = 1; i < 65; i++) {
        if (i == 32 || i == 33 || i == 9 || i == 19) continue;
        int wanted = blocked && atoi(blocked) == i;
        if (sigismember(&now, i) != wanted) printf("signal %d blocked? ", i);
        CHECK(sigismember(&now, i) == wanted);
        struct sigaction action;
        CHECK(sigaction(i, NULL, &action) == 0);
        int skip = ignored && atoi(ignored) == i;
        if ((action.sa_handler == SIG_IGN) != skip) printf("signal %d ignored? ", i);
        CHECK((action.sa_handler == SIG_IGN) == skip);
        if (!skip) CHECK(action.sa_handler == SIG_DFL);
    }
    struct sigaction action = {.sa_handler = on_signal};
    CHECK(sigaction(SIGTERM, &action, NULL) == 0);
    CHECK(raise(SIGTERM) == 0 && caught == SIGTERM);
    // A fault on an alternate stack, and out of it.
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    CHECK(sigaltstack(&stack, NULL) == 0);
    struct sigaction segv = {.sa_handler = on_fault, .sa_flags = SA_ONSTACK};
    CHECK(sigaction(SIGSEGV, &segv, NULL) == 0);
    if (sigsetjmp(fault, 1) == 0) {
        *(volatile int *)16 = 1;
        CHECK(!"no fault");
    }
}

static void *thread_main(void *argument) {
    thread_value++;
    return (void *)((intptr_t)argument + thread_value);
}

static void check_threads(void) {
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, thread_main, (void *)i) == 0);
    for (intptr_t i = 0; i < 4; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0 && (intptr_t)result == 4712 + i);
    }
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attributes);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == EDEADLK);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
}

static void check_children(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(thread_value == 4711 ? 23 : 24);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 23);
    CHECK(gettid() == getpid());
}

int main(int count, char **list) {
    CHECK(count >= 4 && !strcmp(list[1], "one") && !strcmp(list[2], "two words") && !*list[3]);
    CHECK(getenv("BPROC_TEST") && !strcmp(getenv("BPROC_TEST"), "a value = with signs"));
    const char *rank = option(count, list, "rank"), *socket = option(count, list, "socket");
    CHECK(getenv("BPROC_RANK") && !strcmp(getenv("BPROC_RANK"), rank ? rank : "XXXXXXX"));
    CHECK(getenv("BPROC_SOCKET") && !strcmp(getenv("BPROC_SOCKET"), socket ? socket : ""));
    CHECK(constructed == 99 && initialised[999] == 999 && initialised[2] == 3);
    CHECK(!strcmp(constant, "constant") && thread_value == 4711);
    for (size_t i = 0; i < sizeof zeros; i++)
        if (zeros[i]) CHECK(!"zeros");
    for (size_t i = 0; i < sizeof thread_zeros; i++)
        if (thread_zeros[i]) CHECK(!"thread zeros");
    check_descriptors(option(count, list, "fds"));
    if (option(count, list, "uid")) {
        uid_t wanted = (uid_t)atoi(option(count, list, "uid")), r, e, s;
        CHECK(getresuid(&r, &e, &s) == 0 && r == wanted && e == wanted && s == wanted);
    }
    check_auxv();
    check_time();
    check_float();
    if (__builtin_cpu_supports("avx")) check_avx();
    check_heap();
    CHECK(deep(3000) >= 0);
    check_signals(option(count, list, "blocked"), option(count, list, "ignored"));
    check_threads();
    check_children();
    // What the C library chose by CPU at its start.
    char from[500], to[500];
    for (int i = 0; i < 500; i++) from[i] = (char)(i * 7 + 1);
    memcpy(to, from, sizeof to);
    CHECK(!memcmp(from, to, sizeof to) && strlen("twelve bytes") == 12);
    printf(failures ? "%d checks failed\n" : "inside: all well\n", failures);
    return failures ? 1 : 42;
}
