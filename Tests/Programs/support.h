// What the programs of the tests share: checks that count, cases that are run by their names, ranks
// that note the signals they get. _GNU_SOURCE is the program's to define.
#pragma once
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int failures;
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("FAILED line %d: %s (errno %d)\n", __LINE__, #condition, errno);                \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static inline void pause_briefly(void) {
    struct timespec pause = {0, 2000000};
    (void)nanosleep(&pause, NULL);
}

struct test_case {
    const char *name;
    void (*run)(void);
};

// Runs the case of that name, and says so if all was right in it. An exit status; 2: there is none.
static inline int run_case(const struct test_case *cases, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, cases[i].name) != 0) continue;
        cases[i].run();
        if (failures == 0) printf("%s: right\n", name);
        return failures != 0;
    }
    return 2;
}

// The file for `report`.
static int reports;

// A handler: notes the signal's number; SIGTERM is the last.
static inline void report(int number) {
    char text[16];
    int count = snprintf(text, sizeof text, "%d\n", number);
    if (write(reports, text, (size_t)count) != count) _exit(9);
    if (number == SIGTERM) _exit(5);
}
