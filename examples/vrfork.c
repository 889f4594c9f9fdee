/* Twin primes below four million, counted on as many nodes as are up.
 *
 * The sieve is made once, here. Then one call makes a child of this very process on every node,
 * with the finished sieve in its memory: nothing is read, sent or made again by the program itself.
 *
 *     cc -o vrfork vrfork.c -lbproc
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/bproc.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT = 4000000, NODES = 1024 };
static char composite[LIMIT + 3];

struct result { int rank, twins; };

static struct result count_twins(int rank, int ranks) {
    struct result result = {rank, 0};
    long first = (long)LIMIT * rank / ranks, end = (long)LIMIT * (rank + 1) / ranks;
    for (long n = first < 3 ? 3 : first; n < end; n++)
        result.twins += !composite[n] && !composite[n + 2];
    return result;
}

int main(void) {
    struct bproc_node_set_t up = BPROC_EMPTY_NODESET;
    static int nodes[NODES], pids[NODES];
    if (bproc_nodespec(&up, "up") < 0 || up.size == 0 || up.size > NODES) return perror("nodes"), 1;
    for (int i = 0; i < up.size; i++) nodes[i] = bproc_node_set_node(&up, i).node;

    for (long n = 2; n * n < LIMIT + 3; n++)
        for (long m = n * n; !composite[n] && m < LIMIT + 3; m += n) composite[m] = 1;

    /* Every child gets a connection to this socket as its standard output. The address 0.0.0.0 is
       the machine that the child comes from. */
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listen(listener, NODES) < 0 || getsockname(listener, (void *)&address, &length) < 0)
        return perror("listen"), 1;
    struct bproc_io_t output = {.fd = STDOUT_FILENO, .type = BPROC_IO_SOCKET};
    memcpy(&output.d.addr, &address, sizeof address);

    int rank = bproc_vrfork_io(up.size, nodes, pids, &output, 1);
    if (rank < 0) return perror("vrfork"), 1;
    if (rank < up.size) {
        struct result result = count_twins(rank, up.size);
        return write(STDOUT_FILENO, &result, sizeof result) != sizeof result;
    }

    int sum = 0;
    for (int i = 0; i < up.size; i++) {
        struct result result = {i, 0};
        if (pids[i] < 0) {
            fprintf(stderr, "node %d: %s\n", nodes[i], bproc_strerror(pids[i]));
            result = count_twins(i, up.size);
        } else {
            int child = accept(listener, NULL, NULL);
            if (read(child, &result, sizeof result) != sizeof result) return perror("result"), 1;
            close(child);
        }
        printf("node %d: %d\n", nodes[result.rank], result.twins);
        sum += result.twins;
    }
    printf("%d twin primes below %d\n", sum, LIMIT);
    bproc_nodeset_free(&up);
    return 0;
}
