#include "items.h"
#include "bp_image.h"
#include "freestanding.h"

BP_BLOB int bp_take_number(const char **text, int64_t *value) {
    const char *at = *text;
    int negative = *at == '-';
    if (negative) at++;
    if (*at < '0' || *at > '9') return 0;
    int64_t sum = 0;
    while (*at >= '0' && *at <= '9') {
        if (sum > (INT64_MAX - 9) / 10) return 0;
        sum = sum * 10 + (*at++ - '0');
    }
    if (*at == ':')
        at++;
    else if (*at)
        return 0;
    *value = negative ? -sum : sum;
    *text = at;
    return 1;
}

BP_BLOB int bp_is_delayed(const char *text) { return text[0] == '+'; }

BP_BLOB int bp_is_item(const char *text) {
    return text[0] == 'F' || text[0] == 'S' || bp_is_delayed(text);
}

BP_BLOB static int bp_item_fails(struct bp_item_failure *failure, int step, long error,
                                 uint64_t detail) {
    failure->step = step;
    failure->error = error;
    failure->detail = detail;
    return -1;
}

// Moves our own descriptors out of the way of one that the program shall have.
BP_BLOB static int bp_make_room(struct bp_stub_arguments *arguments, int wanted,
                                struct bp_item_failure *failure) {
    int *ours[3] = {&arguments->image, &arguments->status, &arguments->directory};
    for (int k = 0; k < 3; k++) {
        if (*ours[k] != wanted) continue;
        long moved = bp_call3(BP_SYS_FCNTL, wanted, 0 /* F_DUPFD */, wanted + 1);
        if (moved < 0)
            return bp_item_fails(failure, BP_STEP_MOVE_DESCRIPTOR, moved, (uint64_t)wanted);
        *ours[k] = (int)moved;
    }
    return 0;
}

// Gives a new descriptor the number that the program knows it by; flags as dup3 has them.
BP_BLOB static int bp_place_descriptor(int step, long descriptor, int wanted, long flags,
                                       struct bp_item_failure *failure) {
    if (descriptor == wanted) return 0;
    long result = bp_call3(BP_SYS_DUP3, descriptor, wanted, flags);
    bp_call3(BP_SYS_CLOSE, descriptor, 0, 0);
    return result < 0 ? bp_item_fails(failure, step, result, (uint64_t)wanted) : 0;
}

BP_BLOB static int bp_open_item(struct bp_stub_arguments *arguments, const char *text,
                                struct bp_item_failure *failure) {
    int64_t wanted, flags, mode, offset;
    if (!bp_take_number(&text, &wanted) || !bp_take_number(&text, &flags) ||
        !bp_take_number(&text, &mode) || !bp_take_number(&text, &offset) || wanted < 0 ||
        wanted > 1 << 20)
        return bp_item_fails(failure, BP_STEP_ARGUMENTS, -BP_EINVAL, 'F');
    if (bp_make_room(arguments, (int)wanted, failure) < 0) return -1;
    long file = bp_call3(BP_SYS_OPEN, (long)text, flags, mode);
    if (file < 0) return bp_item_fails(failure, BP_STEP_OPEN_ITEM, file, (uint64_t)wanted);
    long result = offset != 0 ? bp_call3(BP_SYS_LSEEK, file, offset, 0) : 0;
    if (result < 0) return bp_item_fails(failure, BP_STEP_OPEN_ITEM, result, (uint64_t)wanted);
    const long close_on_exec = 02000000; /* O_CLOEXEC: a copy has its own */
    return bp_place_descriptor(BP_STEP_OPEN_ITEM, file, (int)wanted, flags & close_on_exec,
                               failure);
}

BP_INLINE int bp_hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

