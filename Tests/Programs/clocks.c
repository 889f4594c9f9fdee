// Asks for the time in every way that the vDSO offers, and compares with the system calls. Says
// where the kernel's vDSO lies, and where the program believes it to be.
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s\n", __LINE__, #condition);                                  \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static long difference(struct timespec from, struct timespec to) {
    return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

int main(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
                                       CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID};
    for (unsigned i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        struct timespec before = {0}, between = {0}, after = {0}, fine = {0}, slow = {0};
        CHECK(syscall(SYS_clock_gettime, clocks[i], &before) == 0);
        CHECK(clock_gettime(clocks[i], &between) == 0);
        CHECK(syscall(SYS_clock_gettime, clocks[i], &after) == 0);
        CHECK(difference(before, between) >= 0 && difference(between, after) >= 0);
        CHECK(clock_getres(clocks[i], &fine) == 0);
        CHECK(syscall(SYS_clock_getres, clocks[i], &slow) == 0);
        CHECK(!memcmp(&fine, &slow, sizeof fine));
    }
    struct timespec first, last, wrong;
    struct timeval day = {0};
    clock_gettime(CLOCK_REALTIME, &first);
    CHECK(gettimeofday(&day, NULL) == 0);
    time_t now = 0, answer = time(&now);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &last);
    CHECK(day.tv_sec >= first.tv_sec && day.tv_sec <= last.tv_sec);
    // time() counts by the tick and may be one behind.
    CHECK(answer == now && now >= first.tv_sec - 1 && now <= last.tv_sec);
    CHECK(clock_gettime(12345, &wrong) == -1);
    unsigned cpu = 9999, node = 9999;
    CHECK(getcpu(&cpu, &node) == 0 && cpu < 9999 && node < 9999 && sched_getcpu() >= 0);
    char line[300];
    unsigned long lies = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "[vdso]")) sscanf(line, "%lx", &lies);
    unsigned long believed = getauxval(AT_SYSINFO_EHDR);
    CHECK(believed && !memcmp((const char *)believed, "\177ELF", 4));
    printf("%s\n", failures ? "clocks wrong" : "clocks well");
    printf("vdso %s\n", lies == 0 ? "none" : lies == believed ? "there" : "elsewhere");
    return failures;
}
