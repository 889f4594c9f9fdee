// Calls of the interface that no daemon of this version carries out. Whoever builds one takes it
// out of here; programs that only link against it work until then, and get ENOSYS when they call.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>

// The parameters are named as in the header and looked at by nobody.
#pragma GCC diagnostic ignored "-Wunused-parameter"

static int unavailable(const char *call) {
    return bplib_fail(ENOSYS, "%s is not part of this version", call);
}

// ---- Control of nodes ----

int bproc_nodereconnect(int node, struct sockaddr *remote, int remote_size,
                        struct sockaddr *local, int local_size) {
    return unavailable(__func__);
}
