/* Calls that may be unavailable: a program links against them, and each says that it is not there,
   whatever its arguments are. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

static char word[] = "word";
static char *words[] = {word, NULL};
static struct sockaddr address;

#define CALLS(DO)                                                                                  \
    DO(bproc_undump, (-1))                                                                         \
    DO(bproc_execdump, (-1, 0, word, words, words))                                                \
    DO(bproc_nodereconnect, (0, &address, 16, NULL, 0))

#define FUNCTION(name, arguments)                                                                  \
    static void try_##name(void) { CHECK_FAILS(name arguments, ENOSYS); }
CALLS(FUNCTION)

#define ENTRY(name, arguments) {#name, try_##name},
const struct test_case unavailable_cases[] = {CALLS(ENTRY){NULL, NULL}};
