/* A closed-loop load generator for WebSocket servers and plain HTTP: one thread, epoll.

     load echo      -c CONNECTIONS -d DEPTH -s SIZE [-b] [-B]   DEPTH messages in flight on each
     load fanout    -c SUBSCRIBERS -d DEPTH -s SIZE [-B]   one more publishes to them: a message is
                                                   in flight until the last of them has it
     load handshake -c AT_A_TIME                   connect, upgrade, close frame, its reply, EOF
     load idle      -c CONNECTIONS                 open them, hold them until stdin ends, leave
     load http      -c CONNECTIONS                 GET / with keep-alive, one in flight on each

   Every mode:  (-p PORT | -u UNIX_PATH)  [-P SERVER_PID]  [-t SECONDS]  [-w WARMUP_SECONDS]

   Every byte that comes back is compared with what RFC 6455 says an echo looks like (one
   unmasked, unfragmented frame per message with the shortest length), of whomever; anything
   else, a message that is lost, doubled, out of turn or back with its publisher, a close
   too soon or ten seconds of silence ends the program with a sentence and status 1. Keep runs
   shorter than the server's ping interval: a ping is not an echo. One line of JSON is the
   result; "server_cpu" is the CPU time that SERVER_PID spent, all threads, in the same window
   as "count", and "load_cpu" our own, to see which of the two was the bottleneck. "p50" and
   "p99" are the times from a message's publication to its arrivals (fanout). */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 2048     /* bytes of a response head that we keep */
#define OPENING_MAX 128   /* handshakes at a time while opening many connections */
#define SILENCE_MS 10000

/* The key and the answer to it are the example of RFC 6455, section 1.3. */
#define HOST "Host: 127.0.0.1\r\n"
static const char UPGRADE[] =
    "GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
static const char ACCEPT[] = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
static const char GET[] = "GET / HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n";
static const char BODY[] = "Hello, world!\n";
/* Close with code 1000, masked with 01 02 03 04, and the unmasked answer. */
static const char CLOSE[] = "\x88\x82\x01\x02\x03\x04\x02\xea";
static const char CLOSE_REPLY[] = "\x88\x02\x03\xe8";

enum mode { ECHO, FANOUT, HANDSHAKE, IDLE, HTTP };
enum state { UPGRADING, OPEN, CLOSING, GONE };

struct conn {
    int fd;
    enum state state;
    const char *out; /* unsent bytes; all that we ever send lies in static buffers */
    size_t out_len;
    uint64_t sent;     /* messages */
    uint64_t received; /* bytes of echoes */
    size_t head_len;
    char head[HEAD_MAX];
};

static struct {
    enum mode mode;
    size_t connections, depth, size;
    bool bursts; /* the next DEPTH messages only when all of the last DEPTH are back */
    bool binary;
    double seconds, warmup;
    pid_t pid;
    struct sockaddr_storage address;
    socklen_t address_len;
} options = {.connections = 1, .depth = 1, .size = 64, .seconds = 2, .warmup = 0.3};

static int epoll;
static struct conn *conns;
static size_t started, opened, gone;
static bool stopping;
static uint64_t count, total; /* finished in the measured window, and since the start */
static char read_buffer[256 * 1024];

/* What a connection sends over and over, masked, and what must come back: `ring_messages`
   messages, more than are ever in flight, so that an echo out of turn is noticed. `ring` holds
   them twice, so that any run of up to `depth` messages lies in one piece. */
static char *ring, *expected;
static size_t ring_messages, frame_len, reply_len;

/* Who speaks to all others, the last to come. Of each message in flight, how many of them have it,
   and when it was sent; and of all that arrived in the window, how long it took. */
static struct conn *publisher;
static size_t *receivers;
static double *sent_at;
static uint64_t histogram[100000];
#define STEP 10e-6

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

static double server_cpu(void) {
    clockid_t clock;
    if (!options.pid) return 0;
    if (clock_getcpuclockid(options.pid, &clock)) fail("no process %d", (int)options.pid);
    return read_clock(clock);
}

/* RFC 6455, section 5.2: FIN, opcode, and the payload length in 1, 3 or 9 bytes. */
static size_t put_header(char *to, bool masked) {
    size_t n = options.size, used = 2, bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
    to[0] = (char)(0x80 | (options.binary ? 2 : 1));
    to[1] = (char)((masked ? 0x80 : 0) | (bytes == 0 ? n : bytes == 2 ? 126 : 127));
    while (bytes) to[used++] = (char)(n >> (8 * --bytes));
    return used;
}

