// Error numbers and sentences.
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static __thread char reason[512];

const char *bproc_reason(void) { return reason; }

void bplib_set_reason(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
}

int bplib_fail(int error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    errno = error;
    return -1;
}

const char *bproc_strerror(int error) {
    // -INT_MIN does not exist, and no error number is that large.
    if (error < 0) error = error < -4096 ? 4096 : -error;
    switch (error) {
    case BE_INVALIDNODE: return "Invalid node number";
    case BE_NODEDOWN: return "Node is down";
    case BE_SAMENODE: return "Move to same node";
    case BE_SLAVEDIED: return "Slave node died";
    case BE_INVALIDPROC: return "Invalid process ID";
    default: break;
    }
    const char *text = strerrordesc_np(error);
    return text ? text : "Unknown error";
}

_Static_assert(BPROC_STAGE_PLAN == (int)BPROC_LOCAL_STAGE_PLAN, "stages are the protocol's");
_Static_assert(BPROC_STAGE_NODE == (int)BPROC_LOCAL_STAGE_NODE, "stages are the protocol's");

const char *bproc_stage_name(int stage) {
    static const char *const names[] = {"none",  "plan",    "connect", "header", "receive",
                                        "spawn", "restore", "io",      "node"};
    if (stage < 0 || stage >= (int)(sizeof names / sizeof names[0])) return "unknown";
    return names[stage];
}

void bplib_copy_text(char *text, size_t text_bytes, const char *field, size_t field_bytes) {
    size_t length = strnlen(field, field_bytes);
    if (length >= text_bytes) length = text_bytes - 1;
    memcpy(text, field, length);
    text[length] = 0;
    // The sentence goes to terminals: nothing in it may move the cursor.
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 127) text[i] = '?';
    }
}
