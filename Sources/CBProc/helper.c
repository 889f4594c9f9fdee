// The helpers, run for one question: borrowed from the daemon or, for an image where none runs, the
// installed one.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// Where the daemons are installed; `make` says so.
#ifndef BPROC_SBINDIR
#define BPROC_SBINDIR "/usr/local/sbin"
#endif

static int open_named_helper(struct bplib_helper *helper, const char *name) {
    helper->program = open(name, O_RDONLY | O_CLOEXEC);
    if (helper->program >= 0) return 0;
    return bplib_fail(errno, "capture helper %s: %s", name, bproc_strerror(errno));
}

// No daemon answers: the file of one will do. What is wrong with the daemon stays what is told.
static int open_installed_helper(struct bplib_helper *helper) {
    static const char *const names[] = {BPROC_SBINDIR "/bpmaster", BPROC_SBINDIR "/bpslave"};
    int error = errno;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && helper->program < 0; i++) {
        helper->program = open(names[i], O_RDONLY | O_CLOEXEC);
    }
    errno = error;
    return helper->program < 0 ? -1 : 0;
}

int bplib_take_helper(struct bplib_channel *channel, struct bplib_helper *helper) {
    struct bplib_message answer;
    if (bplib_channel_expect(channel, &answer, BPROC_LOCAL_HELPER, sizeof helper->network,
                             "capture helper") < 0) {
        return -1;
    }
    helper->program = channel->received[0];
    helper->directory = channel->received[1];
    memcpy(&helper->network, answer.body, sizeof helper->network);
    channel->received[0] = channel->received[1] = -1;
    if (helper->program >= 0) return 0;
    return bplib_fail(EPROTO, "capture helper: the daemon sent no descriptor");
}

int bplib_request_helper(struct bplib_helper *helper) {
    struct bplib_channel channel;
    *helper = (struct bplib_helper){.program = -1, .directory = -1};
    // Who needs no daemon may name the helper: tests, and installations without one.
    const char *name = secure_getenv("BPROC_HELPER");
    if (name && *name) return open_named_helper(helper, name);
    if (bplib_channel_open(&channel) < 0) return open_installed_helper(helper);
    int result = -1;
    if (bplib_channel_queue(&channel, BPROC_LOCAL_HELPER_REQUEST, NULL, 0) == 0 &&
        bplib_channel_send(&channel, -1, BPLIB_ANSWER_MILLISECONDS) == 0) {
        result = bplib_take_helper(&channel, helper);
    }
    bplib_channel_close(&channel);
    return result;
}

void bplib_return_helper(const struct bplib_helper *helper) {
    int error = errno;
    if (helper->program >= 0) close(helper->program);
    if (helper->directory >= 0) close(helper->directory);
    errno = error;
}

// In a child that shares the caller's memory until it executes the helper: a handler of the caller
// must not run there, and what is ignored or blocked must reach the helper unchanged.
static void restore_signals(const sigset_t *mask) {
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) < 0) continue;
        bool has_handler = (action.sa_flags & SA_SIGINFO) ||
                           (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
        if (!has_handler) continue;
        action.sa_handler = SIG_DFL;
        action.sa_flags = 0;
        (void)sigaction(number, &action, NULL);
    }
    (void)sigprocmask(SIG_SETMASK, mask, NULL);
}

void bplib_word_helper(struct bplib_helper_words *words, const char *role, int own_socket) {
    (void)snprintf(words->name, sizeof words->name, "bproc-%s", role);
    (void)snprintf(words->option, sizeof words->option, "--helper=%s", role);
    (void)snprintf(words->socket, sizeof words->socket, "--socket=%d", own_socket);
    words->argv[0] = words->name;
    words->argv[1] = words->option;
    words->argv[2] = words->socket;
    words->argv[3] = NULL;
    // What its runtime would look for at every start, and in an empty root in vain.
    words->envp[0] = (char *)"SWIFT_BACKTRACE=enable=no,swift-backtrace=/";
    words->envp[1] = NULL;
}

// Becomes the helper. Comes back with an errno.
static int execute(const struct bplib_helper *helper, int own_socket, const sigset_t *mask) {
    struct bplib_helper_words words;
    bplib_word_helper(&words, "capture", own_socket);
    // This process has a descriptor table of its own. What the caller has open is not kept open by
    // the helper: it may be about to execute what it has just written.
    bplib_close_others((const int[]){helper->program, own_socket});
    if (fcntl(own_socket, F_SETFD, 0) == 0) {
        if (mask) restore_signals(mask);
        (void)execveat(helper->program, "", words.argv, words.envp, AT_EMPTY_PATH);
    }
    return errno;
}

struct start {
    const struct bplib_helper *helper;
    int socket;
    const sigset_t *mask;
    pid_t pid;
    int error;
};

// The life of the process between the caller and the helper.
static int between(void *argument) {
    struct start *start = argument;
    start->pid = vfork();
    if (start->pid == 0) {
        start->error = execute(start->helper, start->socket, start->mask);
        _exit(127);
    }
    if (start->pid < 0) start->error = errno;
    while (start->pid > 0 && start->error && waitpid(start->pid, NULL, 0) < 0 && errno == EINTR) {}
    _exit(0);
}

// exec gives a process an exit signal, and its parent a child that wait reports. A caller must see
// neither, so the helper is the child of a process that ends at once, has no exit signal itself and
// is invisible to a plain wait.
pid_t bplib_start_helper(const struct bplib_helper *helper, int socket, const sigset_t *mask) {
    char stack[16384] __attribute__((aligned(64)));
    struct start start = {.helper = helper, .socket = socket, .mask = mask};
    // The orphan shall not come back as a child.
    int before = bplib_begin_orphans(0);
    pid_t child = clone(between, stack + sizeof stack, CLONE_VM | CLONE_VFORK, &start);
    int error = errno;
    while (child > 0 && waitpid(child, NULL, __WCLONE) < 0 && errno == EINTR) {}
    bplib_end_orphans(before);
    if (child < 0) return bplib_fail(error, "capture helper: clone: %s", bproc_strerror(error));
    if (start.pid < 0) {
        return bplib_fail(start.error, "capture helper: vfork: %s", bproc_strerror(start.error));
    }
    if (start.error) {
        return bplib_fail(start.error, "capture helper: it cannot be executed: %s",
                          bproc_strerror(start.error));
    }
    return start.pid;
}

int bplib_accept_image(const char *what, const struct bproc_local_header *header,
                       const void *body, int *descriptor, struct bproc_capture_info *info) {
    struct bproc_local_captured captured;
    if (header->kind != BPROC_LOCAL_CAPTURED || header->body_bytes < sizeof captured) {
        return bplib_fail(EPROTO, "%s: the capture helper answered kind %u with %u bytes", what,
                          header->kind, header->body_bytes);
    }
    memcpy(&captured, body, sizeof captured);
    if (captured.error) {
        char text[sizeof captured.reason + 1];
        bplib_copy_text(text, sizeof text, captured.reason, sizeof captured.reason);
        int error = captured.error > 0 ? captured.error : EIO;
        return bplib_fail(error, "%s: %s", what, *text ? text : bproc_strerror(error));
    }
    int image = *descriptor;
    struct stat status;
    if (image < 0 || fstat(image, &status) < 0 || !S_ISREG(status.st_mode)) {
        return bplib_fail(EPROTO, "%s: the capture helper sent no image", what);
    }
    *descriptor = -1;
    if (info) {
        *info = (struct bproc_capture_info){.image_bytes = captured.image_bytes,
                                            .capture_nanoseconds = captured.capture_nanoseconds};
    }
    return image;
}
