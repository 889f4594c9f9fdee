/* Additions to the classic interface: an image and a launch as things of their own.
 *
 * bproc_capture takes the image of a program; bproc_job_launch starts it on nodes, as often as one
 * likes. A job is one launch with its channel: what the ranks print, how they end, and the way to
 * write and signal to them. A job belongs to one thread at a time. */
#ifndef BPROC_JOB_H
#define BPROC_JOB_H

#include <stddef.h>
#include <stdint.h>

#include <sys/bproc_common.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why the last call of this thread failed, as a sentence; never NULL. Valid until the next call. */
const char *bproc_reason(void);

/* ---- Groups of nodes ---- */

/* *groups becomes a text, to be freed with free, with a line for each group that the site has
   given a name: the name, =, its nodes as ranges, a newline. Answers how many there are. */
int bproc_nodegroups(char **groups);
/* bproc_nodefilter for who has the groups at hand and needs no daemon; NULL: there are none. */
int bproc_groupfilter(struct bproc_node_set_t *chosen, const struct bproc_node_set_t *known,
                      const char *specification, const char *groups);

/* ---- Images ---- */

/* Where the program is stopped. */
#define BPROC_CAPTURE_AT_ENTRY 0 /* the dynamic linker is done: the node needs no files */
#define BPROC_CAPTURE_AT_EXEC 1  /* before the dynamic linker */
/* Whether the image is packed by LZ4; with neither of them, if that saves time on the network. */
#define BPROC_CAPTURE_PACKED 16
#define BPROC_CAPTURE_UNPACKED 32

struct bproc_capture_info {
    uint64_t image_bytes;         /* as it is; the descriptor's file has the bytes that travel */
    uint64_t capture_nanoseconds; /* as the helper measured it, packing included */
};

/* Executes command in the caller's context (directory, limits, signal mask) up to the capture point
   and answers a close-on-exec descriptor of its sealed image. how is a capture point, and may have
   one of the packing flags. envp NULL is the caller's environment, info may be NULL. */
int bproc_capture(const char *command, char *const argv[], char *const envp[], int how,
                  struct bproc_capture_info *info);

/* ---- Jobs ---- */

typedef struct bproc_job bproc_job_t;

#define BPROC_JOB_ALL_RANKS (-1)
/* io_count: the outputs and the input of every rank go over the job. */
#define BPROC_JOB_FORWARD (-1)

/* bproc_job_request.flags */
#define BPROC_JOB_PROGRESS 1u   /* send progress events */
#define BPROC_JOB_HOLD 2u       /* start all ranks after the last is placed */
#define BPROC_JOB_NULL_INPUT 4u /* with forwarding: standard input is /dev/null */
#define BPROC_JOB_TIMES 32u     /* tell bproc_job_stage_times */
/* The ranks are children of the caller, as those of bproc_vexecmove: on the front end, where all
   of them can be made; bproc_job_has_children says so. */
#define BPROC_JOB_CHILDREN 8u
#define BPROC_JOB_FORWARD_REST 16u /* with entries of io: what they do not name is forwarded */
/* Ranks that still run end with the job, or its caller. Without it those that have been reported
   as started live on. */
#define BPROC_JOB_END_WITH_CALLER 64u

struct bproc_job_request {
    size_t struct_bytes; /* sizeof(struct bproc_job_request) */
    int image;           /* borrowed; may be launched again */
    int rank_count;
    const int *nodes;    /* rank_count numbers */
    const char *command; /* what the process is called */
    const struct bproc_io_t *io;
    int io_count; /* BPROC_JOB_FORWARD, or the entries of io */
    unsigned int flags;
    unsigned int fan_out;          /* 0: chosen by the planner */
    unsigned int chunk_byte_count; /* 0: chosen by the planner */
};

/* Sends the launch and answers at once; how it goes comes as events. */
int bproc_job_launch(const struct bproc_job_request *request, bproc_job_t **job);
/* Waits until every rank is placed or has failed. Events stay to be read. 0, or -1: the launch was
   refused, or the connection was lost. */
int bproc_job_wait_started(bproc_job_t *job);

/* Whether the ranks that have started are children of the caller: 1 or 0; 0 while they start. */
int bproc_job_has_children(const bproc_job_t *job);
/* By rank: the process number or a negative error; 0 while not known. As long as the job. */
const int *bproc_job_pids(const bproc_job_t *job);
int bproc_job_rank_count(const bproc_job_t *job);
/* By rank, as in the request. */
const int *bproc_job_nodes(const bproc_job_t *job);

/* To poll, for these events; then call bproc_job_next until it answers 0. */
int bproc_job_descriptor(const bproc_job_t *job);
short bproc_job_poll_events(const bproc_job_t *job);

enum bproc_job_stage {
    BPROC_STAGE_NONE = 0,
    BPROC_STAGE_PLAN = 1,
    BPROC_STAGE_CONNECT = 2,
    BPROC_STAGE_HEADER = 3,
    BPROC_STAGE_RECEIVE = 4,
    BPROC_STAGE_SPAWN = 5,
    BPROC_STAGE_RESTORE = 6,
    BPROC_STAGE_IO = 7,
    BPROC_STAGE_NODE = 8
};
/* One word for a stage; "unknown" for other numbers. */
const char *bproc_stage_name(int stage);

