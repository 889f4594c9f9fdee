// struct sched_attr of the kernel, first version; the C library of Debian 12 does not have it.
#pragma once
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static inline long get_scheduling(pid_t pid, struct scheduling *scheduling) {
    return syscall(SYS_sched_getattr, pid, scheduling, sizeof *scheduling, 0);
}

static inline long set_scheduling(pid_t pid, const struct scheduling *scheduling) {
    return syscall(SYS_sched_setattr, pid, scheduling, 0);
}
