/* What a connection sends over and over, and what must come back.

   There are more messages than are ever in flight, each different, so that one out of turn is
   noticed. In a message that was given (-m, -r), a run of `#` stands for its number. */

static struct {
    size_t count;
    size_t frame_len, reply_len;
    char *frames;   /* masked; twice, so that any run of up to `depth` lies in one piece */
    char *expected; /* unmasked, unfragmented, with the shortest length */
} messages;

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

static void put_random(char *to, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(options.binary ? next_random() : ' ' + next_random() % 95);
}

static void build_messages(void) {
    size_t size = options.message ? strlen(options.message) : options.size;
    size_t reply_size = options.reply ? strlen(options.reply) : size;
    messages.count = options.depth + 7;
    char *frame = messages.frames = malloc(2 * messages.count * (size + 14));
    char *reply = messages.expected = malloc(messages.count * (reply_size + 10));
    for (size_t i = 0; i < messages.count; i++) {
        frame += put_header(frame, size, true), reply += put_header(reply, reply_size, false);
        char *mask = frame;
        uint32_t key = next_random();
        memcpy(mask, &key, 4);
        frame += 4;
        if (options.message) {
            put_numbered(frame, options.message, i);
            put_numbered(reply, options.reply, i);
        } else {
            put_random(frame, size);
            memcpy(reply, frame, size);
        }
        for (size_t j = 0; j < size; j++) frame[j] ^= mask[j % 4];
        frame += size, reply += reply_size;
    }
    messages.frame_len = (size_t)(frame - messages.frames) / messages.count;
    messages.reply_len = (size_t)(reply - messages.expected) / messages.count;
    memcpy(frame, messages.frames, messages.count * messages.frame_len);
}
