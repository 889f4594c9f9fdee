// The caller's own image: its registers, and where it is when it has been restored.
#pragma once
#include "bproc_local_frame.h"

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
    /* Of its daemon: ended by a zero byte; "@name" is abstract. Empty: the daemon of the node has
       none; elsewhere, as the environment says. */
    char socket[112];
};
