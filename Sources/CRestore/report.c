#include "report.h"
#include "freestanding.h"

extern const char bp_text_steps[] __attribute__((visibility("hidden")));
extern const unsigned char bp_text_errors[] __attribute__((visibility("hidden")));
extern const char bp_text_not_restored[] __attribute__((visibility("hidden")));
extern const char bp_text_error_number[] __attribute__((visibility("hidden")));
extern const unsigned char bp_text_features[] __attribute__((visibility("hidden")));

enum { LINE_BYTES = 1024 };

struct line {
    uint32_t byte_count;
    char text[LINE_BYTES];
};

BP_INLINE void bp_add_byte(struct line *line, char byte) {
    // What may come from a damaged file goes to a terminal: no control characters.
    if ((unsigned char)byte < ' ' || byte == 127) byte = '?';
    if (line->byte_count < LINE_BYTES - 1) line->text[line->byte_count++] = byte;
}

BP_BLOB static void bp_add(struct line *line, const char *text, uint32_t at_most) {
    for (uint32_t i = 0; i < at_most && text[i]; i++) bp_add_byte(line, text[i]);
}

BP_BLOB static void bp_add_number(struct line *line, uint64_t number, unsigned base) {
    char digits[20];
    int count = 0;
    do {
        unsigned digit = (unsigned)(number % base);
        digits[count++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
        number /= base;
    } while (number);
    if (base == 16) bp_add_byte(line, '0'), bp_add_byte(line, 'x');
    while (count) bp_add_byte(line, digits[--count]);
}

// The word in the upper half, the missing bits in the lower.
BP_BLOB static void bp_add_features(struct line *line, uint64_t detail) {
    uint32_t word = (uint32_t)(detail >> 32) & 7, missing = (uint32_t)detail;
    int is_first = 1;
    for (const unsigned char *at = bp_text_features; *at != 255;) {
        uint32_t number = *at++;
        if (number / 32 == word && (missing >> number % 32 & 1)) {
            if (!is_first) bp_add_byte(line, ','), bp_add_byte(line, ' ');
            bp_add(line, (const char *)at, LINE_BYTES);
            is_first = 0;
        }
        while (*at++) {}
    }
    if (is_first) bp_add_number(line, detail, 16);
}

BP_BLOB static void bp_add_step(struct line *line, int step, uint64_t detail) {
    const char *text = bp_text_steps;
    for (int i = 1; i < step && *text; i++)
        while (*text++) {}
    for (; *text; text++) {
        if (*text == '@') bp_add_number(line, detail, 16);
        else if (*text == '#') bp_add_number(line, detail, 10);
        else if (*text == '%') bp_add_features(line, detail);
        else bp_add_byte(line, *text);
    }
}

BP_BLOB static void bp_add_error(struct line *line, uint64_t error) {
    const unsigned char *at = bp_text_errors;
    while (*at && *at != error) {
        while (*at++) {}
    }
    if (*at) {
        bp_add(line, (const char *)at + 1, LINE_BYTES);
    } else {
        bp_add(line, bp_text_error_number, LINE_BYTES);
        bp_add_number(line, error, 10);
    }
}

BP_BLOB void bp_report(const struct bp_stub_arguments *arguments, int stage, int step, long error,
                       uint64_t detail) {
    struct bp_restore_record record;
    record.magic = BP_RECORD_MAGIC;
    record.rank = arguments->rank;
    record.stage = (uint16_t)stage;
    record.step = (uint16_t)step;
    record.error = (int32_t)-error;
    record.monotonic_nanoseconds = bp_monotonic_nanoseconds();
    record.detail = detail;
    bp_call3(BP_SYS_WRITE, arguments->status, (long)&record, sizeof record);
}

BP_BLOB _Noreturn void bp_stub_fail(const struct bp_stub_arguments *arguments, const char *name,
                                    int stage, int step, long error, uint64_t detail) {
    if (arguments->status >= 0) {
        bp_report(arguments, stage, step, error, detail);
    } else {
        struct line line;
        line.byte_count = 0;
        bp_add(&line, name, 15);
        bp_add(&line, bp_text_not_restored, LINE_BYTES);
        bp_add_step(&line, step, detail);
        bp_add_byte(&line, ':'), bp_add_byte(&line, ' ');
        bp_add_error(&line, (uint64_t)-error);
        line.text[line.byte_count++] = '\n';
        bp_call3(BP_SYS_WRITE, 2, (long)line.text, line.byte_count);
    }
    for (;;) bp_call3(BP_SYS_EXIT_GROUP, 100 + step, 0, 0);
}
