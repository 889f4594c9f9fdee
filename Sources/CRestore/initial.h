#pragma once

// The life of the first process of a slave's pid namespace.
_Noreturn void bp_initial_process(void);
