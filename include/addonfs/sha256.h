/*
 * sha256: the id of content (FIPS 180-4).
 *
 * The id of a file's bytes is their SHA-256, in every mode and on every host: what has the same id
 * is compressed once.
 */
#ifndef ADDONFS_SHA256_H
#define ADDONFS_SHA256_H

#include <addonfs/cleanup.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content_id {
    uint8_t bytes[32];
};

struct sha256;

/* A digest to be fed; NULL without memory. One thread at a time. */
struct sha256 *sha256_new(void);
void sha256_free(struct sha256 *sha256);

/* Take `size` more bytes in. */
void sha256_update(struct sha256 *sha256, const void *bytes, size_t size);

/* Take a text in, and the NUL that ends it. */
void sha256_update_text(struct sha256 *sha256, const char *text);

/* The digest of all that was fed. The digest starts anew. */
void sha256_final(struct sha256 *sha256, struct content_id *ret_id);

bool content_id_equal(const struct content_id *a, const struct content_id *b);

/* The first `digits` of its 64 hexadecimal digits; `ret_text` has room for one more. */
void content_id_text(const struct content_id *id, size_t digits, char *ret_text);

CLEANUP(sha256, struct sha256 *, sha256_free)
#define cleanup_sha256 __attribute__((cleanup(cleanup_sha256_scope)))

#endif
