#include <addonfs/sha256.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* FIPS 180-4 examples, as published with the standard. */
static const struct {
    const char *text;
    const char *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};

static void expect_digest(const struct content_id *id, const char *digest)
{
    char hex[65];

    for (size_t i = 0; i < sizeof(id->bytes); i++)
        snprintf(hex + 2 * i, 3, "%02x", id->bytes[i]);
    assert_string_equal(hex, digest);
}

static void published_vectors_come_out(void **state)
{
    struct sha256 *sha256 = sha256_new();
    struct content_id id;

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        sha256_update(sha256, vectors[i].text, strlen(vectors[i].text));
        sha256_final(sha256, &id);
        expect_digest(&id, vectors[i].digest);
        /* In pieces, with the digest that has started anew. */
        for (const char *at = vectors[i].text; *at; at++)
            sha256_update(sha256, at, 1);
        sha256_final(sha256, &id);
        expect_digest(&id, vectors[i].digest);
    }
    sha256_free(sha256);
}

static void ids_are_compared_whole(void **state)
{
    struct content_id a = {{0}};
    struct content_id b = {{0}};

    (void)state;
    assert_true(content_id_equal(&a, &b));
    b.bytes[31] = 1;
    assert_false(content_id_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_come_out),
        cmocka_unit_test(ids_are_compared_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
