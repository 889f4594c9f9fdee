/* libbproc: programs on many nodes, started from one image.
 *
 * Calls answer -1 and set errno unless something else is said. Error numbers are those of the
 * kernel and the BE_ numbers of bproc_common.h. No daemon on this machine is EBUSY. A pointer that
 * is NULL and may not be is EFAULT. */
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
/* The same through the descriptor of bproc_notifier, which is then quiet until the next change.
   ECONNRESET: the daemon has ended. */
int bproc_nodelist_(struct bproc_node_set_t *nodes, int notifier);
/* A descriptor, to be closed with close, that is readable after any change of the table of nodes.
   It is a socket: read answers a uint32_t byte count, a uint32_t and as many bytes of struct
   bproc_node_info_t for each change, or for several; lseek does not work. */
int bproc_notifier(void);
/* BE_INVALIDNODE for a number that is no node. */
int bproc_nodeinfo(int node, struct bproc_node_info_t *info);
/* Answers the bytes of the name; a NUL follows if there is room. ERANGE: len is too short. ENODATA:
   the front end has no state. */
int bproc_nodestatus(int node, char *status, int len);
/* *size holds the room on entry and the length on return. ENODATA: the node has no address now.
   ERANGE: no room; an IPv6 address needs a struct sockaddr_in6. */
int bproc_nodeaddr(int node, struct sockaddr *address, int *size);
/* Answers the bytes of the value. The name comes without "bproc."; every node has "state", and
   "addr" (a struct sockaddr) while it has an address. ENODATA: no such attribute. ERANGE: size is
   too small. */
int bproc_getnodeattr(int node, const char *name, void *value, int size);
int bproc_setnodeattr(int node, const char *name, const void *value, int size);
/* A state of letters and digits, at most BPROC_STATE_LEN; "down" disconnects the node. */
int bproc_nodesetstatus(int node, const char *status);

/* ---- Permission ---- */

/* 0: the caller's real user and groups may start programs on the node. EACCES: they may not.
   EINVAL: the mode is neither 0 (the node exists) nor BPROC_X_OK. */
int bproc_access(int node, int mode);
/* Like chmod, chown and chgrp on a file of which only the bits 0111 exist. */
int bproc_chmod(int node, int mode);
int bproc_chown(int node, int user);
int bproc_chgrp(int node, int group);

/* ---- Processes ---- */

/* The processes that were started on a node, or on any (BPROC_NODE_ANY); those of the front end
   are not among them, but for what has moved there (BPROC_NODE_MASTER). Answers their number and a
   list to be freed with free; NULL where there is none. BE_INVALIDNODE: there is no such node. */
int bproc_proclist(int node, struct bproc_proc_info_t **list);
/* The node of a process. -1: it is one of the front end, or none (ESRCH). */
int bproc_pidnode(int pid);
/* An addition: the node whose death was that of the process, which wait reports as SIGKILL. ESRCH:
   it has not ended so, or so long ago that the front end has forgotten it, or its number is
   another's again. */
int bproc_lostnode(int pid);
/* An addition: what has become of that node: BPROC_LOST_DIED, or BPROC_LOST_LEFT where it has gone
   to another master, under which the process runs on. ESRCH as above. */
int bproc_lostcause(int pid);

/* An addition to the 4.x interface: kill for every process of the list, from the front end and from
   any node. Root may signal to every process, others to those of their user. One that is still
   being started gets the signal when it is there. 0, or -1: ESRCH (no such process, or one that was
   not started on a node), EPERM, EINVAL (the signal, or a pid that is not above 0). */
int bproc_kill(int pid, int signal);
/* Likewise an addition: to every process of the same launch, and to what they have started. */
int bproc_killjob(int pid, int signal);

/* ---- Node sets ---- */

/* An uninitialised set becomes one of size entries, all zero. */
int bproc_nodeset_init(struct bproc_node_set_t *set, int size);
/* Makes room for size entries, in steps of 128; the entries in use stay as they are. */
int bproc_nodeset_grow(struct bproc_node_set_t *set, int size);
void bproc_nodeset_free(struct bproc_node_set_t *set);
int bproc_nodeset_add(struct bproc_node_set_t *set, const struct bproc_node_info_t *node);
int bproc_nodeset_append(struct bproc_node_set_t *set, const struct bproc_node_set_t *other);

/* Fills *chosen, as bproc_nodelist does, with the entries of known that a specification names, in
   its order and as often as it names them: "0-3,n7,.9", "12-", "n[0-63,70]", "0-63:2", "up",
   "notdown", "all", "@group", "master"; "!7" takes nodes away. Numbers are decimal; those that
   known does not have are left out. Answers how many there are. EINVAL: the text is no
   specification; bproc_reason says where. E2BIG: more than a million. For a group the daemon is
   asked. */
int bproc_nodefilter(struct bproc_node_set_t *chosen, const struct bproc_node_set_t *known,
                     const char *specification);
/* The same of all nodes of the cluster. */
int bproc_nodespec(struct bproc_node_set_t *chosen, const char *specification);

/* ---- Starting programs ---- */

