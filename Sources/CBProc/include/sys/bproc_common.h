/* Names, numbers and layouts shared by everything that speaks of BProc. Usable from C99 and C++. */
#ifndef BPROC_COMMON_H
#define BPROC_COMMON_H

#include <stdint.h>
#include <sys/socket.h>

/* Node numbers with a meaning of their own. */
#define BPROC_NODE_MASTER (-1)
#define BPROC_NODE_SELF (-2)
#define BPROC_NODE_NONE (-3)
#define BPROC_NODE_ANY (-4)

#define BPROC_STATUS_NONE (-2)

/* The access mode of a node; the same number as X_OK. */
#define BPROC_X_OK 1

/* The longest name of a state, without its NUL. */
#define BPROC_STATE_LEN 15

/* What an image carries itself instead of naming it. */
#define BPROC_DUMP_LIBS 1
#define BPROC_DUMP_EXEC 2
#define BPROC_DUMP_OTHER 4
#define BPROC_DUMP_ALL 7

/* With the flags of a move: children of the caller may be left behind; init gets them. */
#define BPROC_MOVE_ORPHANS 0x100
/* An addition to the 4.x interface, with the flags of vexecmove, rfork and vrfork: when the caller
   ends, SIGKILL ends what it has started, as PR_SET_PDEATHSIG would. */
#define BPROC_END_WITH_CALLER 0x200

/* bproc_io_t.type */
#define BPROC_IO_FILE 0
#define BPROC_IO_SOCKET 1
#define BPROC_IO_MEMFILE 2 /* internal: EPERM in a request */
/* bproc_io_t.flags */
#define BPROC_IO_SEND_INFO 1
#define BPROC_IO_DELAY 2
/* The longest list of bproc_io_t. */
#define BPROC_IO_MAX_LEN 16

#define BPROC_XATTR_PREFIX "bproc."
#define BPROC_STATE_XATTR "bproc.state"
#define BPROC_ADDR_XATTR "bproc.addr"
#define BPROC_XATTR_MAX_NAME_SIZE 63
#define BPROC_XATTR_MAX_VALUE_SIZE 64
#define BPROC_XATTR_MAX 32

/* Error numbers beyond those of the kernel; bproc_strerror knows both. */
#define BE_BASE 300
#define BE_INVALIDNODE 300
#define BE_NODEDOWN 301
#define BE_SAMENODE 302
#define BE_SLAVEDIED 303
#define BE_INVALIDPROC 304

/* What has become of a node, for bproc_lostcause. */
#define BPROC_LOST_DIED 1
#define BPROC_LOST_LEFT 2

#define BPROC_ARCH_X86 1
#define BPROC_ARCH_ALPHA 2
#define BPROC_ARCH_PPC 3
#define BPROC_ARCH_X86_64 4
#define BPROC_ARCH_PPC64 5

/* 48 bytes. A node that has no address, or one that is not IPv4, has addr.sa_family AF_UNSPEC. */
struct bproc_node_info_t {
    int node;
    char status[BPROC_STATE_LEN + 1];
    unsigned int mode;
    unsigned int user;
    unsigned int group;
    struct sockaddr addr;
};

/* 280 bytes: one descriptor of a process that is about to start. */
struct bproc_io_t {
    int fd;
    short type;
    short flags;
    union {
        struct sockaddr addr; /* BPROC_IO_SOCKET: where the node connects to */
        struct {
            int flags;
            int mode;
            long offset;
            char name[256];
        } file; /* BPROC_IO_FILE: opened on the node */
        struct {
            void *base;
            long size;
        } mem;
    } d;
};

/* 8 bytes. */
struct bproc_proc_info_t {
    int pid;
    int node;
};

/* 32 bytes. */
struct bproc_version_t {
    char bproc_magic[3]; /* 'B', 'P', 'r' */
    uint8_t arch;        /* BPROC_ARCH_ */
    uint32_t magic;
    char version_string[24];
};

#endif
