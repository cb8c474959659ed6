/* SPDX-License-Identifier: Apache-2.0 */
/* The tar reader over memory: the dialects it reads, what it skips, what it refuses and with which
 * words, and that no truncation or mutation makes it misbehave. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "server/limits.h"
#include "tests/support/tarball.h"

static struct tarball ball;

/* What reading all of `ball` came to. */
struct reading {
    enum tar_result result;
    unsigned count;
    struct tar_member last;
    char path[LIM_TAR_PATH_BYTES + 1]; /* of the last file */
    char error[256];
};

static struct reading reading;

static void read_bytes(uint64_t bytes)
{
    struct tar_source source = {tarball_read, &ball, bytes};
    struct tar_reader *reader = tar_reader_create(&source);
    struct tar_member member;
    cr_assert(reader != NULL);
    memset(&reading, 0, sizeof reading);
    while ((reading.result = tar_next(reader, &member)) == TAR_FILE) {
        cr_assert(member.offset % TAR_BLOCK_BYTES == 0);
        cr_assert(member.offset <= bytes && member.bytes <= bytes - member.offset);
        cr_assert_eq(strlen(member.path), member.path_bytes);
        memcpy(reading.path, member.path, member.path_bytes + 1);
        reading.last = member;
        reading.count++;
    }
    if (reading.result == TAR_BAD) {
        snprintf(reading.error, sizeof reading.error, "%s", tar_reader_error(reader));
    }
    tar_reader_free(reader);
}

static void read_all(void)
{
    read_bytes(ball.used);
}

/* Ends the tar; it must hold one file, at `path`. */
static void expect_one(const char *path)
{
    tarball_end(&ball);
    read_all();
    cr_assert_eq(reading.result, TAR_END, "%s", reading.error);
    cr_assert_eq(reading.count, 1);
    cr_assert_str_eq(reading.path, path);
}

static void expect_refused(const char *error)
{
    tarball_end(&ball);
    read_all();
    cr_assert_eq(reading.result, TAR_BAD, "not refused: %s", error);
    cr_assert_str_eq(reading.error, error);
}

static void pax(const char *records)
{
    tarball_add(&ball, "PaxHeader", 'x', records, strlen(records));
}

Test(tar, reads_ustar)
{
    tarball_file(&ball, "index.html", "hello");
    expect_one("index.html");
    cr_assert_eq(reading.last.offset, 512);
    cr_assert_eq(reading.last.bytes, 5);
    cr_assert_eq(reading.last.mtime, 1700000000);
}

Test(tar, joins_prefix_and_name)
{
    struct tar_header *h = tarball_file(&ball, "name", "");
    memcpy(h->prefix, "some/dir", 8);
    tarball_seal(h);
    expect_one("some/dir/name");
}

Test(tar, ignores_the_prefix_of_gnu_headers)
{
    struct tar_header *h = tarball_file(&ball, "name", "");
    memcpy(h->prefix, "00000000", 8);
    memcpy(h->magic, "ustar  ", 7);
    tarball_seal(h);
    expect_one("name");
}

Test(tar, reads_names_that_fill_their_field)
{
    char path[101];
    memset(path, 'n', 100);
    path[100] = '\0';
    tarball_file(&ball, path, "");
    expect_one(path);
}

Test(tar, reads_headers_before_posix)
{
    struct tar_header *h = tarball_file(&ball, "old", "x");
    h->type = '\0';
    memset(h->magic, 0, sizeof h->magic + sizeof h->version);
    memcpy(h->size, "         1 ", 11);
    h->size[11] = '\0';
    tarball_seal(h);
    tarball_add(&ball, "dir/", '\0', NULL, 0);
    expect_one("old");
}

Test(tar, reads_gnu_long_names)
{
    char path[1001];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    tarball_add(&ball, "././@LongLink", 'K', path, sizeof path);
    tarball_add(&ball, "././@LongLink", 'L', path, sizeof path);
    tarball_file(&ball, "short", "x");
    expect_one(path);
}

