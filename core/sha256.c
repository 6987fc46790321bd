#include <addonfs/sha256.h>

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

struct sha256 {
    EVP_MD_CTX *context;
};

/*
 * OpenSSL reports failure only for digests that a policy forbids or for missing memory at set-up.
 * After set-up an update of SHA-256 cannot fail, and if it did, a wrong id must not get out.
 */
static void must(int ok)
{
    if (!ok)
        abort();
}

/* Written once: EVP_sha256 only names it, and every start would look for it under a lock. */
static EVP_MD *fetched;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *algorithm(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, fetch);
    return fetched ? fetched : EVP_sha256();
}

struct sha256 *sha256_new(void)
{
    struct sha256 *sha256 = calloc(1, sizeof(*sha256));

    if (!sha256)
        return NULL;
    sha256->context = EVP_MD_CTX_new();
    if (!sha256->context || !EVP_DigestInit_ex(sha256->context, algorithm(), NULL)) {
        sha256_free(sha256);
        return NULL;
    }
    return sha256;
}

void sha256_free(struct sha256 *sha256)
{
    if (!sha256)
        return;
    EVP_MD_CTX_free(sha256->context);
    free(sha256);
}

void sha256_update(struct sha256 *sha256, const void *bytes, size_t size)
{
    must(EVP_DigestUpdate(sha256->context, bytes, size));
}

void sha256_update_text(struct sha256 *sha256, const char *text)
{
    sha256_update(sha256, text, strlen(text) + 1);
}

void sha256_final(struct sha256 *sha256, struct content_id *ret_id)
{
    must(EVP_DigestFinal_ex(sha256->context, ret_id->bytes, NULL));
    must(EVP_DigestInit_ex(sha256->context, NULL, NULL));
}

bool content_id_equal(const struct content_id *a, const struct content_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void content_id_text(const struct content_id *id, size_t digits, char *ret_text)
{
    static const char hexadecimal[] = "0123456789abcdef";

    for (size_t i = 0; i < digits; i++)
        ret_text[i] = hexadecimal[id->bytes[i / 2] >> (i % 2 ? 0 : 4) & 0xf];
    ret_text[digits] = '\0';
}
