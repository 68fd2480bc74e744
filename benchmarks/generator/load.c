/* A load generator for WebSocket servers and plain HTTP: one thread, epoll.

     load echo      -c CONNECTIONS -d DEPTH -s SIZE [-b] [-B]   DEPTH messages in flight on each
     load fanout    -c SUBSCRIBERS -d DEPTH -s SIZE [-B]   one more publishes to them: a message is
                                                   in flight until the last of them has it
     load handshake -c AT_A_TIME                   connect, upgrade, close frame, its reply, EOF
     load idle      -c CONNECTIONS                 open them, hold them until stdin ends, leave
     load http      -c CONNECTIONS                 GET / with keep-alive, one in flight on each

   Every mode:  (-p PORT | -u UNIX_PATH)  [-P SERVER_PID]...  [-t SECONDS]  [-w WARMUP_SECONDS]

     -m MESSAGE [-r REPLY]   echo, fanout: text instead of SIZE random bytes, and what comes back if
                             that is not the same; a run of `#` in them is the message's number
     -R RATE                 echo, fanout: an open loop. RATE messages a second in all, at most
                             DEPTH in flight on each connection. A message's time counts from when
                             it was due, also when it had to wait for those before it: no
                             coordinated omission. Between two messages it polls: it needs a core.
     -z                      echo: permessage-deflate without context takeover; the messages are
                             all the same
     -n STALLED              fanout: so many of the subscribers never read; nobody waits for them

   A closed loop unless -R is given: what is back makes room for the next.

   Every byte that comes back is compared with what RFC 6455 says a reply looks like (one
   unmasked, unfragmented frame per message with the shortest length), of whomever; anything
   else, a message that is lost, doubled, out of turn or back with its publisher, a close
   too soon or ten seconds of silence ends the program with a sentence and status 1. Keep runs
   shorter than the server's ping interval: a ping is not an echo. One line of JSON is the
   result; "server_cpu" is the CPU time that the processes SERVER_PID spent, all threads, in the
   same window as "count", and "load_cpu" our own, to see which was the bottleneck. "p50", "p99" and
   "p999" are seconds from when a message was sent, or due, to its arrivals (-R, fanout);
   "ended" are those of the stalled whom the server did not keep. */

#include "base.h"
#include "messages.h"
#include "deflate.h"
#include "histogram.h"
#include "stalled.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define HEAD_MAX 2048     /* bytes of a response head that we keep */
#define OPENING_MAX 128   /* handshakes at a time while opening connections that stay */
#define AT_A_TIME 64      /* messages that are due, before we look what has come */
#define SILENCE_MS 10000
#define PATIENCE_MS 1000  /* with a server that may yet end a connection */

/* The key and the answer to it are the example of RFC 6455, section 1.3. */
#define HOST "Host: 127.0.0.1\r\n"
#define UPGRADE \
    "GET /ws HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
static const char PLAIN_UPGRADE[] = UPGRADE "\r\n", DEFLATE_UPGRADE[] = UPGRADE OFFER "\r\n";
static const char ACCEPT[] = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
static const char GET[] = "GET / HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n";
static const char BODY[] = "Hello, world!\n";
/* Close with code 1000, masked with 01 02 03 04, and the unmasked answer. */
static const char CLOSE[] = "\x88\x82\x01\x02\x03\x04\x02\xea";
static const char CLOSE_REPLY[] = "\x88\x02\x03\xe8";

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

static int epoll;
static struct conn *conns;
static size_t started, opened, gone, ended;
static bool stopping;
static uint64_t count, total; /* finished in the measured window, and since the start */
static char read_buffer[256 * 1024];

/* Who speaks to all others, the last to come. Of each message in flight, how many of them have it,
   and when it was sent. */
static struct conn *publisher;
static size_t *receivers;
static double *sent_at;

/* An open loop: message k of all is due at `began + k / rate`. */
static double began;
static uint64_t due;

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

static void send_messages(struct conn *c, size_t n, double time) {
    size_t ring_len = messages.count * messages.frame_len;
    for (size_t i = 0; i < n && c == publisher; i++)
        sent_at[(c->sent + i) % messages.count] = time;
    if (c->out_len == 0) c->out = messages.frames + c->sent % messages.count * messages.frame_len;
    else if (c->out >= messages.frames + ring_len) c->out -= ring_len;
    c->out_len += n * messages.frame_len;
    c->sent += n;
    flush(c);
}

static uint64_t in_flight(const struct conn *c) {
    return c->sent - c->received / messages.reply_len;
}

/* When that message of this connection was due; an echo needs no table for it. */
static double due_time(const struct conn *c, uint64_t message) {
    return began + (double)(message * options.connections + (uint64_t)(c - conns)) / options.rate;
}

/* Sends what is due, and lets go in between to see what has come. Who has DEPTH in flight delays
   all others, but not the time that they count from. */
static void send_due(void) {
    double time = now();
    for (int i = 0; i < AT_A_TIME; i++, due++) {
        struct conn *c = publisher ? publisher : &conns[due % options.connections];
        double then = began + (double)due / options.rate;
        if (then > time || in_flight(c) >= options.depth) return;
        send_messages(c, 1, then);
    }
}

static bool is_stalled(const struct conn *c) {
    return publisher && c < conns + options.stalled;
}

