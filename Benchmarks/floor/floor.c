// Forks one process per node, runs the clock, prints one JSON line per run.
//
//   floor --nodes 1023 --fanout 16 --chunk 512K --method splice --sndbuf 4M --rcvbuf 4M
//
// The clock: from the root's first call on a socket until every process has its own complete copy
// and has said so with one byte, combined on the way up.

#define _GNU_SOURCE
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static unsigned ownIndex;
static double loadBefore; ///< of the machine, before our own processes

void fail(const char *what)
{
    dprintf(STDERR_FILENO, "floor: process %u: %s: %s\n", ownIndex, what, strerror(errno));
    _exit(1);
}

uint64_t hashBytes(enum vectorWidth width, const void *bytes, size_t byteCount)
{
    switch (width) {
    case vectorAVX512: return xxh3AVX512(bytes, byteCount);
    case vectorAVX2: return xxh3AVX2(bytes, byteCount);
    default: return xxh3SSE2(bytes, byteCount);
    }
}

static _Noreturn void refuse(const char *option, const char *value)
{
    fprintf(stderr, "floor: --%s does not take '%s'\n", option, value);
    exit(2);
}

static unsigned long sizeFrom(const char *option, const char *text, unsigned long limit)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    unsigned long unit = 1;
    if (*end == 'K')
        unit = 1024;
    else if (*end == 'M')
        unit = 1 << 20;
    if (errno || end == text || (unit > 1 && end[1]) || (unit == 1 && *end)
        || value > limit / unit)
        refuse(option, text);
    return value * unit;
}

/// Position of `text` in the list, which ends with NULL.
static int choiceFrom(const char *option, const char *text, const char *const *list)
{
    for (int i = 0; list[i]; i++)
        if (strcmp(list[i], text) == 0)
            return i;
    refuse(option, text);
}

static const char *const methodNames[] = {"sendfile", "splice", "copy", "relay", NULL};
static const char *const storeNames[] = {"huge", "small", "memfd", NULL};
static const char *const verifyNames[] = {"none", "sse2", "avx2", "avx512", NULL};
static const char *const pinNames[] = {"none", "index", "subtree", NULL};

enum optionKey {
    keyNodes = 1, keyFanout, keyRuns, keyBytes, keyChunk, keyMethod, keyStore, keySource,
    keyVerify, keyPin, keyLeaf, keyCold, keyConnect, keyThrough, keyLowWater, keyBatch,
    keySpread, keyNice, keySend, keyReceive, keyNotSent, keyPipe, keyPort, keyExec, keyNetns,
    keyCongestion, keyHelp,
};

static const struct option longOptions[] = {
    {"nodes", required_argument, NULL, keyNodes},
    {"fanout", required_argument, NULL, keyFanout},
    {"runs", required_argument, NULL, keyRuns},
    {"bytes", required_argument, NULL, keyBytes},
    {"chunk", required_argument, NULL, keyChunk},
    {"method", required_argument, NULL, keyMethod},
    {"store", required_argument, NULL, keyStore},
    {"source", required_argument, NULL, keySource},
    {"verify", required_argument, NULL, keyVerify},
    {"pin", required_argument, NULL, keyPin},
    {"leaf-splices", no_argument, NULL, keyLeaf},
    {"cold", no_argument, NULL, keyCold},
    {"connect-inside", no_argument, NULL, keyConnect},
    {"cut-through", no_argument, NULL, keyThrough},
    {"lowat", required_argument, NULL, keyLowWater},
    {"batch", no_argument, NULL, keyBatch},
    {"spread", no_argument, NULL, keySpread},
    {"nice", required_argument, NULL, keyNice},
    {"sndbuf", required_argument, NULL, keySend},
    {"rcvbuf", required_argument, NULL, keyReceive},
    {"notsent", required_argument, NULL, keyNotSent},
    {"pipe", required_argument, NULL, keyPipe},
    {"port", required_argument, NULL, keyPort},
    {"exec", required_argument, NULL, keyExec},
    {"netns", required_argument, NULL, keyNetns},
    {"congestion", required_argument, NULL, keyCongestion},
    {"help", no_argument, NULL, keyHelp},
    {NULL, 0, NULL, 0},
};

