/* What every part of the load generator needs: its options, how it fails, clocks. */

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum mode { ECHO, FANOUT, HANDSHAKE, IDLE, HTTP };
static const char *const MODES[] = {"echo", "fanout", "handshake", "idle", "http"};
enum { MODE_COUNT = sizeof MODES / sizeof *MODES, PROCESSES = 64 };

static struct {
    enum mode mode;
    size_t connections, depth, size, stalled;
    const char *message, *reply; /* instead of random ones of `size` bytes */
    bool bursts; /* the next DEPTH messages only when all of the last DEPTH are back */
    bool binary, deflate;
    double rate, seconds, warmup;
    pid_t pids[PROCESSES];
    size_t processes;
    struct sockaddr_storage address;
    socklen_t address_len;
} options = {.connections = 1, .depth = 1, .size = 64, .seconds = 2, .warmup = 0.3};

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static double read_clock(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) < 0) fail("the server is gone: %s", strerror(errno));
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void) { return read_clock(CLOCK_MONOTONIC); }

static double own_cpu(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

/* Of all its processes and their threads. */
static double server_cpu(void) {
    double sum = 0;
    for (size_t i = 0; i < options.processes; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(options.pids[i], &clock))
            fail("no process %d", (int)options.pids[i]);
        sum += read_clock(clock);
    }
    return sum;
}

static void parse_address(const char *port, const char *path) {
    struct sockaddr_in *ip = (struct sockaddr_in *)&options.address;
    struct sockaddr_un *local = (struct sockaddr_un *)&options.address;
    if (path) {
        local->sun_family = AF_UNIX;
        snprintf(local->sun_path, sizeof local->sun_path, "%s", path);
        options.address_len = sizeof *local;
    } else if (port) {
        ip->sin_family = AF_INET;
        ip->sin_port = htons((uint16_t)atoi(port));
        ip->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        options.address_len = sizeof *ip;
    } else fail("-p PORT or -u UNIX_PATH is missing");
}

static void parse(int argc, char **argv) {
    const char *port = NULL, *path = NULL;
    size_t mode = 0;
    while (argc > 1 && mode < MODE_COUNT && strcmp(argv[1], MODES[mode])) mode++;
    if (argc < 2 || mode == MODE_COUNT) fail("the first argument is the mode, see load.c");
    options.mode = (enum mode)mode;
    for (int c; (c = getopt(argc - 1, argv + 1, "c:d:s:m:r:R:n:t:w:p:u:P:bBz")) != -1;) {
        if (c == 'c') options.connections = strtoul(optarg, NULL, 10);
        else if (c == 'd') options.depth = strtoul(optarg, NULL, 10);
        else if (c == 's') options.size = strtoul(optarg, NULL, 10);
        else if (c == 'm') options.message = optarg;
        else if (c == 'r') options.reply = optarg;
        else if (c == 'R') options.rate = atof(optarg);
        else if (c == 'n') options.stalled = strtoul(optarg, NULL, 10);
        else if (c == 't') options.seconds = atof(optarg);
        else if (c == 'w') options.warmup = atof(optarg);
        else if (c == 'p') port = optarg;
        else if (c == 'u') path = optarg;
        else if (c == 'P' && options.processes < PROCESSES)
            options.pids[options.processes++] = (pid_t)atoi(optarg);
        else if (c == 'b') options.bursts = true;
        else if (c == 'B') options.binary = true;
        else if (c == 'z') options.deflate = true;
        else exit(2);
    }
    if (!options.connections || !options.depth) fail("-c and -d are at least 1");
    if (options.stalled >= options.connections) fail("-n is less than -c");
    if (!options.reply) options.reply = options.message;
    if (options.reply && !options.message) fail("-r is the answer to -m");
    if (options.deflate && (options.mode != ECHO || options.message)) fail("-z is for echo -s");
    if (options.mode == FANOUT) options.connections++;
    parse_address(port, path);
}
