// The process that looks after what a slave without a pid namespace leaves when it is killed.
#pragma once
#include <stdint.h>

/* From now on orphans below this process become its children. 0 or a negated errno. */
long bp_adopt_orphans(void);

/* The sessions whose members end with the slave; memory that the slave and its guardian share. */
struct bp_guarded;

/* Room for the list; NULL: no memory. */
struct bp_guarded *_Nullable bp_guarded_map(void);
void bp_guarded_add(struct bp_guarded *_Nonnull guarded, int32_t session);
void bp_guarded_remove(struct bp_guarded *_Nonnull guarded, int32_t session);

/* Starts the guardian, a child of this process, which sees processes by this descriptor of a
   procfs. Its pid, or a negated errno. */
long bp_start_guardian(struct bp_guarded *_Nonnull guarded, int processes);

/* Buries a child that has ended, without a word. */
void bp_bury(int32_t pid);
