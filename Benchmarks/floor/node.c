// One process of the tree: takes chunks from its parent, keeps them, passes them on, and answers
// with one byte when its whole subtree is complete.

#define _GNU_SOURCE
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
    int socket;
    int pipe[2];       ///< splice: bytes teed and not yet in the socket
    size_t pipedCount; ///< splice: how many
    size_t sentCount;
    bool writable;
    bool readable;
    bool answered;
};

struct node {
    const struct options *options;
    struct shared *shared;
    unsigned index;
    unsigned childCount;
    struct child *children;
    int listener;
    int parent;
    int poller;
    int store;
    int execFile;
    int pipe[2];
    unsigned char *bytes; ///< the mapped store, or the buffer of methodRelay
    size_t receivedCount;
    size_t forwardableCount; ///< what children may have by now
    size_t minimumSentCount; ///< what the slowest child has
    size_t lowWater;
    bool readable;
    pid_t started;
    uint64_t waits;
    uint64_t calls;
};

enum { parentTag = 0, listenerTag = 1, childTagBase = 2 };

static struct sockaddr_in addressOf(const struct options *options, unsigned index)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_port = htons((uint16_t)options->port);
    uint32_t net = options->netnsPrefix ? 0x0a4d0000u : 0x7f4d0000u;
    address.sin_addr.s_addr = htonl(net + ((index >> 7) << 8) + (index & 127) + 1);
    return address;
}

static void setOption(int socket, int level, int name, int value, const char *what)
{
    if (setsockopt(socket, level, name, &value, sizeof value) != 0)
        fail(what);
}

static int makeSocket(const struct options *options)
{
    int socketFD = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (socketFD < 0)
        fail("socket");
    // Sizes must be set before the handshake: the window scale is fixed there.
    if (options->sendBufferByteCount)
        setOption(socketFD, SOL_SOCKET, SO_SNDBUFFORCE, options->sendBufferByteCount, "SO_SNDBUF");
    if (options->receiveBufferByteCount)
        setOption(socketFD, SOL_SOCKET, SO_RCVBUFFORCE, options->receiveBufferByteCount,
                  "SO_RCVBUF");
    if (options->notSentByteCount)
        setOption(socketFD, IPPROTO_TCP, TCP_NOTSENT_LOWAT, options->notSentByteCount,
                  "TCP_NOTSENT_LOWAT");
    setOption(socketFD, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    if (options->congestion
        && setsockopt(socketFD, IPPROTO_TCP, TCP_CONGESTION, options->congestion,
                      (socklen_t)strlen(options->congestion)) != 0)
        fail("TCP_CONGESTION");
    return socketFD;
}

static void watch(struct node *node, int descriptor, uint32_t events, unsigned tag)
{
    // Edge-triggered: one registration, no further epoll_ctl.
    struct epoll_event event = {.events = events | EPOLLET, .data.u32 = tag};
    if (epoll_ctl(node->poller, EPOLL_CTL_ADD, descriptor, &event) != 0)
        fail("epoll_ctl");
}

static void makePipe(const struct options *options, int ends[2])
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        fail("pipe2");
    if (fcntl(ends[1], F_SETPIPE_SZ, options->pipeByteCount) < 0)
        fail("F_SETPIPE_SZ");
}

static bool splices(const struct node *node)
{
    if (node->options->method != methodSplice || node->index == 0)
        return false;
    return node->childCount > 0 || !node->options->leafReceives;
}

struct node *makeNode(const struct options *options, struct shared *shared, unsigned index)
{
    struct node *node = calloc(1, sizeof *node);
    if (!node)
        fail("memory for the node");
    *node = (struct node){.options = options, .shared = shared, .index = index};
    node->listener = node->parent = node->store = node->execFile = -1;
    // Heap order: the children of i are k·i+1 … k·i+k.
    uint64_t first = (uint64_t)options->fanout * index + 1;
    if (first <= options->nodeCount) {
        uint64_t left = options->nodeCount - first + 1;
        node->childCount = left < options->fanout ? (unsigned)left : options->fanout;
        node->children = calloc(node->childCount, sizeof *node->children);
        if (!node->children)
            fail("memory for the children");
    }
    node->poller = epoll_create1(EPOLL_CLOEXEC);
    if (node->poller < 0)
        fail("epoll_create1");
    if (index > 0 && options->method == methodRelay) {
        node->bytes = malloc(2 * options->chunkByteCount);
        if (!node->bytes)
            fail("memory for the buffer");
        memset(node->bytes, 1, 2 * options->chunkByteCount);
    } else {
        node->store = openStore(index ? options->store : options->source, options->byteCount);
        node->bytes = mapStore(node->store, options->byteCount);
        if (index == 0 || !options->coldStore)
            memset(node->bytes, 1, options->byteCount);
    }
    if (splices(node))
        makePipe(options, node->pipe);
    if (options->execPath) {
        node->execFile = open(options->execPath, O_RDONLY | O_CLOEXEC);
        if (node->execFile < 0)
            fail(options->execPath);
    }
    return node;
}

