/* Compressed messages (RFC 7692), without context takeover, so that equal messages have equal
   frames: one message over and over, compressed once. What comes back for it is learnt from one
   reply, inflated and compared; from then on replies are compared byte by byte, as ever. */

#include <sys/socket.h>
#include <zlib.h>

#define OFFER \
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; " \
    "client_no_context_takeover\r\n"

/* Section 7.2.1: a raw stream, flushed, without the 00 00 ff ff at its end. */
static size_t compress_payload(char *from, size_t n, char *to, size_t room) {
    z_stream z = {.next_in = (Bytef *)from, .avail_in = (uInt)n, .next_out = (Bytef *)to,
                  .avail_out = (uInt)room};
    deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_in) fail("deflate: no room");
    deflateEnd(&z);
    return z.total_out - 4;
}

/* Section 7.2.2. */
static size_t inflate_payload(char *from, size_t n, char *to, size_t room) {
    z_stream z = {.next_out = (Bytef *)to, .avail_out = (uInt)room};
    unsigned char tail[4] = {0, 0, 0xff, 0xff};
    inflateInit2(&z, -15);
    z.next_in = (Bytef *)from, z.avail_in = (uInt)n;
    if (inflate(&z, Z_SYNC_FLUSH) < 0 && z.avail_in) fail("inflate: %s", z.msg);
    z.next_in = tail, z.avail_in = sizeof tail;
    inflate(&z, Z_SYNC_FLUSH);
    inflateEnd(&z);
    return z.total_out;
}

/* Compresses the first message, and puts it in the place of all. */
static void compress_messages(void) {
    size_t size = options.size, room = size + size / 100 + 64;
    char *text = malloc(size), *frame = malloc(room + HEADER_MAX + MASK), *end;
    char *mask = messages.frames + messages.frame_len - size - MASK;
    for (size_t i = 0; i < size; i++) text[i] = mask[MASK + i] ^ mask[i % MASK];
    char *compressed = malloc(room);
    size_t n = compress_payload(text, size, compressed, room);
    end = frame + put_header(frame, n, true);
    frame[0] |= RSV1;
    memcpy(end, mask, MASK), end += MASK;
    for (size_t i = 0; i < n; i++) *end++ = compressed[i] ^ mask[i % MASK];
    messages.frame_len = (size_t)(end - frame);
    messages.frames = realloc(messages.frames, 2 * messages.count * messages.frame_len);
    for (size_t i = 0; i < messages.count; i++)
        memcpy(messages.frames + i * messages.frame_len, frame, messages.frame_len);
    repeat_frames();
    free(text), free(frame), free(compressed);
}

/* RFC 6455, section 5.2: the length of the header, once `n` bytes say it, and of the payload. */
static size_t parse_header(const unsigned char *bytes, size_t n, size_t *payload) {
    if (n < 2) return 0;
    size_t more = bytes[1] < 126 ? 0 : bytes[1] == 126 ? 2 : 8;
    if (n < 2 + more) return 0;
    *payload = more ? 0 : bytes[1];
    for (size_t i = 0; i < more; i++) *payload = *payload << 8 | bytes[2 + i];
    return 2 + more;
}

/* Reads until `done` says that it has all; at most `room` bytes, the last of them a zero. */
static size_t read_all(int fd, char *to, size_t room, bool (*done)(const char *, size_t)) {
    size_t n = 0;
    while (!done(to, n)) {
        ssize_t some = recv(fd, to + n, room - 1 - n, 0);
        if (some <= 0) fail("no answer to the first compressed message");
        n += (size_t)some;
        to[n] = 0;
    }
    return n;
}

static bool has_head(const char *bytes, size_t n) { return n && strstr(bytes, "\r\n\r\n"); }

static bool has_frame(const char *bytes, size_t n) {
    size_t payload, header = parse_header((const unsigned char *)bytes, n, &payload);
    return header && n >= header + payload;
}

/* Sends one message over a connection of its own, and makes what comes back what is expected. */
static void learn_reply(const char *upgrade) {
    size_t room = options.size + options.size / 100 + 4096, payload = 0;
    char *reply = malloc(room), *text = malloc(options.size + 1);
    int fd = socket(options.address.ss_family, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&options.address, options.address_len))
        fail("connect: %s", strerror(errno));
    send(fd, upgrade, strlen(upgrade), MSG_NOSIGNAL);
    read_all(fd, reply, room, has_head);
    if (!strcasestr(reply, "\r\nSec-WebSocket-Extensions: permessage-deflate"))
        fail("the server does not compress:\n%s", reply);
    for (size_t sent = 0; sent < messages.frame_len;)
        sent += (size_t)send(fd, messages.frames + sent, messages.frame_len - sent, MSG_NOSIGNAL);
    size_t n = read_all(fd, reply, room, has_frame);
    size_t header = parse_header((const unsigned char *)reply, n, &payload);
    const char *plain = messages.expected + messages.reply_len - options.size;
    size_t length = payload;
    if (reply[0] & RSV1)
        length = inflate_payload(reply + header, payload, text, options.size + 1);
    else memcpy(text, reply + header, payload < options.size ? payload : options.size);
    if (length != options.size || memcmp(text, plain, length)) fail("not what was sent came back");
    close(fd);
    messages.reply_len = header + payload;
    messages.expected = realloc(messages.expected, messages.count * messages.reply_len);
    for (size_t i = 0; i < messages.count; i++)
        memcpy(messages.expected + i * messages.reply_len, reply, messages.reply_len);
    free(reply), free(text);
}
