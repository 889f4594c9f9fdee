// What the programs of the tests share: checks that count, cases that are run by their names, ranks
// that note the signals they get. _GNU_SOURCE is the program's to define.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
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

static inline int status_of(int pid) {
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

// A file with the number; whoever sees it sees all of it.
static inline void write_number(const char *path, int number) {
    char text[16], hidden[310];
    int length = snprintf(text, sizeof text, "%d\n", number);
    snprintf(hidden, sizeof hidden, "%s.new", path);
    int file = open(hidden, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, text, (size_t)length) != length) _exit(90);
    close(file);
    if (rename(hidden, path) < 0) _exit(91);
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