unsigned char *imageOf(struct node *node)
{
    return node->bytes;
}

uint64_t hashCopy(const struct node *node)
{
    enum vectorWidth width = node->options->verify ? node->options->verify : vectorSSE2;
    return hashBytes(width, node->bytes, node->options->byteCount);
}

void listenForParent(struct node *node)
{
    struct sockaddr_in address = addressOf(node->options, node->index);
    node->listener = makeSocket(node->options);
    setOption(node->listener, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR");
    if (bind(node->listener, (struct sockaddr *)&address, sizeof address) != 0)
        fail("bind");
    if (listen(node->listener, 16) != 0)
        fail("listen");
    watch(node, node->listener, EPOLLIN, listenerTag);
}

void connectChildren(struct node *node)
{
    for (unsigned j = 0; j < node->childCount; j++) {
        struct child *child = &node->children[j];
        struct sockaddr_in own = addressOf(node->options, node->index);
        struct sockaddr_in other =
            addressOf(node->options, node->options->fanout * node->index + 1 + j);
        own.sin_port = 0;
        child->socket = makeSocket(node->options);
        if (bind(child->socket, (struct sockaddr *)&own, sizeof own) != 0)
            fail("bind before connect");
        if (connect(child->socket, (struct sockaddr *)&other, sizeof other) != 0
            && errno != EINPROGRESS)
            fail("connect");
        watch(node, child->socket, EPOLLIN | EPOLLOUT, childTagBase + j);
        child->writable = true;
        if (splices(node) && !child->pipe[1])
            makePipe(node->options, child->pipe);
    }
}

/// Bytes up to the end of the current chunk.
static size_t restOfChunk(const struct node *node)
{
    size_t chunk = node->options->chunkByteCount;
    size_t left = node->options->byteCount - node->receivedCount;
    size_t rest = chunk - node->receivedCount % chunk;
    return rest < left ? rest : left;
}

static void setLowWater(struct node *node)
{
    size_t wanted = restOfChunk(node);
    size_t left = node->options->byteCount - node->receivedCount;
    if (node->options->lowWaterByteCount > 0)
        wanted = (size_t)node->options->lowWaterByteCount;
    wanted = wanted < left ? wanted : left;
    if (!node->options->lowWaterByteCount || node->parent < 0 || wanted == node->lowWater
        || wanted == 0)
        return;
    setOption(node->parent, SOL_SOCKET, SO_RCVLOWAT, (int)wanted, "SO_RCVLOWAT");
    node->lowWater = wanted;
}

static bool tryAcceptParent(struct node *node)
{
    node->parent = accept4(node->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (node->parent < 0) {
        if (errno == EAGAIN)
            return false;
        fail("accept");
    }
    setOption(node->parent, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY");
    node->lowWater = 0;
    watch(node, node->parent, EPOLLIN, parentTag);
    node->readable = true;
    return true;
}

static void waitForEvents(struct node *node)
{
    struct epoll_event events[64];
    // A mark above what is still to come would never be reached, so it follows partial reads.
    setLowWater(node);
    node->waits++;
    int count = epoll_wait(node->poller, events, 64, -1);
    if (count < 0 && errno != EINTR)
        fail("epoll_wait");
    for (int i = 0; i < count; i++) {
        uint32_t tag = events[i].data.u32;
        if (tag == parentTag) {
            node->readable = true;
        } else if (tag >= childTagBase) {
            struct child *child = &node->children[tag - childTagBase];
            if (events[i].events & EPOLLOUT)
                child->writable = true;
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                child->readable = true;
        }
    }
}

void acceptParent(struct node *node)
{
    while (!tryAcceptParent(node))
        waitForEvents(node);
}

static void closeConnections(struct node *node)
{
    // A reset leaves no TIME_WAIT behind; everything has been consumed by now.
    struct linger reset = {.l_onoff = 1};
    for (unsigned j = 0; j < node->childCount; j++) {
        setsockopt(node->children[j].socket, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(node->children[j].socket);
    }
    if (node->parent >= 0)
        close(node->parent);
    node->parent = -1;
}

void prepareRun(struct node *node)
{
    const struct options *options = node->options;
    if (options->connectInside && node->shared->gate > 1)
        closeConnections(node);
    if (options->coldStore && node->index > 0 && node->store >= 0)
        emptyStore(node->store, options->byteCount);
    if (node->started > 0)
        waitpid(node->started, NULL, 0);
    node->started = 0;
    node->receivedCount = node->index == 0 ? options->byteCount : 0;
    node->forwardableCount = node->receivedCount;
    node->minimumSentCount = 0;
    node->waits = node->calls = 0;
    for (unsigned j = 0; j < node->childCount; j++) {
        node->children[j].sentCount = 0;
        node->children[j].answered = false;
    }
}

/// Returns the bytes moved, or 0 when the descriptor has no more room or bytes.
static size_t moved(struct node *node, ssize_t result, bool *open, const char *what)
{
    node->calls++;
    if (result > 0)
        return (size_t)result;
    if (result < 0 && errno == EAGAIN) {
        *open = false;
        return 0;
    }
    if (result == 0)
        errno = ECONNRESET;
    fail(what);
}

static void checkChunk(struct node *node, size_t end)
{
    const struct options *options = node->options;
    if (!options->verify || node->store < 0)
        return;
    size_t chunk = (end - 1) / options->chunkByteCount;
    size_t start = chunk * options->chunkByteCount;
    if (hashBytes(options->verify, node->bytes + start, end - start)
        != node->shared->chunkHashes[chunk]) {
        errno = EBADMSG;
        fail("a chunk arrived changed");
    }
}

static void noteReceived(struct node *node, size_t count)
{
    const struct options *options = node->options;
    node->receivedCount += count;
    bool complete = node->receivedCount % options->chunkByteCount == 0
        || node->receivedCount == options->byteCount;
    if (complete)
        checkChunk(node, node->receivedCount);
    if (complete || !options->wholeChunks)
        node->forwardableCount = node->receivedCount;
}

static bool receiveSome(struct node *node)
{
    size_t want = restOfChunk(node);
    unsigned char *place = node->bytes + node->receivedCount;
    if (node->options->method == methodRelay) {
        // The two chunks of the buffer are reused as soon as every child has been sent them.
        size_t window = 2 * node->options->chunkByteCount;
        size_t sent = node->childCount ? node->minimumSentCount : node->receivedCount;
        if (node->receivedCount + want > sent + window)
            return false;
        place = node->bytes + node->receivedCount % window;
    }
    size_t count = moved(node, recv(node->parent, place, want, 0), &node->readable, "recv");
    if (count)
        noteReceived(node, count);
    return count > 0;
}

static bool drainPipes(struct node *node, bool *progress)
{
    bool empty = true;
    for (unsigned j = 0; j < node->childCount; j++) {
        struct child *child = &node->children[j];
        while (child->pipedCount && child->writable) {
            size_t count = moved(node,
                                 splice(child->pipe[0], NULL, child->socket, NULL,
                                        child->pipedCount, SPLICE_F_NONBLOCK | SPLICE_F_MOVE),
                                 &child->writable, "splice to a child");
            child->pipedCount -= count;
            child->sentCount += count;
            *progress |= count > 0;
        }
        empty &= child->pipedCount == 0;
    }
    return empty;
}

static void storePiped(struct node *node, size_t count)
{
    loff_t offset = (loff_t)node->receivedCount;
    for (size_t left = count; left;) {
        node->calls++;
        ssize_t stored = splice(node->pipe[0], NULL, node->store, &offset, left, SPLICE_F_MOVE);
        if (stored <= 0)
            fail("splice to the file");
        left -= (size_t)stored;
    }
}

/// Children's pipes must be empty first: only then does a tee of everything fit surely.
static bool spliceSome(struct node *node)
{
    bool progress = false;
    if (!drainPipes(node, &progress))
        return progress;
    if (!node->readable || node->receivedCount == node->options->byteCount)
        return progress;
    size_t count = moved(node,
                         splice(node->parent, NULL, node->pipe[1], NULL, restOfChunk(node),
                                SPLICE_F_NONBLOCK | SPLICE_F_MOVE),
                         &node->readable, "splice from the parent");
    if (!count)
        return progress;
    for (unsigned j = 0; j < node->childCount; j++) {
        struct child *child = &node->children[j];
        node->calls++;
        if (tee(node->pipe[0], child->pipe[1], count, SPLICE_F_NONBLOCK) != (ssize_t)count)
            fail("tee moved less than the pipe held");
        child->pipedCount = count;
    }
    drainPipes(node, &progress);
    storePiped(node, count);
    noteReceived(node, count);
    return true;
}

static ssize_t sendOnce(struct node *node, struct child *child, size_t end)
{
    size_t count = end - child->sentCount;
    if (node->options->method == methodRelay && node->index > 0) {
        size_t window = 2 * node->options->chunkByteCount;
        size_t start = child->sentCount % window;
        if (count > window - start)
            count = window - start;
        return send(child->socket, node->bytes + start, count, MSG_NOSIGNAL);
    }
    if (node->options->method == methodCopy || node->options->method == methodRelay)
        return send(child->socket, node->bytes + child->sentCount, count, MSG_NOSIGNAL);
    off_t offset = (off_t)child->sentCount;
    return sendfile(child->socket, node->store, &offset, count);
}

/// One chunk for every child that has room.
static bool forwardSome(struct node *node)
{
    bool progress = false;
    size_t minimum = node->options->byteCount;
    for (unsigned j = 0; j < node->childCount; j++) {
        struct child *child = &node->children[j];
        while (child->writable && child->sentCount < node->forwardableCount) {
            size_t end = node->forwardableCount;
            size_t chunk = node->options->chunkByteCount;
            if (node->options->rootSpreads && end - child->sentCount > chunk)
                end = child->sentCount + chunk;
            size_t count = moved(node, sendOnce(node, child, end), &child->writable, "send");
            child->sentCount += count;
            progress |= count > 0;
            if (node->options->rootSpreads)
                break;
        }
        if (child->sentCount < minimum)
            minimum = child->sentCount;
    }
    node->minimumSentCount = minimum;
    return progress;
}

static bool takeAnswers(struct node *node)
{
    bool progress = false;
    for (unsigned j = 0; j < node->childCount; j++) {
        struct child *child = &node->children[j];
        char answer;
        if (child->answered || !child->readable)
            continue;
        if (moved(node, recv(child->socket, &answer, 1, 0), &child->readable, "child's answer"))
            child->answered = progress = true;
    }
    return progress;
}

static bool allAnswered(const struct node *node)
{
    for (unsigned j = 0; j < node->childCount; j++)
        if (!node->children[j].answered)
            return false;
    return true;
}

/// vfork comes back when the program runs: that is the moment a node could say so.
static void startProgram(struct node *node)
{
    static char *const nothing[] = {NULL};
    static char *const arguments[] = {"tiny", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        syscall(SYS_execveat, node->execFile, "", arguments, nothing, AT_EMPTY_PATH);
        _exit(127);
    }
    if (pid < 0)
        fail("vfork");
    node->started = pid;
}

static void noteUsage(struct node *node, const struct rusage *before)
{
    struct usage *usage = &node->shared->usages[node->index];
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
#define microseconds(time) ((uint64_t)(time).tv_sec * 1000000u + (uint64_t)(time).tv_usec)
    usage->userMicroseconds = microseconds(now.ru_utime) - microseconds(before->ru_utime);
    usage->systemMicroseconds = microseconds(now.ru_stime) - microseconds(before->ru_stime);
#undef microseconds
    usage->voluntarySwitches = (uint64_t)(now.ru_nvcsw - before->ru_nvcsw);
    usage->involuntarySwitches = (uint64_t)(now.ru_nivcsw - before->ru_nivcsw);
    usage->minorFaults = (uint64_t)(now.ru_minflt - before->ru_minflt);
    usage->waits = node->waits;
    usage->calls = node->calls;
}

static void answerParent(struct node *node)
{
    if (send(node->parent, "c", 1, MSG_NOSIGNAL) != 1)
        fail("answer to the parent");
}

void moveImage(struct node *node)
{
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    if (node->options->connectInside) {
        if (node->index > 0)
            acceptParent(node);
        connectChildren(node);
    }
    bool complete = node->index == 0;
    for (;;) {
        bool progress = false;
        if (splices(node)) {
            progress |= spliceSome(node);
        } else {
            if (node->readable && node->receivedCount < node->options->byteCount)
                progress |= receiveSome(node);
            progress |= forwardSome(node);
        }
        if (!complete && node->receivedCount == node->options->byteCount) {
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            node->shared->usages[node->index].completeNanoseconds =
                (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
            if (node->execFile >= 0)
                startProgram(node);
            complete = true;
        }
        progress |= takeAnswers(node);
        if (complete && allAnswered(node))
            break;
        if (!progress)
            waitForEvents(node);
    }
    noteUsage(node, &before);
    if (node->index > 0)
        answerParent(node);
}
