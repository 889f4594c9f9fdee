// The beginning of every call that starts processes: one connection to the daemon. It lends the
// helper, and becomes the channel of the job later.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>

int bplib_begin(struct bplib_start *start) {
    *start = (struct bplib_start){.helper = {.program = -1, .directory = -1},
                                  .node = bplib_has_place() ? bplib_place.node
                                                            : BPROC_NODE_MASTER};
    struct bplib_channel *channel = &start->channel;
    if (bplib_channel_connect(channel) < 0) return errno == EBUSY ? 0 : -1;
    // One answer to both: each way there and back is a process that has to wake up twice.
    if (bplib_channel_queue(channel, BPROC_LOCAL_HELPER_REQUEST, NULL, 0) < 0) {
        bplib_channel_close(channel);
        return -1;
    }
    if (bplib_channel_greet(channel) < 0) return errno == EBUSY ? 0 : -1;
    start->node = channel->welcome.node;
    if (bplib_take_helper(channel, &start->helper) == 0) return 0;
    bplib_end(start);
    return errno == EBUSY ? 0 : -1;
}

void bplib_end(struct bplib_start *start) {
    bplib_channel_close(&start->channel);
    bplib_return_helper(&start->helper);
    start->helper.program = start->helper.directory = -1;
}

void bplib_forget(struct bplib_start *start) {
    start->channel.descriptor = start->channel.received[0] = start->channel.received[1] = -1;
    bplib_channel_close(&start->channel);
}
