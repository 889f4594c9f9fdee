// The conversation on one machine: libbproc with its daemon (AF_UNIX, SOCK_STREAM), and libbproc
// with the capture helper that it starts (a socket pair). Fixed structs, native byte order: both
// ends run on the same machine. The daemon takes identity from SO_PEERCRED, never from these
// fields.
//
// Every message is a bproc_local_header followed by body_bytes bytes. Descriptors travel by
// SCM_RIGHTS with the first byte of the header.
#pragma once
#include "bproc_local_capture.h"
#include "bproc_local_frame.h"
#include "bproc_local_ghosts.h"
#include "bproc_local_homecoming.h"
#include "bproc_local_launch.h"
#include "bproc_local_nodes.h"
#include "bproc_local_place.h"
#include "bproc_local_processes.h"

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
    /* server of ghosts to a slave */
    BPROC_LOCAL_COLLECT = 28, /* bproc_local_collect; answered with COLLECTED */
    /* No body: the ghost is about to go, and until ARRIVED the slave ends it where this connection
       ends. Answered with NODE_DONE; refused, it stays. */
    BPROC_LOCAL_LEAVES = 30,
    BPROC_LOCAL_ARRIVED = 29, /* bproc_local_arrived; answered with NODE_DONE */
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
    BPROC_LOCAL_RANK_ARRIVES = 92, /* bproc_local_rank_arrives; only where ranks have ghosts */
    BPROC_LOCAL_COLLECTED = 93,    /* bproc_local_collected and tail, the image attached */
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
    uint32_t grace_seconds; /* so long nodes keep their processes for another master; 0: not */
    char version[32];
};