static const char helpText[] =
    "usage: floor [options]            one JSON line per run\n"
    "  --nodes N        receivers (1023); one more process is the root\n"
    "  --fanout K       children per process (16), heap order\n"
    "  --bytes B        image size (4M + 4K); sizes take K and M\n"
    "  --chunk B        forwarded, checked and stored at once (512K)\n"
    "  --runs R         launches over the same processes (1)\n"
    "  --method M       sendfile | splice | copy | relay\n"
    "  --store S        huge | small | memfd: where a copy is kept\n"
    "  --source S       the same for the root's image\n"
    "  --cold           pages of the copies are allocated inside the clock\n"
    "  --connect-inside connections are made inside the clock\n"
    "  --verify V       none | sse2 | avx2 | avx512: XXH3 of each stored chunk\n"
    "  --exec PROGRAM   every process starts it once before it answers\n"
    "  --sndbuf B --rcvbuf B   forced socket buffers (0: left to the kernel)\n"
    "  --notsent B      TCP_NOTSENT_LOWAT\n"
    "  --congestion C   reno, cubic, bbr …: TCP_CONGESTION (the machine's default)\n"
    "  --lowat B        wake when so much has come (a chunk; 0: on any byte)\n"
    "  --cut-through    forward what has come, not whole chunks\n"
    "  --spread         serve children chunk by chunk in turn\n"
    "  --leaf-splices   splice: leaves use a pipe too\n"
    "  --pipe B         pipe capacity (1M)\n"
    "  --pin P          none | index | subtree\n"
    "  --batch --nice N scheduling of all processes but the root\n"
    "  --netns PREFIX   process i joins network namespace PREFIXi, address 10.77.x.y\n"
    "  --port P         listening port (17771)\n";

static void readOption(struct options *options, int key)
{
    const char *name = "";
    for (const struct option *entry = longOptions; entry->name; entry++)
        if (entry->val == key)
            name = entry->name;
    switch (key) {
    case keyNodes: options->nodeCount = (unsigned)sizeFrom(name, optarg, 16000); break;
    case keyFanout: options->fanout = (unsigned)sizeFrom(name, optarg, 16000); break;
    case keyRuns: options->runCount = (unsigned)sizeFrom(name, optarg, 100000); break;
    case keyBytes: options->byteCount = sizeFrom(name, optarg, 1ul << 30); break;
    case keyChunk: options->chunkByteCount = sizeFrom(name, optarg, 1ul << 30); break;
    case keyMethod: options->method = (enum method)choiceFrom(name, optarg, methodNames); break;
    case keyStore: options->store = (enum storeKind)choiceFrom(name, optarg, storeNames); break;
    case keySource: options->source = (enum storeKind)choiceFrom(name, optarg, storeNames); break;
    case keyVerify:
        options->verify = (enum vectorWidth)choiceFrom(name, optarg, verifyNames);
        break;
    case keyPin: options->pinning = (enum pinning)choiceFrom(name, optarg, pinNames); break;
    case keyLeaf: options->leafReceives = false; break;
    case keyCold: options->coldStore = true; break;
    case keyConnect: options->connectInside = true; break;
    case keyThrough: options->wholeChunks = false; break;
    case keyLowWater: options->lowWaterByteCount = (int)sizeFrom(name, optarg, 1 << 30); break;
    case keyBatch: options->batch = true; break;
    case keySpread: options->rootSpreads = true; break;
    case keyNice: options->niceness = (int)sizeFrom(name, optarg, 19); break;
    case keySend: options->sendBufferByteCount = (int)sizeFrom(name, optarg, 1 << 30); break;
    case keyReceive: options->receiveBufferByteCount = (int)sizeFrom(name, optarg, 1 << 30); break;
    case keyNotSent: options->notSentByteCount = (int)sizeFrom(name, optarg, 1 << 30); break;
    case keyPipe: options->pipeByteCount = (int)sizeFrom(name, optarg, 1 << 30); break;
    case keyPort: options->port = (int)sizeFrom(name, optarg, 65535); break;
    case keyExec: options->execPath = optarg; break;
    case keyNetns: options->netnsPrefix = optarg; break;
    case keyCongestion: options->congestion = optarg; break;
    case keyHelp: fputs(helpText, stdout); exit(0);
    default: exit(2);
    }
}

