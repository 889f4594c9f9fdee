// Images that the capture helper takes of programs, and packs.
#pragma once
#include "bproc_local_frame.h"

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