Test(tar, reads_pax_path_size_and_mtime)
{
    pax("21 path=long/\xc3\xa4/path\n30 mtime=1234567890.123456789\n9 size=3\n");
    struct tar_header *h = tarball_file(&ball, "short", "abc");
    memcpy(h->size, "00000000000", 11);
    tarball_seal(h);
    expect_one("long/\xc3\xa4/path");
    cr_assert_eq(reading.last.bytes, 3);
    cr_assert_eq(reading.last.mtime, 1234567890);
    cr_assert_eq(reading.last.mtime_ns, 123456789);
}

Test(tar, rounds_negative_pax_times_down)
{
    pax("14 mtime=-1.5\n");
    tarball_file(&ball, "f", "");
    expect_one("f");
    cr_assert_eq(reading.last.mtime, -3 + 1);
    cr_assert_eq(reading.last.mtime_ns, 500000000);
}

Test(tar, pax_speaks_of_one_member_only)
{
    pax("10 path=a\n");
    tarball_file(&ball, "x", "");
    tarball_file(&ball, "b", "");
    tarball_end(&ball);
    read_all();
    cr_assert_eq(reading.count, 2);
    cr_assert_str_eq(reading.path, "b");
}

Test(tar, an_empty_pax_value_takes_back)
{
    pax("12 path=abc\n");
    pax("8 path=\n");
    tarball_file(&ball, "plain", "");
    expect_one("plain");
}

Test(tar, ignores_global_pax_headers)
{
    static const char junk[] = "any 99 thing";
    tarball_add(&ball, "g", 'g', junk, sizeof junk);
    tarball_file(&ball, "f", "");
    expect_one("f");
}

Test(tar, reads_base256_numbers)
{
    struct tar_header *h = tarball_file(&ball, "f", "abcd");
    memset(h->size, 0, sizeof h->size);
    h->size[0] = (char)0x80;
    h->size[11] = 4;
    memset(h->mtime, 0xff, sizeof h->mtime); /* -1 */
    tarball_seal(h);
    expect_one("f");
    cr_assert_eq(reading.last.bytes, 4);
    cr_assert_eq(reading.last.mtime, -1);
}

Test(tar, accepts_signed_checksums)
{
    struct tar_header *h = tarball_file(&ball, "\xc3\xa4", "");
    snprintf(h->checksum, sizeof h->checksum, "%06o", tar_checksum(h) - 512);
    expect_one("\xc3\xa4");
}

Test(tar, skips_what_is_no_file)
{
    static const char types[] = "123456VDN";
    for (const char *type = types; *type != '\0'; type++) {
        tarball_add(&ball, "other", *type, NULL, 0);
    }
    struct tar_header *h = tarball_add(&ball, "dir/", '5', NULL, 0);
    memcpy(h->size, "00000001000", 11); /* some writers put a size here, without content */
    tarball_seal(h);
    tarball_file(&ball, "f", "");
    expect_one("f");
}

Test(tar, cleans_paths)
{
    static const char *const rows[][2] = {
        {"./a", "a"},           {"/a", "a"},      {"//a//b", "a/b"},
        {"./././a/./b", "a/b"}, {"...", "..."},   {"..a/b..", "..a/b.."},
        {".a", ".a"},           {"a/.b", "a/.b"}, {"/./ /x", " /x"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ball.used = 0;
        tarball_file(&ball, rows[i][0], "");
        expect_one(rows[i][1]);
    }
}

Test(tar, refuses_paths_that_leave_or_are_empty)
{
    static const char *const rows[] = {"..", "../a", "a/../b", "a/..", "/..", ".", "/.", ""};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ball.used = 0;
        tarball_file(&ball, rows[i], "");
        tarball_end(&ball);
        read_all();
        cr_assert_eq(reading.result, TAR_BAD, "'%s'", rows[i]);
        cr_assert(strstr(reading.error, "offset 0: path '") != NULL, "%s", reading.error);
    }
}

Test(tar, refuses_a_wrong_checksum)
{
    tarball_file(&ball, "first", "x");
    tarball_file(&ball, "second", "x")->mode[0] ^= 1;
    expect_refused("offset 1024: checksum of header does not match");
}

Test(tar, refuses_what_is_no_tar)
{
    tarball_block(&ball, "<html>", 6);
    expect_refused("offset 0: not a tar archive: checksum of header does not match");
}

