/* What to count: valgrind's client requests, which do nothing outside of it. */

#include <valgrind/callgrind.h>

void warm_up_begins(void) { CALLGRIND_START_INSTRUMENTATION; }

void measured_begins(void) { CALLGRIND_ZERO_STATS; }

void measured_ends(void)
{
    CALLGRIND_DUMP_STATS;
    CALLGRIND_STOP_INSTRUMENTATION;
}
