// Programs of the site that a daemon runs, and everything that they start.
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Runs this program's own executable as the supervisor of a hook: input from /dev/null, both
   outputs to log, a session of its own, signals and priority as of a fresh process. Arguments and
   environment end with NULL. Answers the pid; the pidfd is close-on-exec. */
long bp_start_supervisor(const char *_Nullable const *_Nonnull arguments,
                         const char *_Nullable const *_Nonnull environment, int log,
                         int *_Nonnull pidfd);
/* Its work: runs the program that the arguments name, ended by NULL, and answers its exit status,
   128 and the signal that ended it, or 127 if it cannot be executed. SIGTERM, and the end of its
   parent, end the program with all its descendants, wherever they have gone, and the answer is
   143. */
int bp_supervise(const char *_Nullable const *_Nonnull arguments, int32_t parent);
/* A file that a hook's output is appended to, in an existing directory; one of more than byte_limit
   bytes is first renamed to the same name with ".old". */
long bp_open_log(const char *_Nonnull path, uint64_t byte_limit);