static void start(struct conn *c) {
    int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0) fail("socket: %s", strerror(errno));
    if (options.address.ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (is_stalled(c)) set_buffer(fd, STALLED_BUFFER);
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
    else if (options.deflate) say(c, DEFLATE_UPGRADE, sizeof DEFLATE_UPGRADE - 1);
    else say(c, PLAIN_UPGRADE, sizeof PLAIN_UPGRADE - 1);
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
    began = now();
    if (options.rate) return;
    if (options.mode == FANOUT) send_messages(publisher, options.depth, began);
    if (options.mode == ECHO)
        for (size_t i = 0; i < opened; i++) send_messages(&conns[i], options.depth, began);
}

static void abandon(struct conn *c) {
    close(c->fd);
    c->state = GONE;
    gone++;
}

static void on_eof(struct conn *c) {
    if (c->state == CLOSING && c->head_len != sizeof CLOSE_REPLY - 1)
        fail("EOF instead of the answer to our close frame");
    if (c->state != CLOSING && !(options.mode == HTTP && stopping))
        fail("the server closed a connection in state %d after %llu messages", (int)c->state,
             (unsigned long long)c->sent);
    abandon(c);
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
    size_t expected_len = messages.count * messages.reply_len;
    uint64_t before = c->received / messages.reply_len;
    while (n) {
        size_t at = c->received % expected_len, some = expected_len - at;
        if (some > n) some = n;
        if (memcmp(bytes, messages.expected + at, some))
            fail("wrong bytes within message %llu: %02x %02x ... instead of %02x %02x ...",
                 (unsigned long long)(c->received / messages.reply_len), bytes[0] & 255,
                 bytes[1] & 255, messages.expected[at] & 255, messages.expected[at + 1] & 255);
        c->received += some, bytes += some, n -= some;
    }
    if (c->received > sender->sent * messages.reply_len) fail("more came than was sent");
    uint64_t came = c->received / messages.reply_len - before;
    count += came, total += came;
    return came;
}

static void on_echo_bytes(struct conn *c, const char *bytes, size_t n) {
    double time = options.rate ? now() : 0;
    uint64_t came = check(c, c, bytes, n), all = c->received / messages.reply_len;
    for (uint64_t i = came; options.rate && i; i--) record_time(time - due_time(c, all - i));
    if (stopping && in_flight(c) == 0) leave(c);
    if (stopping || options.rate || (options.bursts && in_flight(c))) return;
    send_messages(c, options.depth - in_flight(c), time);
}

static void leave_all(void) {
    for (size_t i = 0; i < opened; i++) {
        struct conn *c = &conns[i];
        if (!is_stalled(c)) leave(c);
        else if (c->state == OPEN) ended += reads_an_end(c->fd), abandon(c);
    }
}

static void on_fanout_bytes(struct conn *c, const char *bytes, size_t n) {
    if (c == publisher) fail("a message came back to who published it");
    size_t done = 0;
    double time = now();
    for (uint64_t i = check(c, publisher, bytes, n); i; i--) {
        size_t at = (c->received / messages.reply_len - i) % messages.count;
        record_time(time - sent_at[at]);
        if (++receivers[at] == options.connections - 1 - options.stalled) receivers[at] = 0, done++;
    }
    publisher->received += done * messages.reply_len;
    if (stopping && in_flight(publisher) == 0) leave_all();
    if (done && !stopping && !options.rate) send_messages(publisher, done, time);
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
    if (is_stalled(c) && c->state == OPEN) {
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) abandon(c), ended++;
        return;
    }
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
    while (now() < end) {
        if (options.rate) send_due();
        turn(options.rate ? 0 : SILENCE_MS);
    }
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
    if (options.mode == FANOUT) at_once = all_but_one;
    if (options.mode <= FANOUT || options.mode == IDLE)
        at_once = at_once < OPENING_MAX ? at_once : OPENING_MAX;
    conns = calloc(options.connections, sizeof *conns);
    if (options.mode == FANOUT) publisher = &conns[all_but_one];
    for (size_t i = 0; i < at_once; i++) start(&conns[i]);
    while (opened < options.connections) turn(SILENCE_MS);
}

/* Everybody leaves once nothing of theirs is in flight. */
static void stop(void) {
    stopping = true;
    if (publisher && in_flight(publisher) == 0) leave_all();
    for (size_t i = 0; i < opened && options.mode == ECHO; i++)
        if (in_flight(&conns[i]) == 0) leave(&conns[i]);
    while (gone < started) turn(SILENCE_MS);
}

static void measure(void) {
    run_until(now() + options.warmup);
    double cpu = server_cpu(), own = own_cpu(), since = now();
    count = 0;
    clear_times();
    run_until(since + options.seconds);
    double seconds = now() - since;
    cpu = server_cpu() - cpu, own = own_cpu() - own;
    uint64_t counted = count;
    double p50 = percentile(.5), p99 = percentile(.99), p999 = percentile(.999);
    stop();
    printf("{\"count\": %llu, \"seconds\": %.6f, \"server_cpu\": %.6f, \"load_cpu\": %.6f, "
           "\"total\": %llu",
           (unsigned long long)counted, seconds, cpu, own, (unsigned long long)total);
    if (p50) printf(", \"p50\": %.6f, \"p99\": %.6f, \"p999\": %.6f", p50, p99, p999);
    if (options.stalled) printf(", \"ended\": %zu", ended);
    puts("}");
}

int main(int argc, char **argv) {
    parse(argc, argv);
    build_messages();
    if (options.deflate) compress_messages(), learn_reply(DEFLATE_UPGRADE);
    receivers = calloc(messages.count, sizeof *receivers);
    sent_at = calloc(messages.count, sizeof *sent_at);
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
