/* Goal: digests are those of RFC 3174 however the data is cut. Method: known answers, then every
 * length around the padding's edges fed in pieces. */
#include "codec/sha1.h"

#include "tests/support/harness.h"

static void known_texts_have_their_digests(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t digest[SHA1_BYTES];
        char hex[SHA1_HEX_CHARS + 1];
        sha1_digest(bytes_text(cases[i].text), digest);
        sha1_format(digest, hex);
        assert_string_equal(hex, cases[i].hex);
    }
}

static void million_letters_have_their_digest(void **state)
{
    (void)state;
    uint8_t letters[1000], digest[SHA1_BYTES];
    char hex[SHA1_HEX_CHARS + 1];
    memset(letters, 'a', sizeof letters);
    struct sha1 sha1;
    sha1_init(&sha1);
    for (int i = 0; i < 1000; i++)
        sha1_update(&sha1, bytes_make(letters, sizeof letters));
    sha1_finish(&sha1, digest);
    sha1_format(digest, hex);
    assert_string_equal(hex, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

static void pieces_give_the_digest_of_the_whole(void **state)
{
    (void)state;
    uint8_t data[200];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof data; len++) {
        uint8_t whole[SHA1_BYTES], pieces[SHA1_BYTES];
        sha1_digest(bytes_make(data, len), whole);
        for (size_t cut = 0; cut <= len; cut += 13) {
            struct sha1 sha1;
            sha1_init(&sha1);
            sha1_update(&sha1, bytes_make(data, cut));
            sha1_update(&sha1, bytes_make(NULL, 0));
            sha1_update(&sha1, bytes_make(data + cut, len - cut));
            sha1_finish(&sha1, pieces);
            assert_memory_equal(pieces, whole, SHA1_BYTES);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(known_texts_have_their_digests),
        TEST(million_letters_have_their_digest),
        TEST(pieces_give_the_digest_of_the_whole),
    };
    return RUN_TESTS("sha1", tests);
}
