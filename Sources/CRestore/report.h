// What the restore code says when a program will not run.
#pragma once
#include "bp_image.h"
#include "stub.h"

// Tells the status descriptor.
void bp_report(const struct bp_stub_arguments *arguments, int stage, int step, long error,
               uint64_t detail) __attribute__((visibility("hidden")));

// Tells the status descriptor, or descriptor 2 in words if there is none, and ends with status 100
// and the step. error is a negated errno, detail what the step was about (texts.S).
_Noreturn void bp_stub_fail(const struct bp_stub_arguments *arguments, const char *name, int stage,
                            int step, long error, uint64_t detail)
    __attribute__((visibility("hidden")));

/* stages of bproc_local.h */
enum { STAGE_HEADER = 3, STAGE_SPAWN = 5, STAGE_RESTORE = 6, STAGE_IO = 7 };
