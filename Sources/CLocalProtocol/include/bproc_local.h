// The conversation on one machine: libbproc with its daemon (AF_UNIX, SOCK_STREAM), and libbproc
// with the capture helper that it starts (a socket pair). Fixed structs, native byte order: both
// ends run on the same machine. The daemon takes identity from SO_PEERCRED, never from these
// fields.
//
// Every message is a bproc_local_header followed by body_bytes bytes. Descriptors travel by
// SCM_RIGHTS with the first byte of the header.
#pragma once
#include <stdint.h>

#define BPROC_LOCAL_MAGIC 0x314c5042u /* "BPL1" */
#define BPROC_LOCAL_VERSION 1u
#define BPROC_LOCAL_BODY_MAX (16u << 20)
#define BPROC_LOCAL_ALL_RANKS 0xffffffffu
#define BPROC_LOCAL_REASON_LEN 160
#define BPROC_LOCAL_RLIMITS 16

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

struct bproc_local_header {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
    uint32_t body_bytes;
    uint32_t request; /* chosen by the asker, repeated in the answer */
};

enum bproc_local_kind {
    /* library to daemon */
    BPROC_LOCAL_HELLO = 1,          /* bproc_local_hello; first message of a connection */
    BPROC_LOCAL_HELPER_REQUEST = 2, /* no body; answered with HELPER */
    BPROC_LOCAL_NODES_REQUEST = 3,  /* no body; answered with NODES */
    BPROC_LOCAL_LAUNCH = 4,         /* bproc_local_launch and tail, image descriptor attached */
    BPROC_LOCAL_INPUT = 5,          /* bproc_local_stream, then bytes; no bytes: end of input */
    BPROC_LOCAL_SIGNAL = 6,         /* bproc_local_signal */
    BPROC_LOCAL_OUTPUT_CREDIT = 7,  /* bproc_local_credit: output bytes the client has consumed */
    BPROC_LOCAL_RANK_SIGNAL = 8,    /* bproc_local_rank_signal */
    /* No body; a socket attached, whose other end belongs to the server of the ghosts of the job
       that this connection launches next. It is told of ends and stops there as well, and may
       signal; where it closes, the job ends. Answered with NODE_DONE; by the master alone. */
    BPROC_LOCAL_JOB_WATCH = 9,
    /* No body, no answer: the server of the job's ghosts holds this connection now, and can be
       asked for what it keeps. */
    BPROC_LOCAL_GHOSTS_SERVED = 10,
    BPROC_LOCAL_GHOSTS_BOOK = 11,   /* bproc_local_ghosts_book; the answer */
    /* No body, no answer, after LAUNCHED: the client has taken the numbers of the ranks, and they
       outlive this connection. With a JOB_WATCH that one becomes the job's then. */
    BPROC_LOCAL_KEEP = 12,
    /* bproc_local_stream, stream 0: both outputs. Nobody reads them any more: a rank that writes
       gets what a broken pipe gives. */
    BPROC_LOCAL_OUTPUT_CLOSED = 13,
    BPROC_LOCAL_NODE_REQUEST = 16,  /* bproc_local_node_request and tail; answered with NODE_DONE */
    /* No body; answered with NODE_DONE. From then on the daemon sends no messages but a
       bproc_local_watched and its entries: after every change of the table, if the client has taken
       what was sent before, else when it has; and as the answer to NODES_REQUEST. */
    BPROC_LOCAL_NODES_WATCH = 17,
    BPROC_LOCAL_PROCESSES_REQUEST = 24, /* bproc_local_processes_request; answered with PROCESSES */
    BPROC_LOCAL_KILL = 25,              /* bproc_local_kill; answered with NODE_DONE */
    BPROC_LOCAL_STATUS_REQUEST = 26, /* bproc_local_status_request; answered with STATUS, several */
    BPROC_LOCAL_BOOK_REQUEST = 27,   /* bproc_local_book_request; answered with BOOK */
    /* daemon to library */
    BPROC_LOCAL_WELCOME = 64,       /* bproc_local_welcome */
    /* bproc_local_network; a read-only descriptor of the helper executable attached: run it with
       execveat(AT_EMPTY_PATH), argv = the argv[0] you like, "--helper=capture", "--socket=N"
       (N: inherited socket number). On a node a second descriptor: the caller's directory in a
       /proc of the daemon's, for the image of a caller that sees none. */
    BPROC_LOCAL_HELPER = 65,
    BPROC_LOCAL_NODES = 66,         /* array of bproc_local_node */
    BPROC_LOCAL_PROGRESS = 67,      /* bproc_local_progress, only if asked for */
    BPROC_LOCAL_FAILURE = 68,       /* bproc_local_failure: one rank that will not start */
    BPROC_LOCAL_LAUNCHED = 69,      /* bproc_local_launched, then int32_t pids[rank_count] */
    BPROC_LOCAL_EXIT = 70,          /* array of bproc_local_exit */
    BPROC_LOCAL_OUTPUT = 71,        /* bproc_local_stream, then bytes; no bytes: the stream ended */
    BPROC_LOCAL_INPUT_CREDIT = 72,  /* bproc_local_credit: input bytes that every rank has taken */
    BPROC_LOCAL_REFUSED = 73,       /* bproc_local_refused: not understood, or not allowed */
    BPROC_LOCAL_STOP = 74,          /* bproc_local_stop, only if asked for */
    BPROC_LOCAL_TIMES = 75,         /* array of bproc_local_times, only if asked for */
    BPROC_LOCAL_NODE_DONE = 80,     /* the bytes that were asked for, or none */
    BPROC_LOCAL_PROCESSES = 88,     /* bproc_local_processes, then its entries */
    BPROC_LOCAL_STATUS = 89,        /* bproc_local_statuses, then its entries */
    BPROC_LOCAL_BOOK = 90,          /* text: a line for each thing that the daemon keeps */
    /* No body; only where GHOSTS_SERVED has come. Answered with GHOSTS_BOOK. */
    BPROC_LOCAL_GHOSTS_BOOK_REQUEST = 91,
    /* library to capture helper, and back */
    BPROC_LOCAL_CAPTURE = 128,  /* bproc_local_capture and tail */
    BPROC_LOCAL_CAPTURED = 129, /* bproc_local_captured; error 0: the sealed file attached */
    /* bproc_local_packing, the sealed image attached; answered with CAPTURED, without a descriptor
       where packing does not pay. */
    BPROC_LOCAL_PACK = 130,
    /* library to ghost helper, and back */
    BPROC_LOCAL_GHOSTS = 160,      /* bproc_local_ghosts; answered with GHOSTS_MADE */
    BPROC_LOCAL_GHOSTS_MADE = 161, /* bproc_local_ghosts_made, then int32_t pids[made_count] */
    /* Bytes of the job channel that the library has received and not taken; before ADOPT. */
    BPROC_LOCAL_GHOSTS_BYTES = 162,
    BPROC_LOCAL_GHOSTS_ADOPT = 163, /* bproc_local_ghosts_adopt and tail, job channel attached */
    BPROC_LOCAL_GHOSTS_READY = 164, /* bproc_local_ghosts_ready: the holder can go */
    BPROC_LOCAL_GHOSTS_ADOPTED = 165, /* no body, no answer: they are the caller's children */
};