enum bproc_job_event_kind {
    BPROC_EVENT_STARTED = 1,      /* placed_count, rank_count, nanoseconds, fan_out, chunk */
    BPROC_EVENT_PROGRESS = 2,     /* rank_, reached_, placed_, failed_, done_count; byte_count */
    BPROC_EVENT_FAILURE = 3,      /* rank, node, stage, error, text */
    BPROC_EVENT_EXIT = 4,         /* rank, node, process, status, node_died */
    BPROC_EVENT_OUTPUT = 5,       /* rank, stream, bytes, byte_count; no bytes: the stream ended */
    BPROC_EVENT_INPUT_CREDIT = 6, /* more may be written */
    BPROC_EVENT_END = 7           /* error 0: every rank is accounted for; else why, and text */
};

struct bproc_job_event {
    int kind; /* bproc_job_event_kind; only the fields named there have a meaning */
    int rank;
    int node;
    int stream; /* 1 standard output, 2 standard error */
    int process;
    int status; /* as waitpid reports it */
    int node_died; /* 1: with its node; 2: its node has another master now, where it runs on */
    int stage;
    int error;
    int rank_count;
    int reached_count;
    int placed_count;
    int failed_count;
    int done_count;
    unsigned int fan_out;
    unsigned int chunk_byte_count;
    uint64_t nanoseconds; /* from request to last answer, as the daemon saw it */
    uint64_t byte_count;
    const char *text;           /* valid until the next bproc_job_next */
    const unsigned char *bytes; /* likewise */
};

/* Never waits. 1: an event; 0: none now; -1: ENOMEM or EFAULT. After the end it answers the end
   again. */
int bproc_job_next(bproc_job_t *job, struct bproc_job_event *event);

/* What is known of a rank that failed: 0; or -1, ENOENT: it has not. text lives with the job. */
int bproc_job_failure(const bproc_job_t *job, int rank, struct bproc_job_event *failure);

/* In microseconds since the master has begun the launch, by its clock; what messages took on their
   way to the node is not in it. */
struct bproc_job_times {
    uint32_t reached;  /* the node has the launch */
    uint32_t header;   /* and the first piece of the image, with its header */
    uint32_t complete; /* and the whole image, checked */
    uint32_t placed;   /* the process is about to enter its program */
};

/* How far the node of a rank was when; known after the start, where BPROC_JOB_TIMES is set. -1,
   ENOENT: of this rank it is not. */
int bproc_job_stage_times(const bproc_job_t *job, int rank, struct bproc_job_times *times);

/* How many ranks run under other pids on their nodes than bproc_job_pids answers, because theirs
   were taken there; the first of them is put in *rank, which may be NULL. Known after the start,
   of nodes that give processes the pids of the front end. */
int bproc_job_other_pids(const bproc_job_t *job, int *rank);

struct bproc_usage {
    uint64_t user_microseconds;
    uint64_t system_microseconds;
    uint64_t max_resident_kilobytes; /* of the largest */
};

/* What a rank that has ended, and the children it has waited for, have used; nothing if its node
   died. -1, ENOENT: it has not ended. */
int bproc_job_usage(const bproc_job_t *job, int rank, struct bproc_usage *usage);

/* Bytes of input that may be written now. */
size_t bproc_job_input_room(const bproc_job_t *job);
/* Never waits: answers how many bytes were taken, which may be less than asked for; EAGAIN when
   none (an input credit event says when to go on); EPIPE after bproc_job_close_input. */
long bproc_job_write(bproc_job_t *job, int rank, const void *bytes, size_t byte_count);
/* Standard input of the rank, or of all, ends. */
int bproc_job_close_input(bproc_job_t *job, int rank);
/* The caller is done with this many bytes of output: the rank may send as many more. */
int bproc_job_consumed(bproc_job_t *job, int rank, int stream, size_t byte_count);
int bproc_job_signal(bproc_job_t *job, int rank, int signal);
/* Frees the job. Ranks that still run live on, without streams; they end if the start has not been
   reported, or with BPROC_JOB_END_WITH_CALLER. */
void bproc_job_close(bproc_job_t *job);

/* ---- What the processes do ---- */

#define BPROC_PROCESS_COMMAND_BYTES 128

/* A process as its node sees it now. */
struct bproc_process_status {
    int pid;        /* its number; 0: it has none, because a process of the list has started it */
    int node;
    int error;      /* 0; else why the node has not answered, and nothing else here has a meaning */
    int rank;       /* of the process, or of the one that has started it */
    uint64_t job;   /* the same for all processes of one launch */
    int local_pid;  /* the node's own numbers of it and its parent */
    int local_parent;
    unsigned int user; /* whose rights it has now */
    int state;         /* the letter that ps shows */
    uint64_t user_microseconds, system_microseconds;
    uint64_t elapsed_microseconds; /* since its start */
    uint64_t resident_bytes;
    char command[BPROC_PROCESS_COMMAND_BYTES]; /* its arguments, or its name in brackets */
};

/* Asks the nodes what their processes do: one node, or all that have some (BPROC_NODE_ANY). A node
   that does not answer within the time, at most 20 s, is an entry with an error (ETIMEDOUT,
   BE_SLAVEDIED); the others' processes are there all the same. Answers the number of entries and a
   list to be freed with free; NULL where there is none. */
int bproc_processstatus(int node, int patience_milliseconds, struct bproc_process_status **list);

/* What a daemon keeps, as text to be freed with free, with a line "name: number" for each thing;
   all numbers are 0 once nothing is under way. BPROC_NODE_ANY is the daemon that answers here, and
   the servers of all ghosts ("job N, name: number"), a node its slave. For root and the daemon's
   own user (else EPERM), on the front end. */
int bproc_debug(int node, char **text);

/* What the master has done since it was started, and what it has now: counters and gauges as text
   in the exposition format of Prometheus 0.0.4, to be freed with free. Anybody may ask. */
int bproc_metrics(char **text);

#ifdef __cplusplus
}
#endif

#endif
