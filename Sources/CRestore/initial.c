// The first process of a slave's pid namespace, to which the kernel gives the orphans there. It
// ignores their ends, by which the kernel buries them without a word. Nothing wakes it, and its own
// end, which comes with the slave's, ends everything in the namespace.
#include "initial.h"
#include "freestanding.h"

BP_BLOB _Noreturn void bp_initial_process(void) {
    const char name[16] = {'b', 'p', 'r', 'o', 'c', '-', 'i', 'n', 'i', 't', 0};
    const struct {
        uint64_t handler, flags, restorer, mask;
    } ignore = {1 /* SIG_IGN */, 0, 0, 0};
    bp_call3(BP_SYS_CLOSE_RANGE, 0, ~0u, 0);
    bp_call5(BP_SYS_PRCTL, 15 /* PR_SET_NAME */, (long)name, 0, 0, 0);
    bp_call4(BP_SYS_RT_SIGACTION, 17 /* SIGCHLD */, (long)&ignore, 0, 8);
    for (;;) bp_call3(BP_SYS_PAUSE, 0, 0, 0);
}