struct bproc_local_hello {
    uint32_t protocol_version;
    uint32_t architecture; /* BPROC_ARCH_*, x86-64 is 4 */
    char version[32];
};

struct bproc_local_welcome {
    uint32_t protocol_version;
    uint32_t architecture;
    int32_t node; /* -1: the master */
    uint32_t node_count;
    char version[32];
};

struct bproc_local_node {
    int32_t node;
    char state[16];
    uint32_t mode, user, group;
    uint16_t address_family; /* AF_INET or AF_INET6, 0: none */
    uint16_t port;           /* host order */
    uint8_t address[16];
};

/* What a client that watches the table reads: this, then the entries. Its layout is public:
   programs read it from the descriptor of bproc_notifier. */
struct bproc_local_watched {
    uint32_t byte_count; /* of the entries */
    uint32_t request;    /* of the question; 0: the table has changed */
};

/* The bytes of struct bproc_node_info_t. */
struct bproc_local_listed {
    int32_t node;
    char state[16];
    uint32_t mode, user, group;
    uint16_t family; /* AF_INET, or 0: no address, or none of IPv4 */
    uint8_t port[2]; /* network order */
    uint8_t address[4];
    uint8_t reserved[8];
};

enum bproc_local_node_action {
    BPROC_LOCAL_NODE_GET_ATTRIBUTE = 1, /* name; answered with the value */
    BPROC_LOCAL_NODE_SET_ATTRIBUTE = 2, /* name and value */
    BPROC_LOCAL_NODE_SET_STATE = 3,     /* value: the state */
    BPROC_LOCAL_NODE_SET_MODE = 4,      /* number */
    BPROC_LOCAL_NODE_SET_USER = 5,      /* number */
    BPROC_LOCAL_NODE_SET_GROUP = 6,     /* number */
    /* Orders to the node, given on the front end; answered when it has answered. */
    BPROC_LOCAL_NODE_CHANGE_ROOT = 7, /* value: the path there */
    BPROC_LOCAL_NODE_REBOOT = 8,
    BPROC_LOCAL_NODE_HALT = 9,
    BPROC_LOCAL_NODE_POWER_OFF = 10,
    /* Of no node: answered with a line for each group of nodes, name=0-63,70 and a newline. */
    BPROC_LOCAL_NODE_GROUPS = 11,
    /* Of no node: the library list. Answered with its names, a NUL behind each. */
    BPROC_LOCAL_NODE_LIBRARIES = 12,
    BPROC_LOCAL_NODE_CLEAR_LIBRARIES = 13,
    BPROC_LOCAL_NODE_ADD_LIBRARY = 14,    /* value: its name */
    BPROC_LOCAL_NODE_REMOVE_LIBRARY = 15, /* value: its name */
    /* Of no node: what the master has done, as text in Prometheus's exposition format 0.0.4. */
    BPROC_LOCAL_NODE_METRICS = 16,
    BPROC_LOCAL_NODE_RECONNECT = 17, /* value: bproc_local_way; an order as 7 to 10 */
};

