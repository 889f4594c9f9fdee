// A job: its launch, what is said of its ranks, streams and signals.
#pragma once
#include "bproc_local_frame.h"

/* Flow control. A sender may have this many bytes under way that the other side has not yet
   credited: output per rank and stream, input for the job as a whole (input to all ranks counts
   once). Credits are increments. Ranks that ended count as having taken their input. */
#define BPROC_LOCAL_OUTPUT_WINDOW (64u << 10)
#define BPROC_LOCAL_INPUT_WINDOW (256u << 10)

/* The life of a job channel: LAUNCH; then PROGRESS, FAILURE, OUTPUT and EXIT as they happen;
   LAUNCHED once, when every rank is placed or has failed. A job is over when every rank has failed,
   or has exited and (with forwarding) both of its output streams have ended; an exit with a
   cause other than 0 ends them too. Then either side may close. A client that closes earlier ends
   the job, unless it has said KEEP: then the ranks live on, and their streams end. */

enum {
    BPROC_LOCAL_LAUNCH_PROGRESS = 1,
    BPROC_LOCAL_LAUNCH_HOLD = 2,
    /* The caller's side has chosen the ranks' process numbers: they follow the nodes. From a node
       without a pid namespace they are ignored; from one with it, a number that is taken fails its
       rank with EEXIST in stage SPAWN. */
    BPROC_LOCAL_LAUNCH_PROCESSES = 4,
    /* What the bproc_io_t do not name of 0, 1 and 2 is forwarded over the job channel. */
    BPROC_LOCAL_LAUNCH_FORWARD = 16,
    /* With it: where a node has another process of that pid already, the rank runs under any other
       pid. Without: it fails, with EEXIST in stage SPAWN, before it has begun. */
    BPROC_LOCAL_LAUNCH_ANY_PID = 8,
    /* Ranks that stop or go on are told of. */
    BPROC_LOCAL_LAUNCH_STOPS = 32,
    /* Before LAUNCHED comes TIMES. */
    BPROC_LOCAL_LAUNCH_TIMES = 64,
    /* The caller itself goes on as the one rank. */
    BPROC_LOCAL_LAUNCH_MOVE = 128,
};
/* io_count: no descriptors (0), forwarding over the job channel (-1), or that many bproc_io_t. */
enum { BPROC_LOCAL_IO_FORWARD = -1 };

struct bproc_local_limit {
    uint64_t soft, hard;
};

struct bproc_local_launch {
    uint32_t rank_count; /* the number of ranks; nodes[] may name a node more than once */
    int32_t io_count;
    uint32_t flags; /* BPROC_LOCAL_LAUNCH_* */
    uint32_t umask;
    int32_t nice;
    uint32_t stdin_mode; /* with forwarding: 0 forwarded, 1 /dev/null */
    uint32_t directory_bytes;
    uint32_t command_bytes;
    uint32_t fan_out;          /* 0: the planner chooses */
    uint32_t chunk_byte_count; /* 0: the planner chooses */
    uint32_t first_rank;       /* what the programs take for their rank: this plus the rank */
    uint32_t reserved;
    struct bproc_local_limit limits[BPROC_LOCAL_RLIMITS]; /* RLIMIT_* in numeric order */
    /* Each bproc_io_t is 280 bytes: fd at 0, type at 4, flags at 6, the union at 8. */
    /* then: int32_t nodes[rank_count]; with LAUNCH_PROCESSES, int32_t processes[rank_count];
       bproc_io_t io[io_count]; directory; command (no NULs) */
};

struct bproc_local_launched {
    uint64_t job;
    uint32_t rank_count;
    uint32_t placed_count;
    uint64_t placed_nanoseconds; /* from request to last answer, as the daemon saw it */
    uint32_t fan_out;
    uint32_t chunk_byte_count;
    /* From "image complete on the node" to the restorer's own word, over all placed ranks. */
    uint32_t undump_median_nanoseconds;
    uint32_t undump_99th_nanoseconds;
    uint32_t chunk_count;
    uint32_t received_chunk_count_max; /* above chunk_count: a node got some chunks twice */
    uint32_t other_pid_count; /* ranks whose nodes have given them other pids than pids[] says */
    uint32_t first_other_pid; /* the first of these ranks, if there is one */
};

