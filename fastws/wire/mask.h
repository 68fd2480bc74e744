/* The kernels that touch every payload byte: unmasking (RFC 6455 section 5.3) and UTF-8.
 *
 * Loads and stores go through memcpy, so that no alignment is assumed; compilers turn the
 * 32-byte blocks into vector instructions. The AVX2 clone is chosen when the module is loaded.
 */
#ifndef FASTWS_MASK_H
#define FASTWS_MASK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__)
#define FASTWS_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define FASTWS_CLONES
#endif

#define FASTWS_HIGH_BITS UINT64_C(0x8080808080808080)

/* The key as it continues `n` bytes further on: byte i of a payload meets byte i % 4 of it. */
static inline uint32_t fastws_rotate_key(uint32_t key, size_t n)
{
    uint8_t old[4], turned[4];
    memcpy(old, &key, 4);
    for (size_t i = 0; i < 4; i++)
        turned[i] = old[(i + n) & 3];
    memcpy(&key, turned, 4);
    return key;
}

/* A vector type, because gcc 12 spills the same loop over an array of four words to the stack:
 * 16 KiB then take 4.4 us instead of 0.25 (benchmarks/codec.py). */
typedef uint64_t fastws_block __attribute__((vector_size(32)));

/* Blocks of 32 bytes; returns the OR of all that was written. */
FASTWS_CLONES
static uint64_t fastws_unmask_blocks(uint8_t *to, const uint8_t *from, size_t blocks, uint64_t key)
{
    const fastws_block keys = {key, key, key, key};
    fastws_block seen = {0, 0, 0, 0};
    for (size_t i = 0; i < blocks; i++) {
        fastws_block block;
        memcpy(&block, from + 32 * i, 32);
        block ^= keys;
        seen |= block;
        memcpy(to + 32 * i, &block, 32);
    }
    return seen[0] | seen[1] | seen[2] | seen[3];
}

/* Copies n bytes XORed with the key (in its order on the wire). `to` may be `from`, but the two
 * must not overlap otherwise. Returns whether any byte of the result has its high bit set. */
static inline int fastws_unmask(uint8_t *to, const uint8_t *from, size_t n, uint32_t key)
{
    uint64_t key64 = ((uint64_t)key << 32) | key, seen = 0, word;
    if (n >= 128) {
        size_t blocks = n / 32;
        seen = fastws_unmask_blocks(to, from, blocks, key64);
        to += 32 * blocks;
        from += 32 * blocks;
        n -= 32 * blocks;
    }
    while (n >= 8) {
        memcpy(&word, from, 8);
        word ^= key64;
        seen |= word;
        memcpy(to, &word, 8);
        to += 8;
        from += 8;
        n -= 8;
    }
    if (n) {
        word = 0;
        memcpy(&word, from, n);
        word ^= key64;
        memcpy(to, &word, n);
        /* Bytes past n hold the bare key: they say nothing about the payload. */
        for (size_t i = 0; i < n; i++)
            seen |= (uint64_t)(to[i] & 0x80);
    }
    return (seen & FASTWS_HIGH_BITS) != 0;
}

/* Where a UTF-8 decoder stands between two bytes: how many continuation bytes are due, and the
 * range that the next one must be in (RFC 3629 section 4 narrows only the first of them). */
typedef struct {
    uint8_t due;
    uint8_t low;
    uint8_t high;
} fastws_utf8;

/* Goes through n bytes; returns 0 at the first byte that no valid text could have there. */
static inline int fastws_utf8_feed(fastws_utf8 *state, const uint8_t *bytes, size_t n)
{
    fastws_utf8 at = *state;
    size_t i = 0;
    while (i < n) {
        uint8_t byte;
        if (!at.due) {
            uint64_t word;
            while (n - i >= 8 && (memcpy(&word, bytes + i, 8), !(word & FASTWS_HIGH_BITS)))
                i += 8;
            if (i == n)
                break;
        }
        byte = bytes[i++];
        if (at.due) {
            if (byte < at.low || byte > at.high)
                return 0;
            at.due--;
            at.low = 0x80;
            at.high = 0xBF;
        } else if (byte < 0x80) {
            continue;
        } else if (byte >= 0xC2 && byte <= 0xDF) {
            at.due = 1;
            at.low = 0x80;
            at.high = 0xBF;
        } else if (byte >= 0xE0 && byte <= 0xEF) {
            at.due = 2;
            at.low = byte == 0xE0 ? 0xA0 : 0x80;  /* no overlong forms */
            at.high = byte == 0xED ? 0x9F : 0xBF; /* no surrogates */
        } else if (byte >= 0xF0 && byte <= 0xF4) {
            at.due = 3;
            at.low = byte == 0xF0 ? 0x90 : 0x80;
            at.high = byte == 0xF4 ? 0x8F : 0xBF; /* nothing above U+10FFFF */
        } else {
            return 0;
        }
    }
    *state = at;
    return 1;
}

#endif