struct bproc_local_endpoint {
    uint16_t family; /* AF_INET or AF_INET6, 0: none */
    uint16_t port;   /* host order */
    uint8_t address[16];
};

/* How a node is to reach its master. */
struct bproc_local_way {
    struct bproc_local_endpoint master;
    struct bproc_local_endpoint own; /* family 0: any */
};

#define BPROC_LOCAL_NODE_TEXT_MAX 4095u

/* Who asks is taken from SO_PEERCRED; whether he may is the master's to say. */
struct bproc_local_node_request {
    int32_t node;
    uint32_t action; /* bproc_local_node_action */
    uint32_t number;
    uint32_t name_bytes;  /* at most BPROC_LOCAL_NODE_TEXT_MAX, like the next */
    uint32_t value_bytes;
    /* then: name, value */
};

/* ---- The process space ---- */

enum { BPROC_LOCAL_ANY_NODE = -4 };

/* The processes come in pages, in the order of their jobs and ranks. */
struct bproc_local_processes_request {
    int32_t node;       /* or BPROC_LOCAL_ANY_NODE */
    int32_t process;    /* above 0: this one alone */
    uint64_t after_job; /* the last entry of the page before; 0: the first page */
    uint32_t after_rank;
    uint32_t flags; /* BPROC_LOCAL_PROCESSES_ */
};

/* With a process: not one that is there, but the last of this number that has ended because its
   node did. The daemon remembers some ten thousands. */
enum { BPROC_LOCAL_PROCESSES_LOST = 1 };

enum bproc_local_process_state {
    BPROC_LOCAL_PROCESS_STARTING = 0,
    BPROC_LOCAL_PROCESS_RUNNING = 1,
    /* Of those that are lost: with its node, or to another master. */
    BPROC_LOCAL_PROCESS_DIED = 2,
    BPROC_LOCAL_PROCESS_LEFT = 3,
};

