/* Times, counted in slots that are at most 1/64 wider than what is in them: up to 9 minutes. */

enum { FINE = 64, HALVINGS = 34 };
static uint64_t histogram[FINE * HALVINGS];

static void clear_times(void) { memset(histogram, 0, sizeof histogram); }

/* Below FINE nanoseconds each has its own slot; then FINE slots for every doubling. */
static size_t slot_of(double seconds) {
    uint64_t ns = seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
    if (ns < FINE) return ns;
    int shift = 63 - __builtin_clzll(ns) - 6;
    size_t slot = (size_t)shift * FINE + (ns >> shift);
    return slot < FINE * HALVINGS ? slot : FINE * HALVINGS - 1;
}

static double end_of_slot(size_t slot) {
    if (slot < FINE) return (double)(slot + 1) * 1e-9;
    uint64_t shift = slot / FINE - 1;
    return (double)((slot % FINE + FINE + 1) << shift) * 1e-9;
}

static void record_time(double seconds) { histogram[slot_of(seconds)]++; }

/* The time that this share of all kept within; 0 when there is none. */
static double percentile(double share) {
    uint64_t all = 0, seen = 0;
    for (size_t i = 0; i < FINE * HALVINGS; i++) all += histogram[i];
    if (!all) return 0;
    for (size_t i = 0; i < FINE * HALVINGS; i++)
        if ((double)(seen += histogram[i]) >= share * (double)all) return end_of_slot(i);
    return end_of_slot(FINE * HALVINGS - 1);
}