// How long sending, and so connecting, may take on this socket; 0: for ever.
BP_INLINE long bp_limit_sending(long descriptor, int64_t seconds) {
    int64_t limit[2] = {seconds, 0};
    return bp_call5(BP_SYS_SETSOCKOPT, descriptor, 1 /* SOL_SOCKET */, 21 /* SO_SNDTIMEO */,
                    (long)limit, sizeof limit);
}

// Connects, and tells the other side who has come if it wants to know.
BP_BLOB static long bp_connect(long descriptor, const unsigned char *address, long byte_count,
                               const int32_t *words) {
    long result = bp_limit_sending(descriptor, BP_CONNECT_SECONDS);
    if (result >= 0) result = bp_call3(BP_SYS_CONNECT, descriptor, (long)address, byte_count);
    if (result == -BP_EINPROGRESS) result = -BP_ETIMEDOUT;
    if (result >= 0 && words) {
        const long byte_count_of_words = 8, no_signal = 0x4000; /* MSG_NOSIGNAL */
        result = bp_call6(BP_SYS_SENDTO, descriptor, (long)words, byte_count_of_words, no_signal,
                          0, 0);
        if (result >= 0 && result != byte_count_of_words) result = -BP_EIO;
    }
    return result < 0 ? result : bp_limit_sending(descriptor, 0);
}

BP_BLOB static int bp_socket_item(struct bp_stub_arguments *arguments, const char *text,
                                  struct bp_item_failure *failure) {
    int64_t wanted, info, family, port;
    if (!bp_take_number(&text, &wanted) || !bp_take_number(&text, &info) ||
        !bp_take_number(&text, &family) || !bp_take_number(&text, &port) || wanted < 0 ||
        wanted > 1 << 20 || (family != 2 && family != 10))
        return bp_item_fails(failure, BP_STEP_ARGUMENTS, -BP_EINVAL, 'S');
    unsigned char address[28]; /* sockaddr_in or sockaddr_in6 */
    bp_zero(address, sizeof address);
    address[0] = (unsigned char)family;
    address[2] = (unsigned char)(port >> 8);
    address[3] = (unsigned char)port;
    int byte_count = family == 2 ? 4 : 16, at = family == 2 ? 4 : 8;
    for (int i = 0; i < byte_count; i++) {
        int high = bp_hex_digit(text[0]);
        int low = high < 0 ? -1 : bp_hex_digit(text[1]);
        if (low < 0) return bp_item_fails(failure, BP_STEP_ARGUMENTS, -BP_EINVAL, 'S');
        address[at + i] = (unsigned char)(high << 4 | low);
        text += 2;
    }
    if (bp_make_room(arguments, (int)wanted, failure) < 0) return -1;
    long descriptor = bp_call3(BP_SYS_SOCKET, family, 1 /* SOCK_STREAM */, 0);
    int32_t words[2] = {(int32_t)arguments->number, (int32_t)wanted};
    long result = descriptor < 0 ? descriptor
                                 : bp_connect(descriptor, address, family == 2 ? 16 : 28,
                                              info ? words : 0);
    if (result < 0) return bp_item_fails(failure, BP_STEP_SOCKET_ITEM, result, (uint64_t)wanted);
    return bp_place_descriptor(BP_STEP_SOCKET_ITEM, descriptor, (int)wanted, 0, failure);
}

BP_BLOB int bp_set_up_item(struct bp_stub_arguments *arguments, const char *text,
                           struct bp_item_failure *failure) {
    if (bp_is_delayed(text)) text++;
    return text[0] == 'F' ? bp_open_item(arguments, text + 1, failure)
                          : bp_socket_item(arguments, text + 1, failure);
}

BP_BLOB int bp_keep_item(struct bp_stub_arguments *arguments, const char *text) {
    uint32_t length = 0;
    while (text[length]) length++;
    if (length + 1 > sizeof arguments->items - arguments->item_byte_count) return -1;
    bp_copy(arguments->items + arguments->item_byte_count, text, length + 1);
    arguments->item_byte_count += length + 1;
    return 0;
}