struct bproc_local_process {
    uint64_t job;
    uint32_t rank;
    int32_t process;
    int32_t node;
    uint32_t user;
    uint32_t state; /* bproc_local_process_state */
    uint32_t reserved;
};

/* At most this many entries make a page. */
#define BPROC_LOCAL_PROCESSES_MOST 2048u

struct bproc_local_processes {
    uint32_t count;
    uint32_t is_last; /* no page follows */
    /* then: bproc_local_process entries[count] */
};

enum { BPROC_LOCAL_KILL_JOB = 1 /* every process of its job, and what they have started */ };

/* Who asks is taken from SO_PEERCRED. A signal to a process that is still being started is kept
   until it is there. */
struct bproc_local_kill {
    int32_t process;
    int32_t signal; /* 0: only whether it could be sent */
    uint32_t flags; /* BPROC_LOCAL_KILL_* */
    uint32_t reserved;
};

struct bproc_local_status_request {
    int32_t node; /* or BPROC_LOCAL_ANY_NODE: all that have processes */
    uint32_t patience_milliseconds; /* for each node; at most a minute */
};

/* The answers of the nodes, as they come. */
struct bproc_local_statuses {
    int32_t node;
    int32_t error;    /* why this node says nothing, or 0 */
    uint32_t count;   /* at most BPROC_LOCAL_PROCESSES_MOST */
    uint32_t is_last; /* 1: the end of the answer, with no node and no entries */
    /* then: bproc_local_status entries[count] */
};

struct bproc_local_status {
    uint64_t job;
    uint32_t rank;
    int32_t process; /* 0: something that the rank has started */
    int32_t node;
    int32_t local_process, local_parent; /* the node's own numbers */
    uint32_t user;  /* whose rights it has now */
    uint32_t state; /* the kernel's letter */
    uint32_t reserved;
    uint64_t user_microseconds, system_microseconds;
    uint64_t elapsed_microseconds;
    uint64_t resident_bytes;
    char command[128]; /* its arguments, or its name in brackets; ended by a zero byte */
};

/* For root and the daemon's own user, on the front end. */
struct bproc_local_book_request {
    int32_t node; /* its slave; BPROC_LOCAL_ANY_NODE: the daemon that is asked */
    uint32_t reserved;
};

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

