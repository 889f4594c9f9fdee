// The table of nodes: what is read of it, watched and changed.
#pragma once
#include "bproc_local_frame.h"

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