static void build_messages(void) {
    ring_messages = options.depth + 7;
    size_t room = ring_messages * (options.size + 14);
    char *frame = ring = malloc(2 * room), *reply = expected = malloc(room);
    uint32_t random = 2463534242u; /* xorshift, so that every run sends the same bytes */
    for (size_t i = 0; i < ring_messages; i++) {
        size_t frame_head = put_header(frame, true), reply_head = put_header(reply, false);
        char *mask = frame + frame_head;
        frame += frame_head + 4, reply += reply_head;
        memcpy(mask, &random, 4);
        for (size_t j = 0; j < options.size; j++) {
            random ^= random << 13, random ^= random >> 17, random ^= random << 5;
            reply[j] = (char)(options.binary ? random : ' ' + random % 95);
            frame[j] = (char)(reply[j] ^ mask[j % 4]);
        }
        frame += options.size, reply += options.size;
    }
    frame_len = (size_t)(frame - ring) / ring_messages;
    reply_len = (size_t)(reply - expected) / ring_messages;
    memcpy(frame, ring, ring_messages * frame_len);
}

static void flush(struct conn *c) {
    while (c->out_len) {
        ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
        if (n < 0) fail("send: %s", strerror(errno));
        c->out += n;
        c->out_len -= (size_t)n;
    }
}

static void say(struct conn *c, const char *bytes, size_t n) {
    if (c->out_len) fail("%zu bytes were still unsent", c->out_len);
    c->out = bytes;
    c->out_len = n;
    flush(c);
}

static void send_messages(struct conn *c, size_t n) {
    size_t ring_len = ring_messages * frame_len;
    double now = options.mode == FANOUT ? read_clock(CLOCK_MONOTONIC) : 0;
    for (size_t i = 0; i < n; i++) sent_at[(c->sent + i) % ring_messages] = now;
    if (c->out_len == 0) c->out = ring + c->sent % ring_messages * frame_len;
    else if (c->out >= ring + ring_len) c->out -= ring_len;
    c->out_len += n * frame_len;
    c->sent += n;
    flush(c);
}

static void start(struct conn *c) {
    int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0) fail("socket: %s", strerror(errno));
    if (options.address.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&options.address, options.address_len) < 0 &&
        errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    memset(c, 0, offsetof(struct conn, head));
    c->fd = fd;
    c->state = options.mode == HTTP ? OPEN : UPGRADING;
    /* Edge-triggered, both ways: registered once, never changed. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll: %s", strerror(errno));
    started++;
    if (options.mode == HTTP) opened++, say(c, GET, sizeof GET - 1);
    else say(c, UPGRADE, sizeof UPGRADE - 1);
}

static void leave(struct conn *c) {
    c->state = CLOSING;
    c->head_len = 0;
    say(c, CLOSE, sizeof CLOSE - 1);
}

static void on_open(struct conn *c) {
    c->state = OPEN;
    opened++;
    if (options.mode == HANDSHAKE) leave(c);
    else if (started < options.connections &&
             (options.mode != FANOUT || started < options.connections - 1 || opened == started))
        start(&conns[started]);
    /* Nobody speaks before everybody is there. */
    if (opened < options.connections) return;
    if (options.mode == FANOUT) send_messages(publisher, options.depth);
    if (options.mode == ECHO)
        for (size_t i = 0; i < opened; i++) send_messages(&conns[i], options.depth);
}

static void on_eof(struct conn *c) {
    if (c->state == CLOSING && c->head_len != sizeof CLOSE_REPLY - 1)
        fail("EOF instead of the answer to our close frame");
    if (c->state != CLOSING && !(options.mode == HTTP && stopping))
        fail("the server closed a connection in state %d after %llu messages", (int)c->state,
             (unsigned long long)c->sent);
    close(c->fd);
    c->state = GONE;
    gone++;
    if (options.mode != HANDSHAKE) return;
    count++, total++;
    if (!stopping) start(c);
}

static void keep_head(struct conn *c, const char *bytes, size_t n) {
    if (c->head_len + n >= HEAD_MAX) fail("%zu bytes are too many here", c->head_len + n);
    memcpy(c->head + c->head_len, bytes, n);
    c->head_len += n;
    c->head[c->head_len] = 0;
}

static void on_upgrade_bytes(struct conn *c, const char *bytes, size_t n) {
    keep_head(c, bytes, n);
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return;
    if (strncmp(c->head, "HTTP/1.1 101 ", 13) || !strcasestr(c->head, ACCEPT))
        fail("not an upgrade:\n%s", c->head);
    if (end + 4 != c->head + c->head_len) fail("bytes after the upgrade, before we spoke");
    on_open(c);
}