struct bproc_local_exit {
    uint32_t rank;
    int32_t process; /* its number in pids[] */
    int32_t status;  /* as waitpid reports it, the core flag included */
    /* 0: the process ended by itself; 1: its node died; 2: it has gone with its node to another
       master; 3: it goes on without its stand-in, which is to pass on the signals that it has got,
       and to end. */
    uint32_t cause;
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

struct bproc_local_refused {
    int32_t error;
    char reason[BPROC_LOCAL_REASON_LEN];
};

/* What it costs to send an image to the nodes that are up: the daemon says so with its helper, and
   the library hands it to the helper unread. */
struct bproc_local_network {
    uint32_t node_count; /* 0: no node is up, nothing is known */
    uint32_t nodes_per_host;
    uint32_t cores_per_host;
    uint32_t reserved;
    double send_overhead_nanoseconds;
    double latency_nanoseconds;
    double uplink_bytes_per_second;
    double flow_bytes_per_second;
};

/* Whether the helper packs the image (ProcessImage/FORMAT.md). */
enum bproc_local_compression {
    BPROC_LOCAL_COMPRESSION_AUTO = 0, /* if that saves time on this network, by a sample of it */
    BPROC_LOCAL_COMPRESSION_ALWAYS = 1,
    BPROC_LOCAL_COMPRESSION_NEVER = 2,
};

struct bproc_local_packing {
    uint32_t compression; /* bproc_local_compression */
    uint32_t reserved;
    struct bproc_local_network network;
};

enum bproc_local_capture_point {
    BPROC_LOCAL_CAPTURE_AT_ENTRY = 0, /* after the dynamic linker: the node needs no files */
    BPROC_LOCAL_CAPTURE_AT_EXEC = 1,  /* before it */
};

struct bproc_local_capture {
    uint32_t point;
    uint32_t argument_count;
    uint32_t environment_count;
    uint32_t command_bytes;     /* path, no NUL */
    uint32_t argument_bytes;    /* argument_count strings, each with its NUL */
    uint32_t environment_bytes; /* environment_count strings, each with its NUL */
    struct bproc_local_packing packing;
    /* then: command, arguments, environment */
};

struct bproc_local_captured {
    int32_t error; /* 0, or why the program could not be captured */
    uint32_t stage;
    uint64_t image_bytes;       /* of the image as it is */
    uint64_t packed_bytes;      /* of the attached file, if it is the packed image; else 0 */
    uint64_t capture_nanoseconds; /* packing included */
    char reason[BPROC_LOCAL_REASON_LEN];
};

/* ---- Ghosts ---- */

/* The helper's role `--helper=ghosts` makes a process for each rank and stays as the server that
   traces them. Until the library lets go of the parent that they have, the holder, the caller has
   no children of the call. */
struct bproc_local_ghosts {
    uint32_t count;
    uint32_t flags; /* BPROC_LOCAL_GHOSTS_* */
    char name[16];  /* what ps shows */
};

/* The one ghost is the caller itself, which has moved. The file that comes with GHOSTS_MADE is
   memory that it shares with the server: a bproc_local_own_ghost. It is traced from ADOPT on. */
enum { BPROC_LOCAL_GHOSTS_SELF = 2 };

/* A ghost sleeps while its order is 1, and ends as the status says when it is 2. */
struct bproc_local_own_ghost {
    uint32_t order;
    int32_t status;     /* as waitpid reports it */
    int32_t server;     /* its pid */
    uint32_t has_begun; /* set by the ghost: the server may trace it */
};

struct bproc_local_ghosts_made {
    int32_t error; /* why fewer than wanted, or 0 */
    uint32_t made_count;
};

enum {
    BPROC_LOCAL_GHOSTS_FORWARD = 1, /* both outputs of all ranks to standard output */
    BPROC_LOCAL_GHOSTS_END_WITH_CALLER = 2, /* the ranks end when the caller does */
};

struct bproc_local_ghosts_adopt {
    uint32_t count; /* the ghosts that were made */
    uint32_t flags; /* BPROC_LOCAL_GHOSTS_* */
    /* then: uint8_t started[count]; the ghosts of ranks that failed disappear */
};

struct bproc_local_ghosts_ready {
    int32_t error;
};

/* What their server keeps, all of it 0 when it ends. */
struct bproc_local_ghosts_book {
    uint32_t living_count;      /* of the ghosts */
    uint32_t running_count;     /* of the ranks */
    uint32_t output_count;      /* ranks that have ended, and their output has not */
    uint32_t called_count;      /* ghosts that were told to stop as their rank has */
    uint64_t output_bytes;      /* that standard output has still to take */
    uint64_t unsent_bytes;      /* that the job's channel has still to take */
};

/* ---- The caller's own image ---- */

/* The registers that a function call keeps (x86-64, System V ABI), and where it returns to. */
struct bproc_local_registers {
    uint64_t rbx, rbp, r12, r13, r14, r15;
    uint64_t rsp; /* after the return */
    uint64_t rip;
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t reserved;
};

#define BPROC_LOCAL_PLACE_MAGIC 0x31504c42u /* "BLP1" */

enum bproc_local_place_flags {
    BPROC_LOCAL_PLACE_ON_NODE = 1, /* a daemon restored it: rank, process, node, socket are known */
};

/* Where a restored process is. The stub writes it into the library's memory; it is the only thing
   by which the library finds its daemon then. */
struct bproc_local_place {
    uint32_t magic; /* BPROC_LOCAL_PLACE_MAGIC; 0: never restored */
    uint32_t flags; /* bproc_local_place_flags */
    uint32_t rank;
    int32_t process; /* the number that the master chose */
    int32_t node;    /* -1: the front end */
    uint32_t reserved;
    uint64_t remains_address; /* one page of the restore code, to be unmapped */
    char socket[112]; /* ended by a zero byte; "@name" is abstract; empty: the daemon has none */
};
