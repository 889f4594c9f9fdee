// liburing.h sets _GNU_SOURCE after the C library's headers were first seen; these includes come
// first so that fd_set is the same type as in the Glibc module.
#include <features.h>
#include <sys/types.h>
#include <sys/select.h>
#include <liburing.h>

// Casting macros do not cross into Swift; these do.
static const unsigned int BP_CQE_F_MORE = IORING_CQE_F_MORE;
