// A child that shares this process's memory until it executes something.
#pragma once
#include <linux/sched.h>

// clone3 with a stack of the child's own, which `arguments` names: it calls main, which never
// returns. Answers the pid, or a negated errno.
long clone_beside(struct clone_args *arguments, void (*main)(void *), void *argument);
