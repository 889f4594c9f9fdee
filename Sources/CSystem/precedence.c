#define _GNU_SOURCE
#include "precedence.h"
#include <sched.h>
#include <string.h>

void take_precedence(struct precedence *precedence) {
    unsigned long here[sizeof precedence->processors / sizeof precedence->processors[0]] = {0};
    unsigned processor;
    if (syscall(SYS_getcpu, &processor, NULL, NULL) < 0 || processor >= 8 * sizeof here) return;
    memset(precedence->processors, 0, sizeof precedence->processors);
    if (syscall(SYS_sched_getaffinity, 0, sizeof precedence->processors,
                precedence->processors) < 0 ||
        get_scheduling(0, &precedence->usual) < 0)
        return;
    struct scheduling first = {.size = sizeof first, .policy = SCHED_RR, .priority = 1};
    if (set_scheduling(0, &first) < 0) return;
    here[processor / (8 * sizeof here[0])] = 1ul << processor % (8 * sizeof here[0]);
    (void)syscall(SYS_sched_setaffinity, 0, sizeof here, here);
    precedence->taken = 1;
}

void give_precedence_back(const struct precedence *precedence, pid_t child,
                          const struct scheduling *program) {
    if (!precedence->taken) return;
    (void)set_scheduling(0, &precedence->usual);
    (void)syscall(SYS_sched_setaffinity, 0, sizeof precedence->processors,
                  precedence->processors);
    if (child <= 0) return;
    (void)set_scheduling(child, program);
    (void)syscall(SYS_sched_setaffinity, child, sizeof precedence->processors,
                  precedence->processors);
}