Test(tar, refuses_compressed_archives)
{
    static const struct {
        const char *bytes, *name;
    } rows[] = {{"\x1f\x8b\x08", "gzip"},
                {"\xfd"
                 "7zXZ",
                 "xz"},
                {"\x28\xb5\x2f\xfd", "zstd"},
                {"BZh9", "bzip2"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(ball.bytes, 0, 16);
        memcpy(ball.bytes, rows[i].bytes, strlen(rows[i].bytes));
        ball.used = 16; /* shorter than a block: still named */
        read_all();
        cr_assert_eq(reading.result, TAR_BAD);
        cr_assert(strstr(reading.error, rows[i].name) != NULL, "%s", reading.error);
    }
}

Test(tar, refuses_sparse_members)
{
    tarball_add(&ball, "f", 'S', NULL, 0);
    expect_refused("offset 0: sparse members are not supported; make the tar without --sparse");
    ball.used = 0;
    pax("22 GNU.sparse.major=1\n");
    tarball_file(&ball, "f", "");
    expect_refused("offset 0: sparse members are not supported; make the tar without --sparse");
}

Test(tar, refuses_members_beyond_the_file)
{
    memcpy(tarball_file(&ball, "f", "x")->size, "00000004000", 11);
    tarball_seal((struct tar_header *)ball.bytes);
    expect_refused("offset 0: truncated: a member of 2048 bytes, 1536 are left");
}

Test(tar, refuses_sizes_that_do_not_fit)
{
    static const struct {
        char size[13];
        const char *word;
    } rows[] = {
        {"\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not a number"},
        {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "truncated"},
        {"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", "not a number"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "negative"},
        {"77777777777\0", "truncated"},
        {"777777777777", "truncated"},
        {"0000000001x", "not a number"},
        {"-0000000001", "not a number"},
        {"9999", "not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ball.used = 0;
        struct tar_header *h = tarball_file(&ball, "f", "");
        memcpy(h->size, rows[i].size, sizeof h->size);
        tarball_seal(h);
        tarball_end(&ball);
        read_all();
        cr_assert_eq(reading.result, TAR_BAD, "row %zu", i);
        cr_assert(strstr(reading.error, rows[i].word) != NULL, "row %zu: %s", i, reading.error);
    }
}

Test(tar, refuses_malformed_pax_records)
{
    static const char *const rows[] = {
        "x",
        "5",
        "5 ",
        "11 path=a\n",
        "8 path=a\n",
        "10 path=a ",
        "10 pathxa\n",
        "7 =abc\n",
        "0 path=a\n",
        "-1 path=a\n",
        " 9 path=a\n",
        "18446744073709551626 path=a\n",
        "10 size=x\n",
        "11 size=-1\n",
        "11 size=1 \n",
        "29 size=99999999999999999999\n",
        "11 mtime=x\n",
        "13 mtime=1.x\n",
        "13 mtime=--1\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ball.used = 0;
        pax(rows[i]);
        tarball_file(&ball, "f", "");
        tarball_end(&ball);
        read_all();
        cr_assert_eq(reading.result, TAR_BAD, "row %zu", i);
        cr_assert(strstr(reading.error, "in a pax header") != NULL, "row %zu: %s", i,
                  reading.error);
    }
}

Test(tar, refuses_a_nul_in_a_pax_path)
{
    static const char records[] = "12 path=a\0b\n";
    tarball_add(&ball, "PaxHeader", 'x', records, sizeof records - 1);
    tarball_file(&ball, "f", "");
    expect_refused("offset 0: path with a NUL byte");
}

Test(tar, bounds_the_path)
{
    static char path[LIM_TAR_PATH_BYTES + 2];
    memset(path, 'p', LIM_TAR_PATH_BYTES);
    tarball_add(&ball, "L", 'L', path, LIM_TAR_PATH_BYTES);
    tarball_file(&ball, "f", "");
    expect_one(path);
    ball.used = 0;
    path[LIM_TAR_PATH_BYTES] = 'p';
    tarball_add(&ball, "L", 'L', path, LIM_TAR_PATH_BYTES + 1);
    tarball_file(&ball, "f", "");
    expect_refused("offset 0: path longer than 4096 bytes");
}

/* The tar, then zeros without end. */
static bool zeros_read(void *context, void *out, size_t bytes, uint64_t offset)
{
    struct tarball *t = context;
    memset(out, 0, bytes);
    if (offset < t->used) {
        size_t left = t->used - (size_t)offset;
        memcpy(out, t->bytes + offset, bytes < left ? bytes : left);
    }
    return true;
}

Test(tar, bounds_extended_headers)
{
    struct tar_header *h = tarball_add(&ball, "x", 'x', NULL, 0);
    snprintf(h->size, sizeof h->size, "%011o", LIM_TAR_PAX_BYTES + 1);
    tarball_seal(h);
    struct tar_source source = {zeros_read, &ball, 1ull << 40};
    struct tar_reader *reader = tar_reader_create(&source);
    struct tar_member member;
    cr_assert_eq(tar_next(reader, &member), TAR_BAD);
    cr_assert_str_eq(tar_reader_error(reader),
                     "offset 0: extended header larger than 1048576 bytes");
    tar_reader_free(reader);
}

Test(tar, refuses_an_archive_without_members)
{
    expect_refused("offset 0: the archive is empty");
    ball.used = 0;
    read_all();
    cr_assert_str_eq(reading.error, "offset 0: the file is empty");
}

Test(tar, refuses_an_extended_header_without_member)
{
    tarball_file(&ball, "f", "");
    pax("10 path=a\n");
    expect_refused("offset 1536: the archive ends after an extended header");
}

Test(tar, refuses_a_lone_zero_block)
{
    static const uint8_t zeros[TAR_BLOCK_BYTES];
    tarball_file(&ball, "f", "");
    tarball_block(&ball, zeros, sizeof zeros);
    tarball_file(&ball, "g", "");
    expect_refused("offset 512: a lone zero block inside the archive");
}

static bool never_read(void *context, void *out, size_t bytes, uint64_t offset)
{
    (void)context, (void)out, (void)bytes, (void)offset;
    return false;
}

Test(tar, reports_a_source_that_cannot_be_read)
{
    struct tar_source source = {never_read, NULL, 4096};
    struct tar_reader *reader = tar_reader_create(&source);
    struct tar_member member;
    cr_assert_eq(tar_next(reader, &member), TAR_BAD);
    cr_assert_str_eq(tar_reader_error(reader), "offset 0: cannot be read");
    tar_reader_free(reader);
}

/* A tar of every dialect. */
static void fill_mixed(void)
{
    char path[300];
    memset(path, 'q', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    tarball_add(&ball, "g", 'g', "12 comment=\n", 12);
    tarball_add(&ball, "dir/", '5', NULL, 0);
    tarball_file(&ball, "dir/index.html", "<p>hello");
    pax("20 path=dir/long/na\n");
    tarball_file(&ball, "short", "abc");
    tarball_add(&ball, "L", 'L', path, sizeof path);
    tarball_file(&ball, "short", "def");
    tarball_add(&ball, "link", '2', NULL, 0);
    tarball_file(&ball, "last", "");
    tarball_end(&ball);
}

/* Only what comes behind the two zero blocks may be missing. */
Test(tar, refuses_every_truncation)
{
    fill_mixed();
    size_t complete = ball.used;
    tarball_end(&ball); /* the padding that tar adds up to its record size */
    for (size_t bytes = 0; bytes <= ball.used; bytes++) {
        read_bytes(bytes);
        cr_assert_eq(reading.result, bytes < complete ? TAR_BAD : TAR_END, "at %zu: %s", bytes,
                     reading.error);
    }
}

static uint32_t random_next(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Mutated headers with their checksum made right again, so that the fields behind it are reached.
 */
Test(tar, survives_mutated_headers)
{
    static struct tarball original;
    uint32_t seed = 2463534242;
    fill_mixed();
    original = ball;
    for (unsigned run = 0; run < 20000; run++) {
        ball.used = original.used;
        memcpy(ball.bytes, original.bytes, original.used);
        for (unsigned i = random_next(&seed) % 4 + 1; i > 0; i--) {
            size_t block = random_next(&seed) % (ball.used / TAR_BLOCK_BYTES);
            struct tar_header *h = (struct tar_header *)(ball.bytes + block * TAR_BLOCK_BYTES);
            ((uint8_t *)h)[random_next(&seed) % TAR_BLOCK_BYTES] = (uint8_t)random_next(&seed);
            tarball_seal(h);
        }
        read_all(); /* asserts that every member lies in the file */
    }
}