/* Compares with what must come; gives the number of messages that are complete now. */
static uint64_t check(struct conn *c, const struct conn *sender, const char *bytes, size_t n) {
    size_t expected_len = ring_messages * reply_len;
    uint64_t before = c->received / reply_len;
    while (n) {
        size_t at = c->received % expected_len, some = expected_len - at;
        if (some > n) some = n;
        if (memcmp(bytes, expected + at, some))
            fail("wrong bytes within message %llu: %02x %02x ... instead of %02x %02x ...",
                 (unsigned long long)(c->received / reply_len), bytes[0] & 255, bytes[1] & 255,
                 expected[at] & 255, expected[at + 1] & 255);
        c->received += some, bytes += some, n -= some;
    }
    if (c->received > sender->sent * reply_len) fail("more came than was sent");
    uint64_t came = c->received / reply_len - before;
    count += came, total += came;
    return came;
}

static void on_echo_bytes(struct conn *c, const char *bytes, size_t n) {
    check(c, c, bytes, n);
    uint64_t in_flight = c->sent - c->received / reply_len;
    if (!stopping && (!options.bursts || in_flight == 0))
        send_messages(c, options.depth - in_flight);
    else if (stopping && in_flight == 0)
        leave(c);
}

static void on_fanout_bytes(struct conn *c, const char *bytes, size_t n) {
    if (c == publisher) fail("a message came back to who published it");
    size_t done = 0, slots = sizeof histogram / sizeof *histogram;
    double now = read_clock(CLOCK_MONOTONIC);
    for (uint64_t i = check(c, publisher, bytes, n); i; i--) {
        size_t at = (c->received / reply_len - i) % ring_messages;
        size_t slot = (size_t)((now - sent_at[at]) / STEP);
        histogram[slot < slots ? slot : slots - 1]++;
        if (++receivers[at] == options.connections - 1) receivers[at] = 0, done++;
    }
    publisher->received += done * reply_len;
    if (done && !stopping) send_messages(publisher, done);
    else if (stopping && publisher->received == publisher->sent * reply_len)
        for (size_t i = 0; i < opened; i++) leave(&conns[i]);
}

static void on_http_bytes(struct conn *c, const char *bytes, size_t n) {
    keep_head(c, bytes, n);
    char *body = strstr(c->head, "\r\n\r\n"), *length = strcasestr(c->head, "\r\ncontent-length:");
    if (!body) return;
    if (strncmp(c->head, "HTTP/1.1 200 ", 13) || !length || length > body)
        fail("not the response that was expected:\n%s", c->head);
    if (strtoul(length + 17, NULL, 10) != sizeof BODY - 1) fail("wrong length:\n%s", c->head);
    size_t body_len = (size_t)(c->head + c->head_len - (body + 4));
    if (body_len < sizeof BODY - 1) return;
    if (strcmp(body + 4, BODY)) fail("wrong body: %s", body + 4);
    c->head_len = 0;
    count++, total++;
    if (!stopping) say(c, GET, sizeof GET - 1);
    else shutdown(c->fd, SHUT_WR);
}

static void on_bytes(struct conn *c, const char *bytes, size_t n) {
    if (c->state == UPGRADING) return on_upgrade_bytes(c, bytes, n);
    if (options.mode == HTTP) return on_http_bytes(c, bytes, n);
    if (c->state == OPEN && options.mode == ECHO) return on_echo_bytes(c, bytes, n);
    if (c->state == OPEN && options.mode == FANOUT) return on_fanout_bytes(c, bytes, n);
    if (c->state == OPEN) fail("%zu bytes came on an idle connection", n);
    keep_head(c, bytes, n);
    if (c->head_len >= sizeof CLOSE_REPLY || memcmp(c->head, CLOSE_REPLY, c->head_len))
        fail("not the answer to our close frame: %02x %02x", bytes[0] & 255, bytes[1] & 255);
}

static void on_event(struct conn *c, uint32_t events) {
    if (events & EPOLLOUT) flush(c);
    while (c->state != GONE) {
        ssize_t n = recv(c->fd, read_buffer, sizeof read_buffer, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n < 0) fail("recv: %s", strerror(errno));
        if (n == 0) return on_eof(c);
        on_bytes(c, read_buffer, (size_t)n);
        /* A short read has emptied the socket; an EOF behind it was announced or is news. */
        if ((size_t)n < sizeof read_buffer && !(events & EPOLLRDHUP)) return;
    }
}