/* Starts cmd once for every entry of nodes, which may name a node more than once. Answers nnodes;
   pids[i] is the pid of rank i, a child of the caller that plain wait and kill know, or the
   negative error number for a rank that did not start and never was a child. -1 means that
   nothing has started: EINVAL (nnodes, iolen, an io entry), EFAULT, E2BIG, EBUSY, EAGAIN, or the
   reason why cmd cannot be executed. cmd is a path; PATH is not searched. BPROC_RANK=XXXXXXX
   (seven X) in envp becomes the rank, zero-padded.

   io holds iolen descriptors, which are all that the processes have; iolen -1 means the default:
   both outputs to the caller's standard output, /dev/null as input. Signals that arrive meanwhile
   run their handlers, and the call goes on. The processes outlive the caller, as other children
   do. */
int bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                       const char *cmd, char *const argv[], char *const envp[]);
/* The same with iolen -1. */
int bproc_vexecmove(int nnodes, int *nodes, int *pids, const char *cmd, char *const argv[],
                    char *const envp[]);
/* flags: BPROC_END_WITH_CALLER; and BPROC_DUMP_ bits, which change nothing: an image carries all of
   its memory. EINVAL: other bits. So in every call below that has flags, but that what moves or
   dumps the caller itself knows no BPROC_END_WITH_CALLER. */
int _bproc_vexecmove_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                        int flags, const char *cmd, char *const argv[], char *const envp[]);
int _bproc_vexecmove(int nnodes, int *nodes, int *pids, int flags, const char *cmd,
                     char *const argv[], char *const envp[]);

/* Executes cmd here and moves it to the node before its first instruction; does not return. -1: cmd
   cannot be executed. If only the move fails, the process exits with the error number as its
   status, at most 255 and never 0. */
int bproc_execmove(int node, const char *cmd, char *const argv[], char *const envp[]);
int bproc_execmove_io(int node, struct bproc_io_t *io, int iolen, const char *cmd,
                      char *const argv[], char *const envp[]);
int _bproc_execmove(int node, int flags, const char *cmd, char *const argv[], char *const envp[]);
int _bproc_execmove_io(int node, struct bproc_io_t *io, int iolen, int flags, const char *cmd,
                       char *const argv[], char *const envp[]);

/* Moves to the node and executes cmd of the node's own file system; returns only with -1. */
int bproc_rexec(int node, const char *cmd, char *const argv[], char *const envp[]);
int bproc_rexec_io(int node, struct bproc_io_t *io, int iolen, const char *cmd, char *const argv[],
                   char *const envp[]);
int _bproc_rexec(int node, int flags, const char *cmd, char *const argv[], char *const envp[]);
int _bproc_rexec_io(int node, struct bproc_io_t *io, int iolen, int flags, const char *cmd,
                    char *const argv[], char *const envp[]);

/* Lets the front end execute cmd for a process on a node, which goes on as its image: the same
   process, with its open files. Returns only with -1. On the front end: execve. */
int bproc_execve(const char *cmd, char *const argv[], char *const envp[]);

/* ---- The running process ----

   For a process of one thread; others get EBUSY before anything has happened. After a failure the
   caller goes on as if it had not asked. */

/* Continues on the node: 0 there. A move to the node that the caller is on does nothing and answers
   0, as does a move to the front end where no daemon runs. EBUSY: children that nobody has waited
   for. */
int bproc_move(int node);
int bproc_move_io(int node, struct bproc_io_t *io, int iolen);
int _bproc_move(int node, int flags);
int _bproc_move_io(int node, struct bproc_io_t *io, int iolen, int flags);

/* fork, with the child on the node. */
int bproc_rfork(int node);
int bproc_rfork_io(int node, struct bproc_io_t *io, int iolen);
int _bproc_rfork(int node, int flags);
int _bproc_rfork_io(int node, struct bproc_io_t *io, int iolen, int flags);

/* Forks once for every entry of nodes, from one image. Each child gets its rank, 0 to nnodes - 1;
   the caller gets nnodes and in pids[] what bproc_vexecmove_io gives. */
int bproc_vrfork(int nnodes, int *nodes, int *pids);
int bproc_vrfork_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen);
int _bproc_vrfork(int nnodes, int *nodes, int *pids, int flags);
int _bproc_vrfork_io(int nnodes, int *nodes, int *pids, struct bproc_io_t *io, int iolen,
                     int flags);

/* ---- Images in files ---- */

/* Writes the caller's image. Answers the bytes written now, and 0 when the image is resumed. */
long bproc_dump(int fd, int flags);
/* The caller becomes the image that it reads from fd; returns only with -1. */
int bproc_undump(int fd);
/* Executes cmd, writes its image at the first instruction, and exits; returns only with -1. */
int bproc_execdump(int fd, int flags, const char *cmd, char *const argv[], char *const envp[]);

/* The list of libraries that images would name instead of carrying them. liblist answers names with
   a NUL each and an empty one at the end, to be freed with free. */
int bproc_libclear(void);
int bproc_libadd(const char *library);
int bproc_libdel(const char *library);
int bproc_liblist(char **list);

/* ---- Control of nodes: for root ---- */

int bproc_nodechroot(int node, const char *path);
/* These three do not wait until it has happened. */
int bproc_nodereboot(int node);
int bproc_nodehalt(int node);
int bproc_nodepwroff(int node);
/* The node connects anew, from the local address (on the node) to the remote one. */
int bproc_nodereconnect(int node, struct sockaddr *remote, int remote_size,
                        struct sockaddr *local, int local_size);

#ifdef __cplusplus
}
#endif

#endif