static struct options readOptions(int count, char **arguments)
{
    struct options options = {
        .nodeCount = 1023, .fanout = 16, .runCount = 1, .byteCount = (4u << 20) + 4096,
        .chunkByteCount = 512u << 10, .pipeByteCount = 1 << 20, .leafReceives = true,
        .wholeChunks = true, .lowWaterByteCount = -1, .port = 17771,
    };
    int key;
    while ((key = getopt_long(count, arguments, "", longOptions, NULL)) != -1)
        readOption(&options, key);
    if (optind < count)
        refuse("help", arguments[optind]);
    if (!options.nodeCount || !options.fanout || !options.runCount || !options.port)
        refuse("nodes, fanout, runs or port", "0");
    size_t limit = sizeof ((struct shared *)0)->chunkHashes / sizeof(uint64_t);
    if (!options.byteCount || !options.chunkByteCount
        || options.byteCount / options.chunkByteCount >= limit)
        refuse("chunk", "less than 1/65536 of the image");
    if ((options.verify == vectorAVX2 && !__builtin_cpu_supports("avx2"))
        || (options.verify == vectorAVX512 && !__builtin_cpu_supports("avx512f")))
        refuse("verify", "vectors that this CPU lacks");
    return options;
}

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/// Ends with the process group if something dies before it arrives.
static void waitUntil(const _Atomic uint32_t *counter, uint32_t value)
{
    while (atomic_load(counter) < value) {
        int status;
        if (ownIndex == 0 && waitpid(-1, &status, WNOHANG) > 0 && status != 0)
            _exit(1);
        usleep(1000);
    }
}

