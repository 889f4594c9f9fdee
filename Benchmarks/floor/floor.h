// The floor: how fast bare processes move one image down a tree of TCP connections.
//
// No protocol, no undump, no healing: what a launch costs at least on this machine. floor.c forks
// the processes, starts the clock and prints; node.c is one process of the tree; store.c is the
// memory that a process keeps its copy in; xxh3.c is compiled once per vector width.

#ifndef FLOOR_H
#define FLOOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How a process takes, keeps and passes on a chunk.
enum method {
    methodSendfile, ///< recv into the mapped file, sendfile from the file to every child
    methodSplice,   ///< splice socket to pipe, tee for every child, splice pipe to file
    methodCopy,     ///< recv into the mapped file, send from the mapping
    methodRelay,    ///< recv into a buffer of two chunks, send from it; nothing is stored
};

/// The memory a copy is kept in.
enum storeKind {
    storeHuge,  ///< file on a private tmpfs mounted with huge=always
    storeSmall, ///< file on a private tmpfs with 4 KiB pages
    storeMemfd, ///< memfd
};

enum vectorWidth { vectorNone, vectorSSE2, vectorAVX2, vectorAVX512 };

enum pinning { pinNone, pinIndex, pinSubtree };

struct options {
    unsigned nodeCount; ///< receivers; the root is one more process
    unsigned fanout;
    unsigned runCount;
    size_t byteCount;
    size_t chunkByteCount;
    enum method method;
    enum storeKind store;
    enum storeKind source; ///< where the root keeps the image
    enum vectorWidth verify;
    enum pinning pinning;
    bool leafReceives;       ///< splice: leaves use recv into the mapping, one call a chunk
    bool coldStore;          ///< pages are allocated inside the clock
    bool connectInside;      ///< connections are made inside the clock
    bool wholeChunks;        ///< forward a chunk only when all of it has come
    bool batch;              ///< SCHED_BATCH
    bool rootSpreads;        ///< root serves chunk by chunk instead of child by child
    int niceness;
    int sendBufferByteCount; ///< 0: left to the kernel
    int receiveBufferByteCount;
    int lowWaterByteCount;   ///< SO_RCVLOWAT: wake only when so much is there; -1: a chunk; 0: off
    int notSentByteCount;    ///< TCP_NOTSENT_LOWAT, 0: off
    int pipeByteCount;
    int port;
    const char *congestion;  ///< TCP_CONGESTION, or NULL: the machine's default
    const char *execPath;    ///< program that every process starts once, or NULL
    const char *netnsPrefix; ///< process i joins network namespace PREFIXi, or NULL
};

/// What one process used between the start of a run and its own answer.
struct usage {
    uint64_t userMicroseconds;
    uint64_t systemMicroseconds;
    uint64_t voluntarySwitches;
    uint64_t involuntarySwitches;
    uint64_t minorFaults;
    uint64_t waits; ///< epoll_wait calls
    uint64_t calls; ///< recv, send, sendfile, splice and tee calls
    uint64_t completeNanoseconds; ///< CLOCK_MONOTONIC when its own copy was complete
};

/// Set-up and results only; not one byte of this is used to move the image or the answers.
struct shared {
    _Atomic uint32_t listening; ///< processes whose socket listens
    _Atomic uint32_t connected; ///< processes whose connections stand
    _Atomic uint32_t ready;     ///< processes ready for the run, summed over the runs
    _Atomic uint32_t checked;   ///< processes that compared their copy, summed over the runs
    _Atomic uint32_t correct;   ///< of these: equal to the root's image
    _Atomic uint32_t gate;      ///< 1 + number of finished runs; a futex
    uint64_t imageHash;         ///< of this run's image
    uint64_t chunkHashes[65536];
    struct usage usages[];
};

/// Ends the process with a sentence on standard error; the closed connections end the others.
_Noreturn void fail(const char *what);

/// Opens a private file of `byteCount` bytes. Returns its descriptor.
int openStore(enum storeKind kind, size_t byteCount);
/// Maps it shared and writable.
unsigned char *mapStore(int descriptor, size_t byteCount);
/// Gives all pages back, so that the next run allocates them.
void emptyStore(int descriptor, size_t byteCount);

/// One process of the tree, root (index 0) included.
struct node;
struct node *makeNode(const struct options *options, struct shared *shared, unsigned index);
/// Creates the listening socket (not the root).
void listenForParent(struct node *node);
/// Connects to the children.
void connectChildren(struct node *node);
/// Accepts the parent's connection.
void acceptParent(struct node *node);
/// Prepares pages and connections for the next run.
void prepareRun(struct node *node);
/// Moves the image: returns when the whole subtree is complete and the parent has been told.
void moveImage(struct node *node);
/// XXH3 of the process's copy.
uint64_t hashCopy(const struct node *node);
/// The root's image, to be filled in.
unsigned char *imageOf(struct node *node);

/// XXH3 with the given vectors; the machine must have them.
uint64_t hashBytes(enum vectorWidth width, const void *bytes, size_t byteCount);
uint64_t xxh3SSE2(const void *bytes, size_t byteCount);
uint64_t xxh3AVX2(const void *bytes, size_t byteCount);
uint64_t xxh3AVX512(const void *bytes, size_t byteCount);

#endif
