// The packed form of an image, where the network is slow enough for it. A helper packs: the library
// has no compressor.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// A network that is faster than an image can be packed gains nothing, whatever the image holds.
static const double fastest_bytes_per_second = 1e9;

// The packed file, or -1: it does not pay, or cannot be had.
static int ask(struct bplib_channel *channel, const struct bproc_local_network *network,
               int image) {
    const struct bproc_local_packing packing = {.compression = BPROC_LOCAL_COMPRESSION_AUTO,
                                                .network = *network};
    struct iovec part = {(void *)&packing, sizeof packing};
    struct bplib_message answer;
    if (bplib_channel_queue(channel, BPROC_LOCAL_PACK, &part, 1) < 0 ||
        bplib_channel_send(channel, image, -1) < 0 ||
        bplib_channel_receive(channel, &answer, -1) < 0 || channel->received[0] < 0) {
        return -1;
    }
    return bplib_accept_image("the image", &answer.header, answer.body, &channel->received[0],
                              NULL);
}

int bplib_pack(const struct bplib_helper *helper, int image) {
    const struct bproc_local_network *network = &helper->network;
    int ends[2], error = errno;
    if (helper->program < 0 || network->node_count == 0 ||
        network->uplink_bytes_per_second >= fastest_bytes_per_second ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return image;
    }
    int packed = -1;
    pid_t pid = bplib_start_helper(helper, ends[1], NULL);
    close(ends[1]);
    struct bplib_channel channel;
    if (pid < 0) {
        close(ends[0]);
    } else if (bplib_channel_adopt(&channel, ends[0]) == 0) {
        packed = ask(&channel, network, image);
        bplib_channel_close(&channel);
    }
    // The image travels as it is, then.
    errno = error;
    if (packed < 0) return image;
    close(image);
    return packed;
}
