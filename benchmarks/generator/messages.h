/* What a connection sends over and over, and what must come back.

   There are more messages than are ever in flight, each different, so that one out of turn is
   noticed. In a message that was given (-m, -r), a run of `#` stands for its number. */

static struct {
    size_t count;
    size_t frame_len, reply_len;
    char *frames;   /* masked; twice, so that any run of up to `depth` lies in one piece */
    char *expected; /* unmasked, unfragmented, with the shortest length */
} messages;

enum { HEADER_MAX = 10, MASK = 4, RSV1 = 0x40 };

/* The same once more, behind them. */
static void repeat_frames(void) {
    size_t all = messages.count * messages.frame_len;
    memcpy(messages.frames + all, messages.frames, all);
}

/* RFC 6455, section 5.2: FIN, opcode, and the payload length in 1, 3 or 9 bytes. */
static size_t put_header(char *to, size_t n, bool masked) {
    size_t used = 2, bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
    to[0] = (char)(0x80 | (options.binary ? 2 : 1));
    to[1] = (char)((masked ? 0x80 : 0) | (bytes == 0 ? n : bytes == 2 ? 126 : 127));
    while (bytes) to[used++] = (char)(n >> (8 * --bytes));
    return used;
}

static void put_numbered(char *to, const char *template, size_t number) {
    size_t n = strlen(template);
    memcpy(to, template, n);
    for (; n; n--) {
        if (to[n - 1] != '#') continue;
        to[n - 1] = (char)('0' + number % 10);
        number /= 10;
    }
}

static uint32_t next_random(void) {
    static uint32_t state = 2463534242u; /* xorshift: every run sends the same bytes */
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state;
}

/* Text is words, so that it can be compressed as what people write can be. */
static void put_random(char *to, size_t n) {
    static const char *const words[] = {"the ", "message ", "of ", "a ", "room ", "was ", "never ",
                                        "sent ", "to ", "who ", "it ", "again, ", "and ", "but ",
                                        "latency ", "socket "};
    for (size_t i = 0; i < n && options.binary; i++) to[i] = (char)next_random();
    for (size_t i = 0; i < n && !options.binary;) {
        const char *word = words[next_random() >> 7 & 15];
        while (*word && i < n) to[i++] = *word++;
    }
}

/* Adds one message, masked, and the reply to it. */
static void put_message(size_t number, char *frame, char *reply) {
    size_t size = options.message ? strlen(options.message) : options.size;
    size_t reply_size = options.reply ? strlen(options.reply) : size;
    char *mask = frame + put_header(frame, size, true);
    char *payload = mask + MASK, *reply_payload = reply + put_header(reply, reply_size, false);
    uint32_t key = next_random();
    memcpy(mask, &key, MASK);
    if (options.message) {
        put_numbered(payload, options.message, number);
        put_numbered(reply_payload, options.reply, number);
    } else {
        put_random(payload, size);
        memcpy(reply_payload, payload, size);
    }
    for (size_t i = 0; i < size; i++) payload[i] ^= mask[i % MASK];
    messages.frame_len = (size_t)(payload + size - frame);
    messages.reply_len = (size_t)(reply_payload + reply_size - reply);
}

/* Has room for all; the lengths are known with the first, and the same for all. */
static void build_messages(void) {
    size_t size = options.message ? strlen(options.message) : options.size;
    size_t reply_size = options.reply ? strlen(options.reply) : size;
    messages.count = options.depth + 7;
    messages.frames = malloc(2 * messages.count * (size + HEADER_MAX + MASK));
    messages.expected = malloc(messages.count * (reply_size + HEADER_MAX));
    for (size_t i = 0; i < messages.count; i++)
        put_message(i, messages.frames + i * messages.frame_len,
                    messages.expected + i * messages.reply_len);
    repeat_frames();
}
