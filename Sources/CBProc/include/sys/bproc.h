/* libbproc: programs on many nodes, started from one image.
 *
 * Calls answer -1 and set errno unless something else is said. Error numbers are those of the
 * kernel and the BE_ numbers of bproc_common.h. No daemon on this machine is EBUSY. */
#ifndef BPROC_H
#define BPROC_H

#include <stdint.h>
#include <sys/socket.h>

#include <sys/bproc_common.h>

#define BPROC_API_VERSION 4

#ifdef __cplusplus
extern "C" {
#endif

/* A list of nodes: size entries used, alloc allocated. */
struct bproc_node_set_t {
    int size;
    int alloc;
    struct bproc_node_info_t *node;
};
#define BPROC_EMPTY_NODESET                                                                        \
    { 0, 0, 0 }
#define bproc_node_set_node(set, index) ((set)->node[(index)])

/* ---- The cluster ---- */

/* What runs here; ENOSYS where no daemon does, so this call is the test for BProc. */
int bproc_version(struct bproc_version_t *version);
/* The sentence for an error number of either sign. */
const char *bproc_strerror(int error);
/* How many nodes are configured, whatever their state; 0 where no daemon runs. */
int bproc_numnodes(void);
/* The number of the node that the caller runs on; -1 on the front end. */
int bproc_currnode(void);
/* Replaces nothing that *nodes held before: free that first. Answers the number of nodes, which are
   all that are configured, down ones included, and never the front end. */
int bproc_nodelist(struct bproc_node_set_t *nodes);
/* BE_INVALIDNODE for a number that is no node. */
int bproc_nodeinfo(int node, struct bproc_node_info_t *info);
/* Answers the bytes of the name; a NUL follows if there is room. ERANGE: len is too short. ENODATA:
   the front end has no state. */
int bproc_nodestatus(int node, char *status, int len);
/* *size holds the room on entry and the length on return. ENODATA: the node has no address now.
   ERANGE: no room; an IPv6 address needs a struct sockaddr_in6. */
int bproc_nodeaddr(int node, struct sockaddr *address, int *size);

/* ---- Node sets ---- */

/* An uninitialised set becomes one of size entries, all zero. */
int bproc_nodeset_init(struct bproc_node_set_t *set, int size);
/* Makes room for size entries, in steps of 128; the entries in use stay as they are. */
int bproc_nodeset_grow(struct bproc_node_set_t *set, int size);
void bproc_nodeset_free(struct bproc_node_set_t *set);
int bproc_nodeset_add(struct bproc_node_set_t *set, const struct bproc_node_info_t *node);
int bproc_nodeset_append(struct bproc_node_set_t *set, const struct bproc_node_set_t *other);

/* ---- Starting programs ---- */

/* Starts cmd once for every entry of nodes, which may name a node more than once. Answers nnodes;
   pids[i] is the number of rank i's process, or the negative error number for a rank that did not
   start. -1 means that nothing has started: EINVAL (nnodes, iolen, an io entry), EFAULT, E2BIG,
   EBUSY, or the reason why cmd cannot be executed. cmd is a path; PATH is not searched.
   BPROC_RANK=XXXXXXX (seven X) in envp becomes the rank, zero-padded.

   io holds iolen descriptors, which are all that the processes have; iolen -1 means the default:
   both outputs to the caller's standard output, /dev/null as input. Signals that arrive meanwhile
   run their handlers, and the call goes on. The job ends when the caller does, or executes another
   program. */
int bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                       const char *cmd, char *const argv[], char *const envp[]);
/* The same with iolen -1. */
int bproc_vexecmove(int nnodes, int *nodes, int *pids, const char *cmd, char *const argv[],
                    char *const envp[]);

#ifdef __cplusplus
}
#endif

#endif