/* TIMES: one for each rank, in microseconds since the daemon has begun the launch, by its clock,
   less what the frames took on their way; zeros for a rank that has failed. */
struct bproc_local_times {
    uint32_t reached_microseconds;  /* its node has the launch */
    uint32_t header_microseconds;   /* and the first chunk */
    uint32_t complete_microseconds; /* and the whole image, checked */
    uint32_t placed_microseconds;   /* its restorer is about to enter the program */
};

struct bproc_local_progress {
    uint64_t job;
    uint32_t rank_count;
    uint32_t placed_count;
    uint32_t failed_count;
    uint32_t done_count;
    uint32_t reached_count; /* nodes that have the launch, if not all of the image */
    uint32_t reserved;
    uint64_t image_bytes;
};

enum bproc_local_stage {
    BPROC_LOCAL_STAGE_NONE = 0,
    BPROC_LOCAL_STAGE_PLAN = 1,    /* the node does not exist, is down, may not be used */
    BPROC_LOCAL_STAGE_CONNECT = 2, /* its parent in the tree could not reach it */
    BPROC_LOCAL_STAGE_HEADER = 3,  /* it refused the image: CPU, version, memory */
    BPROC_LOCAL_STAGE_RECEIVE = 4, /* the image did not arrive whole: checksum, lost, stalled */
    BPROC_LOCAL_STAGE_SPAWN = 5,   /* clone, credentials, directory, exec of the restorer */
    BPROC_LOCAL_STAGE_RESTORE = 6, /* mapping the image */
    BPROC_LOCAL_STAGE_IO = 7,      /* descriptors of the I/O set-up */
    BPROC_LOCAL_STAGE_NODE = 8,    /* the node died or stalled before it answered */
};

struct bproc_local_failure {
    uint32_t rank;
    int32_t node;
    uint32_t stage; /* bproc_local_stage */
    int32_t error;  /* errno or BE_*, positive */
    char reason[BPROC_LOCAL_REASON_LEN];
};

enum bproc_local_cause {
    BPROC_LOCAL_CAUSE_OWN = 0,       /* the process has ended by itself */
    BPROC_LOCAL_CAUSE_NODE_DIED = 1, /* BPROC_LOST_DIED */
    BPROC_LOCAL_CAUSE_NODE_LEFT = 2, /* it has gone with its node to another master */
    /* It goes on without its stand-in, which is to pass on the signals that it has got, and to
       end; or in its ghost. */
    BPROC_LOCAL_CAUSE_MOVED = 3,
};

struct bproc_local_exit {
    uint32_t rank;
    int32_t process; /* its number in pids[] */
    int32_t status;  /* as waitpid reports it, the core flag included */
    uint32_t cause;  /* bproc_local_cause */
    /* What the process and the children it has waited for have used; 0 if its node died. */
    uint64_t user_microseconds, system_microseconds;
    uint64_t max_resident_kilobytes;
};

struct bproc_local_stream {
    uint32_t rank;   /* BPROC_LOCAL_ALL_RANKS for input to all */
    uint32_t stream; /* 0 stdin, 1 stdout, 2 stderr */
};

struct bproc_local_credit {
    uint32_t rank;
    uint32_t stream;
    uint64_t byte_count;
};

struct bproc_local_signal { /* to its process group */
    uint32_t rank; /* or BPROC_LOCAL_ALL_RANKS */
    int32_t signal;
};

enum bproc_local_reach {
    BPROC_LOCAL_REACH_GROUP = 0,
    BPROC_LOCAL_REACH_PROCESS = 1,     /* alone, as kill(2) has it */
    BPROC_LOCAL_REACH_DESCENDANTS = 2, /* and all that it has started */
};

struct bproc_local_rank_signal {
    uint32_t rank; /* or BPROC_LOCAL_ALL_RANKS */
    int32_t signal;
    uint32_t reach; /* bproc_local_reach */
    /* The sender counts the stops and continues of each rank from 1; 0: none of these. */
    uint32_t sequence;
};

struct bproc_local_stop {
    uint32_t rank;
    int32_t signal;    /* that has stopped it; 0: it goes on */
    uint32_t sequence; /* the last that had reached it: another than the sender's last is too old */
};