static void waitForGate(struct shared *shared, uint32_t value)
{
    uint32_t now;
    while ((now = atomic_load(&shared->gate)) < value)
        syscall(SYS_futex, &shared->gate, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void openGate(struct shared *shared)
{
    atomic_fetch_add(&shared->gate, 1);
    syscall(SYS_futex, &shared->gate, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void joinNetns(const char *prefix, unsigned index)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s%u", prefix, index);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || setns(descriptor, CLONE_NEWNET) != 0)
        fail(path);
    close(descriptor);
}

static void pin(const struct options *options, unsigned index)
{
    if (options->pinning == pinNone || index == 0)
        return;
    unsigned lane = index;
    // Everything under one child of the root stays on one CPU.
    while (options->pinning == pinSubtree && lane > options->fanout)
        lane = (lane - 1) / options->fanout;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(lane % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("sched_setaffinity");
}

static _Noreturn void runProcess(const struct options *options, struct shared *shared,
                                 unsigned index)
{
    ownIndex = index;
    // The root's end is everyone's end, however it comes.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (options->netnsPrefix)
        joinNetns(options->netnsPrefix, index);
    pin(options, index);
    if (options->niceness && setpriority(PRIO_PROCESS, 0, options->niceness) != 0)
        fail("setpriority");
    struct sched_param none = {0};
    if (options->batch && sched_setscheduler(0, SCHED_BATCH, &none) != 0)
        fail("SCHED_BATCH");
    struct node *node = makeNode(options, shared, index);
    listenForParent(node);
    atomic_fetch_add(&shared->listening, 1);
    waitForGate(shared, 1);
    if (!options->connectInside) {
        connectChildren(node);
        acceptParent(node);
    }
    for (unsigned run = 0; run < options->runCount; run++) {
        prepareRun(node);
        atomic_fetch_add(&shared->ready, 1);
        moveImage(node);
        waitForGate(shared, run + 2);
        if (options->method == methodRelay || hashCopy(node) == shared->imageHash)
            atomic_fetch_add(&shared->correct, 1);
        atomic_fetch_add(&shared->checked, 1);
    }
    _exit(0);
}

static uint64_t nextRandom(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/// Fresh bytes in every run, so that a copy left over from the last one cannot pass.
static void fillImage(const struct options *options, struct shared *shared, unsigned char *image,
                      unsigned run)
{
    uint64_t state = 0x9e3779b97f4a7c15u + run;
    for (size_t i = 0; i + 8 <= options->byteCount; i += 8) {
        uint64_t word = nextRandom(&state);
        memcpy(image + i, &word, 8);
    }
    shared->imageHash = hashBytes(vectorSSE2, image, options->byteCount);
    for (size_t start = 0; start < options->byteCount; start += options->chunkByteCount) {
        size_t left = options->byteCount - start;
        shared->chunkHashes[start / options->chunkByteCount] =
            hashBytes(vectorSSE2, image + start,
                      left < options->chunkByteCount ? left : options->chunkByteCount);
    }
}

static int compareTimes(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void printRun(const struct options *options, struct shared *shared, unsigned run,
                     uint64_t start, uint64_t end, unsigned correct)
{
    struct usage sum = {0};
    uint64_t *times = calloc(options->nodeCount, sizeof *times);
    if (!times)
        fail("memory for the times");
    for (unsigned i = 0; i <= options->nodeCount; i++) {
        const struct usage *usage = &shared->usages[i];
        sum.userMicroseconds += usage->userMicroseconds;
        sum.systemMicroseconds += usage->systemMicroseconds;
        sum.voluntarySwitches += usage->voluntarySwitches;
        sum.involuntarySwitches += usage->involuntarySwitches;
        sum.minorFaults += usage->minorFaults;
        sum.waits += usage->waits;
        sum.calls += usage->calls;
        if (i > 0)
            times[i - 1] = usage->completeNanoseconds - start;
    }
    qsort(times, options->nodeCount, sizeof *times, compareTimes);
    printf("{\"kind\":\"floor\",\"run\":%u,\"method\":\"%s\",\"nodes\":%u,\"fanout\":%u,"
           "\"chunk\":%zu,\"bytes\":%zu,\"store\":\"%s\",\"cold\":%s,\"connect_inside\":%s,"
           "\"verify\":\"%s\",\"sndbuf\":%d,\"rcvbuf\":%d,"
           "\"congestion\":\"%s\",",
           run, methodNames[options->method], options->nodeCount, options->fanout,
           options->chunkByteCount, options->byteCount, storeNames[options->store],
           options->coldStore ? "true" : "false", options->connectInside ? "true" : "false",
           verifyNames[options->verify], options->sendBufferByteCount,
           options->receiveBufferByteCount, options->congestion ? options->congestion : "default");
    printf("\"placed_ns\":%llu,\"placed\":%u,\"verified\":%u,\"median_complete_ns\":%llu,",
           (unsigned long long)(end - start), options->nodeCount, correct,
           (unsigned long long)times[options->nodeCount / 2]);
    printf("\"user_us\":%llu,\"system_us\":%llu,\"voluntary_switches\":%llu,"
           "\"involuntary_switches\":%llu,\"minor_faults\":%llu,\"waits\":%llu,\"calls\":%llu,"
           "\"load\":%.2f}\n",
           (unsigned long long)sum.userMicroseconds, (unsigned long long)sum.systemMicroseconds,
           (unsigned long long)sum.voluntarySwitches, (unsigned long long)sum.involuntarySwitches,
           (unsigned long long)sum.minorFaults, (unsigned long long)sum.waits,
           (unsigned long long)sum.calls, loadBefore);
    fflush(stdout);
    free(times);
}

int main(int count, char **arguments)
{
    struct options options = readOptions(count, arguments);
    size_t sharedByteCount =
        sizeof(struct shared) + (options.nodeCount + 1) * sizeof(struct usage);
    struct shared *shared = mmap(NULL, sharedByteCount, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("shared page");
    getloadavg(&loadBefore, 1);
    signal(SIGPIPE, SIG_IGN);
    // A run that hangs is a bug; nothing of it may stay behind.
    alarm(300);
    for (unsigned i = 1; i <= options.nodeCount; i++) {
        pid_t pid = fork();
        if (pid == 0)
            runProcess(&options, shared, i);
        if (pid < 0)
            fail("fork");
    }
    if (options.netnsPrefix)
        joinNetns(options.netnsPrefix, 0);
    struct node *root = makeNode(&options, shared, 0);
    waitUntil(&shared->listening, options.nodeCount);
    openGate(shared);
    if (!options.connectInside)
        connectChildren(root);
    bool allCorrect = true;
    for (unsigned run = 0; run < options.runCount; run++) {
        fillImage(&options, shared, imageOf(root), run);
        waitUntil(&shared->ready, options.nodeCount * (run + 1));
        prepareRun(root);
        usleep(20000);
        uint64_t start = nanoseconds();
        moveImage(root);
        uint64_t end = nanoseconds();
        uint32_t before = atomic_load(&shared->correct);
        openGate(shared);
        waitUntil(&shared->checked, options.nodeCount * (run + 1));
        unsigned correct = atomic_load(&shared->correct) - before;
        allCorrect &= correct == options.nodeCount;
        printRun(&options, shared, run, start, end, correct);
    }
    while (wait(NULL) > 0)
        continue;
    return allCorrect ? 0 : 1;
}