/* One round of events. False when stdin, whose `data.ptr` is NULL, came to its end. */
static bool turn(int timeout_ms) {
    struct epoll_event events[256];
    bool stdin_open = true;
    int n = epoll_wait(epoll, events, 256, timeout_ms);
    if (n < 0 && errno != EINTR) fail("epoll_wait: %s", strerror(errno));
    if (n == 0 && timeout_ms == SILENCE_MS) fail("nothing happened for ten seconds");
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr) on_event(events[i].data.ptr, events[i].events);
        else stdin_open = read(0, read_buffer, sizeof read_buffer) > 0;
    }
    return stdin_open;
}

static void run_until(double end) {
    while (read_clock(CLOCK_MONOTONIC) < end) turn(SILENCE_MS);
}

static void wait_for_stdin(void) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event) < 0) fail("stdin must be a pipe");
    printf("{\"open\": %zu}\n", opened);
    fflush(stdout);
    while (turn(-1)) continue;
    epoll_ctl(epoll, EPOLL_CTL_DEL, 0, NULL);
}

static void open_all(void) {
    size_t at_once = options.connections, all_but_one = options.connections - 1;
    if (options.mode == IDLE && at_once > OPENING_MAX) at_once = OPENING_MAX;
    if (options.mode == FANOUT) at_once = all_but_one < OPENING_MAX ? all_but_one : OPENING_MAX;
    conns = calloc(options.connections, sizeof *conns);
    publisher = &conns[all_but_one];
    for (size_t i = 0; i < at_once; i++) start(&conns[i]);
    while (opened < options.connections) turn(SILENCE_MS);
}

static double percentile(double share) {
    uint64_t all = 0, seen = 0;
    size_t slots = sizeof histogram / sizeof *histogram, i = 0;
    for (size_t slot = 0; slot < slots; slot++) all += histogram[slot];
    while (i < slots - 1 && (seen += histogram[i]) < share * (double)all) i++;
    return (double)(i + 1) * STEP;
}

static void measure(void) {
    run_until(read_clock(CLOCK_MONOTONIC) + options.warmup);
    double cpu = server_cpu(), own = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    double since = read_clock(CLOCK_MONOTONIC);
    count = 0;
    memset(histogram, 0, sizeof histogram);
    run_until(since + options.seconds);
    double seconds = read_clock(CLOCK_MONOTONIC) - since;
    cpu = server_cpu() - cpu, own = read_clock(CLOCK_PROCESS_CPUTIME_ID) - own;
    uint64_t counted = count;
    double p50 = percentile(.5), p99 = percentile(.99);
    stopping = true;
    while (gone < started) turn(SILENCE_MS);
    printf("{\"count\": %llu, \"seconds\": %.6f, \"server_cpu\": %.6f, \"load_cpu\": %.6f, "
           "\"total\": %llu",
           (unsigned long long)counted, seconds, cpu, own, (unsigned long long)total);
    if (options.mode == FANOUT) printf(", \"p50\": %.6f, \"p99\": %.6f", p50, p99);
    puts("}");
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
    static const char *const modes[] = {"echo", "fanout", "handshake", "idle", "http"};
    const char *port = NULL, *path = NULL;
    size_t mode = 0;
    while (argc > 1 && mode < 5 && strcmp(argv[1], modes[mode])) mode++;
    if (argc < 2 || mode == 5) fail("the first argument is echo, fanout, handshake, idle or http");
    options.mode = (enum mode)mode;
    for (int c; (c = getopt(argc - 1, argv + 1, "c:d:s:t:w:p:u:P:bB")) != -1;) {
        if (c == 'c') options.connections = strtoul(optarg, NULL, 10);
        else if (c == 'd') options.depth = strtoul(optarg, NULL, 10);
        else if (c == 's') options.size = strtoul(optarg, NULL, 10);
        else if (c == 't') options.seconds = atof(optarg);
        else if (c == 'w') options.warmup = atof(optarg);
        else if (c == 'p') port = optarg;
        else if (c == 'u') path = optarg;
        else if (c == 'P') options.pid = (pid_t)atoi(optarg);
        else if (c == 'b') options.bursts = true;
        else if (c == 'B') options.binary = true;
        else exit(2);
    }
    if (!options.connections || !options.depth) fail("-c and -d are at least 1");
    if (options.mode == FANOUT) options.connections++;
    parse_address(port, path);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    build_messages();
    receivers = calloc(ring_messages, sizeof *receivers);
    sent_at = calloc(ring_messages, sizeof *sent_at);
    epoll = epoll_create1(0);
    open_all();
    if (options.mode != IDLE) {
        measure();
        return 0;
    }
    wait_for_stdin();
    for (size_t i = 0; i < opened; i++) leave(&conns[i]);
    while (gone < started) turn(SILENCE_MS);
    printf("{\"closed\": %zu}\n", gone);
    return 0;
}
