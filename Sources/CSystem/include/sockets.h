// Sockets. Addresses cross as family, port and 16 octets, so that no sockaddr type leaks into
// Swift.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct bp_address {
    uint8_t octets[16]; /* network order; IPv4 uses the first four */
    uint16_t port;      /* host order */
    uint8_t family;     /* 4 or 6, 0: none */
};

struct bp_credentials {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* Fills a sockaddr (bytes: at least 28) and answers its length. */
long bp_sockaddr_make(const struct bp_address *_Nonnull address, void *_Nonnull bytes);
long bp_tcp_socket(uint8_t family);
long bp_bind(int fd, const struct bp_address *_Nonnull address);
long bp_listen(int fd, int backlog);
long bp_connect_nonblocking(int fd, const struct bp_address *_Nonnull address);
long bp_socket_error(int fd);
long bp_peer_address(int fd, struct bp_address *_Nonnull address);
long bp_local_address(int fd, struct bp_address *_Nonnull address);
long bp_set_no_delay(int fd);
/* Best effort: the forced form first, which root may use beyond the system's limit. */
void bp_set_buffer_sizes(int fd, int send_bytes, int receive_bytes);
long bp_set_low_water(int fd, int byte_count);
long bp_set_congestion_control(int fd, const char *_Nonnull name);
long bp_accept(int fd);
long bp_shutdown(int fd);
long bp_send(int fd, const void *_Nonnull bytes, size_t count, int more);
long bp_receive(int fd, void *_Nonnull bytes, size_t count);
long bp_sendfile(int out_fd, int in_fd, uint64_t offset, size_t count);

/* Unix sockets have a path, or "@" and an abstract name, which has no mode. */
long bp_unix_listen(const char *_Nonnull path, unsigned mode);
long bp_unix_connect(const char *_Nonnull path);
long bp_unix_pair(int *_Nonnull fds);
long bp_peer_credentials(int fd, struct bp_credentials *_Nonnull credentials);
/* Supplementary groups of a connected peer; answers how many it has, storing at most capacity. */
long bp_peer_groups(int fd, uint32_t *_Nonnull groups, size_t capacity);
/* One message with at most one descriptor (-1: none). Surplus descriptors are closed. */
long bp_send_descriptor(int fd, const void *_Nonnull bytes, size_t count, int descriptor);
long bp_receive_descriptor(int fd, void *_Nonnull bytes, size_t count, int *_Nonnull descriptor);
