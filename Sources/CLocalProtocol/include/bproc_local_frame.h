// What all messages of the local conversation have in common (bproc_local.h).
#pragma once
#include <stdint.h>

#define BPROC_LOCAL_MAGIC 0x314c5042u /* "BPL1" */
#define BPROC_LOCAL_VERSION 1u
#define BPROC_LOCAL_BODY_MAX (16u << 20)
#define BPROC_LOCAL_ALL_RANKS 0xffffffffu
#define BPROC_LOCAL_REASON_LEN 160
#define BPROC_LOCAL_RLIMITS 16

struct bproc_local_header {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
    uint32_t body_bytes;
    uint32_t request; /* chosen by the asker, repeated in the answer */
};

struct bproc_local_refused {
    int32_t error;
    char reason[BPROC_LOCAL_REASON_LEN];
};
