// The part that runs in the daemon: where the restore code lies in this executable.
#include "include/CRestore.h"
#include "bp_cpu.h"
#include "freestanding.h"

extern const unsigned char __start_bp_restore[] __attribute__((visibility("hidden")));
extern const unsigned char __stop_bp_restore[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_direct[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_stub[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_restorer[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_base[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_scratch[] __attribute__((visibility("hidden")));
extern const unsigned char bp_entry_stack[] __attribute__((visibility("hidden")));

struct bp_restore_code bp_restore_code(void) {
    struct bp_restore_code code;
    code.bytes = __start_bp_restore;
    code.byte_count = (size_t)(__stop_bp_restore - __start_bp_restore);
    code.direct_entry = (size_t)(bp_entry_direct - __start_bp_restore);
    code.stub_entry = (size_t)(bp_entry_stub - __start_bp_restore);
    code.restorer_entry = (size_t)(bp_entry_restorer - __start_bp_restore);
    code.base_slot = (size_t)(bp_entry_base - __start_bp_restore);
    code.scratch_slot = (size_t)(bp_entry_scratch - __start_bp_restore);
    code.stack_slot = (size_t)(bp_entry_stack - __start_bp_restore);
    return code;
}

extern const unsigned char __start_bp_standin[] __attribute__((visibility("hidden")));
extern const unsigned char __stop_bp_standin[] __attribute__((visibility("hidden")));
extern void bp_stand_in_main(struct bp_stand_in *) __attribute__((visibility("hidden")));

struct bp_stand_in_code bp_stand_in_code(void) {
    return (struct bp_stand_in_code){
        .bytes = __start_bp_standin,
        .byte_count = (size_t)(__stop_bp_standin - __start_bp_standin),
        .entry = (size_t)((const unsigned char *)bp_stand_in_main - __start_bp_standin),
    };
}

uint64_t bp_local_features(uint32_t *words) { return bp_feature_words(words); }

extern const char bp_text_steps[] __attribute__((visibility("hidden")));
extern const unsigned char bp_text_features[] __attribute__((visibility("hidden")));

const char *bp_restore_sentence(unsigned step) {
    if (step == 0 || step >= BP_STEP_COUNT) return NULL;
    const char *text = bp_text_steps;
    for (unsigned i = 1; i < step && *text; i++)
        while (*text++) {}
    return *text ? text : NULL;
}

const char *bp_feature_name(unsigned index, unsigned *number) {
    const unsigned char *at = bp_text_features;
    for (; index > 0 && *at != 255; index--)
        for (at++; *at++;) {}
    if (*at == 255) return NULL;
    *number = *at;
    return (const char *)at + 1;
}
