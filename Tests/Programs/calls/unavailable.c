/* Calls that may be unavailable: a program links against them, and each says that it is not there,
   whatever its arguments are. */
#define _POSIX_C_SOURCE 200809L
#include "calls.h"

static int numbers[4];
static struct bproc_io_t io[1];
static char word[] = "word";
static char *words[] = {word, NULL};
static struct sockaddr address;
static struct bproc_node_set_t nodes;

#define CALLS(DO)                                                                                  \
    DO(bproc_move, (0))                                                                            \
    DO(bproc_move_io, (0, io, 17))                                                                 \
    DO(_bproc_move, (0, 0))                                                                        \
    DO(_bproc_move_io, (0, io, 1, 0))                                                              \
    DO(bproc_rfork, (0))                                                                           \
    DO(bproc_rfork_io, (0, io, 1))                                                                 \
    DO(_bproc_rfork, (0, 0))                                                                       \
    DO(_bproc_rfork_io, (0, io, 1, 0))                                                             \
    DO(bproc_vrfork, (4, numbers, numbers))                                                        \
    DO(bproc_vrfork_io, (4, numbers, NULL, io, 1))                                                 \
    DO(_bproc_vrfork, (-1, numbers, numbers, 0))                                                   \
    DO(_bproc_vrfork_io, (4, NULL, numbers, io, 1, 0))                                             \
    DO(bproc_execmove, (0, word, words, words))                                                    \
    DO(bproc_execmove_io, (0, io, 1, word, words, words))                                          \
    DO(_bproc_execmove, (0, 0, word, words, words))                                                \
    DO(_bproc_execmove_io, (0, io, 1, 0, word, words, words))                                      \
    DO(bproc_rexec, (0, word, words, words))                                                       \
    DO(bproc_rexec_io, (0, io, 1, word, words, words))                                             \
    DO(_bproc_rexec, (0, 0, word, words, words))                                                   \
    DO(_bproc_rexec_io, (0, io, 1, 0, word, words, words))                                         \
    DO(bproc_execve, (word, words, words))                                                         \
    DO(bproc_dump, (-1, 0))                                                                        \
    DO(bproc_undump, (-1))                                                                         \
    DO(bproc_execdump, (-1, 0, word, words, words))                                                \
    DO(bproc_libclear, ())                                                                         \
    DO(bproc_libadd, (word))                                                                       \
    DO(bproc_libdel, (word))                                                                       \
    DO(bproc_liblist, (words))                                                                     \
    DO(bproc_notifier, ())                                                                         \
    DO(bproc_nodelist_, (&nodes, -1))                                                              \
    DO(bproc_setnodeattr, (0, word, word, 4))                                                      \
    DO(bproc_nodesetstatus, (0, word))                                                             \
    DO(bproc_chmod, (0, 0111))                                                                     \
    DO(bproc_chown, (0, 0))                                                                        \
    DO(bproc_chgrp, (0, 0))                                                                        \
    DO(bproc_proclist, (0, NULL))                                                                  \
    DO(bproc_pidnode, (1))                                                                         \
    DO(bproc_nodechroot, (0, word))                                                                \
    DO(bproc_nodereboot, (0))                                                                      \
    DO(bproc_nodehalt, (0))                                                                        \
    DO(bproc_nodepwroff, (0))                                                                      \
    DO(bproc_nodereconnect, (0, &address, 16, NULL, 0))

#define FUNCTION(name, arguments)                                                                  \
    static void try_##name(void) { CHECK_FAILS(name arguments, ENOSYS); }
CALLS(FUNCTION)

#define ENTRY(name, arguments) {#name, try_##name},
const struct test_case unavailable_cases[] = {CALLS(ENTRY){NULL, NULL}};
