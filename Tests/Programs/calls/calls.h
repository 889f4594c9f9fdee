/* Programs that call libbproc as its users do: installed headers, C99 and C++, no warning. */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/bproc_job.h>
#include <unistd.h>

/* What a case finds: nodes 0 and 1 up and node 2 down, or no daemon at all. */
extern int has_cluster;

extern int failure_count;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) report(#condition, __FILE__, __LINE__);                                  \
    } while (0)

/* The call answers -1 with this error number, and there is a sentence about it. */
#define CHECK_FAILS(call, number)                                                                  \
    do {                                                                                           \
        errno = 0;                                                                                 \
        if ((call) != -1 || errno != (number) || !*bproc_reason()) {                               \
            report(#call " fails with " #number, __FILE__, __LINE__);                              \
        }                                                                                          \
    } while (0)

/* Says what was expected, and what errno and the reason are. */
void report(const char *what, const char *file, int line);

struct test_case {
    const char *name; /* the call's */
    void (*run)(void);
};

/* Each ends with an entry without a name. */
extern const struct test_case node_cases[];
extern const struct test_case set_cases[];
extern const struct test_case program_cases[];
extern const struct test_case job_cases[];
extern const struct test_case move_cases[];
extern const struct test_case administration_cases[];
extern const struct test_case process_cases[];

#endif
