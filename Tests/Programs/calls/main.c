/* calls cluster|alone CALL: tries one call, and says what was not as it should be.
   calls list: the calls there are cases for. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

int has_cluster;
int failure_count;

void report(const char *what, const char *file, int line) {
    int error = errno;
    failure_count++;
    printf("%s:%d: %s; errno %d, reason: %s\n", file, line, what, error, bproc_reason());
}

static int run_from(const struct test_case *cases, const char *name) {
    for (; cases->name; cases++) {
        if (strcmp(cases->name, name) == 0) {
            cases->run();
            return 1;
        }
    }
    return 0;
}

static void print_names(const struct test_case *cases) {
    for (; cases->name; cases++) puts(cases->name);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        print_names(node_cases);
        print_names(set_cases);
        print_names(program_cases);
        print_names(job_cases);
        print_names(move_cases);
        print_names(administration_cases);
        print_names(process_cases);
        return 0;
    }
    if (argc != 3) return 64;
    has_cluster = strcmp(argv[1], "cluster") == 0;
    if (!run_from(node_cases, argv[2]) && !run_from(set_cases, argv[2]) &&
        !run_from(program_cases, argv[2]) && !run_from(job_cases, argv[2]) &&
        !run_from(move_cases, argv[2]) && !run_from(administration_cases, argv[2]) &&
        !run_from(process_cases, argv[2])) {
        printf("there is no case for %s\n", argv[2]);
        return 64;
    }
    return failure_count > 0;
}
