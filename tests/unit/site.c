/* SPDX-License-Identifier: Apache-2.0 */
/* The site over small tars: look-up, directories, what stays private, scripts, validators, media
 * types; and the index by itself. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>

#include "server/limits.h"
#include "server/path_index.h"
#include "server/site.h"
#include "tests/support/tarball.h"

static struct tarball ball;
static char error[512];

static struct site *open_ball(void)
{
    int fd = tarball_fd(&ball);
    cr_assert(fd >= 0);
    return site_from_fd(fd, "site.tar", error, sizeof error);
}

/* Ends the tar and opens it; must succeed. */
static struct site *open_good(void)
{
    tarball_end(&ball);
    struct site *site = open_ball();
    cr_assert(site != NULL, "%s", error);
    return site;
}

static const struct site_file *find(const struct site *site, const char *path)
{
    return site_find(site, span_of(path));
}

Test(site, finds_files_by_path)
{
    tarball_file(&ball, "./index.html", "root");
    tarball_file(&ball, "docs/a/b.css", "b{}");
    struct site *site = open_good();
    const struct site_file *file = find(site, "docs/a/b.css");
    char content[4] = "";
    cr_assert_eq(site_file_count(site), 2);
    cr_assert(file != NULL);
    cr_assert_str_eq(file->path, "docs/a/b.css");
    cr_assert_eq(file->path_bytes, strlen(file->path));
    cr_assert_eq(file->bytes, 3);
    cr_assert_eq(pread(site_fd(site), content, 3, (off_t)file->offset), 3);
    cr_assert_str_eq(content, "b{}");
    cr_assert(find(site, "index.html") != NULL);
    static const char *const absent[] = {"",      "/index.html", "index.htm",   "docs",
                                         "docs/", "docs/a/b.cs", "./index.html"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        cr_expect(find(site, absent[i]) == NULL, "%s", absent[i]);
    }
    cr_expect(site_find(site, (struct span){NULL, 0}) == NULL);
    site_free(site);
}

Test(site, knows_directories)
{
    tarball_file(&ball, "a/b/c/d.txt", "");
    tarball_file(&ball, "a/bb", "");
    tarball_add(&ball, "empty/", '5', NULL, 0);
    struct site *site = open_good();
    static const char *const dirs[] = {"", "a", "a/b", "a/b/c"};
    static const char *const others[] = {"a/b/c/d.txt", "a/bb", "empty", "a/", "b", "x"};
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        cr_expect(site_is_directory(site, span_of(dirs[i])), "%s", dirs[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        cr_expect(!site_is_directory(site, span_of(others[i])), "%s", others[i]);
    }
    site_free(site);
}

Test(site, a_later_duplicate_wins)
{
    tarball_file(&ball, "f", "first");
    tarball_file(&ball, "g", "");
    tarball_file(&ball, "./f", "second!");
    struct site *site = open_good();
    cr_assert_eq(site_file_count(site), 2);
    cr_assert_eq(find(site, "f")->bytes, 7);
    site_free(site);
}

Test(site, keeps_what_is_private)
{
    tarball_file(&ball, ".zeroserve/config.json", "{}");
    tarball_file(&ball, ".zeroserve/scripts/a.o", "object");
    tarball_file(&ball, "/./.zeroserve//notes", "");
    tarball_file(&ball, ".zeroserved", "");
    tarball_file(&ball, "index.html", "");
    struct site *site = open_good();
    static const char *const hidden[] = {".zeroserve/config.json", ".zeroserve/scripts/a.o",
                                         ".zeroserve/notes"};
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++) {
        cr_expect(find(site, hidden[i]) == NULL, "%s", hidden[i]);
    }
    cr_assert_eq(site_file_count(site), 2);
    cr_assert(find(site, ".zeroserved") != NULL);
    cr_assert(!site_is_directory(site, span_of(".zeroserve")));
    cr_assert(!site_is_directory(site, span_of(".zeroserve/scripts")));
    site_free(site);
}

/* By bytes of the file name, its ending included: '-' comes before '.'. */
Test(site, sorts_scripts)
{
    tarball_file(&ball, ".zeroserve/scripts/b.o", "b");
    tarball_file(&ball, ".zeroserve/scripts/sub/z.o", "z");
    tarball_file(&ball, ".zeroserve/scripts/a.o", "old");
    tarball_file(&ball, ".zeroserve/scripts/a-1.o", "a-1");
    tarball_file(&ball, ".zeroserve/scripts/a.o", "a");
    tarball_file(&ball, ".zeroserve/scripts/readme.txt", "");
    struct site *site = open_good();
    static const char *const names[] = {"a-1", "a", "b", "sub/z"};
    static const char *const objects[] = {"a-1", "a", "b", "z"};
    cr_assert_eq(site_script_count(site), 4);
    for (unsigned i = 0; i < 4; i++) {
        const struct site_script *script = site_script(site, i);
        cr_assert_str_eq(script->name, names[i]);
        cr_assert_eq(script->object_bytes, strlen(objects[i]));
        cr_assert(memcmp(script->object, objects[i], script->object_bytes) == 0);
    }
    cr_assert(site_script(site, 4) == NULL);
    cr_assert_eq(site_file_count(site), 0);
    site_free(site);
}

Test(site, bounds_the_number_of_scripts)
{
    for (unsigned i = 0; i <= LIM_SCRIPTS; i++) {
        char path[64];
        snprintf(path, sizeof path, ".zeroserve/scripts/%u.o", i);
        tarball_add(&ball, path, '0', NULL, 0);
    }
    tarball_end(&ball);
    cr_assert(open_ball() == NULL);
    cr_assert_str_eq(error, "site.tar: more than 256 scripts");
}

Test(site, says_what_is_wrong_and_where)
{
    tarball_file(&ball, "a", "x");
    tarball_file(&ball, "b", "x")->name[0] = 'c';
    tarball_end(&ball);
    cr_assert(open_ball() == NULL);
    cr_assert_str_eq(error, "site.tar: offset 1024: checksum of header does not match");
    ball.used = 0;
    tarball_add(&ball, "dir/", '5', NULL, 0);
    tarball_end(&ball);
    cr_assert(open_ball() == NULL);
    cr_assert_str_eq(error, "site.tar: holds no files");
}

Test(site, refuses_what_is_no_file)
{
    cr_assert(site_open("/dev/null", error, sizeof error) == NULL);
    cr_assert_str_eq(error, "/dev/null: not a regular file");
    cr_assert(site_open("/nonexistent/site.tar", error, sizeof error) == NULL);
    cr_assert_str_eq(error, "/nonexistent/site.tar: No such file or directory");
}

Test(site, an_empty_site_has_nothing)
{
    struct site *site = site_empty();
    cr_assert_eq(site_fd(site), -1);
    cr_assert_eq(site_file_count(site), 0);
    cr_assert_eq(site_script_count(site), 0);
    cr_assert(find(site, "index.html") == NULL);
    cr_assert(!site_is_directory(site, span_of("")));
    cr_assert(!site_is_directory(site, span_of("x")));
    site_free(site);
    site_free(NULL);
}

/* The ETag of the first file of `ball`. */
static void etag_of_first(const char *path, char out[SITE_ETAG_BYTES])
{
    struct site *site = open_ball();
    cr_assert(site != NULL, "%s", error);
    site_file_etag(find(site, path), out);
    site_free(site);
}

Test(site, etags_are_stable_and_tell_versions_apart)
{
    char first[SITE_ETAG_BYTES], again[SITE_ETAG_BYTES], other[SITE_ETAG_BYTES];
    tarball_file(&ball, "f", "abc");
    tarball_end(&ball);
    etag_of_first("f", first);
    etag_of_first("f", again);
    cr_assert_str_eq(first, again);
    cr_assert_eq(strlen(first), SITE_ETAG_BYTES - 1);
    cr_assert(first[0] == '"' && first[SITE_ETAG_BYTES - 2] == '"');

    ball.used = 0; /* elsewhere in the tar: the same */
    tarball_file(&ball, "e", "12345");
    tarball_file(&ball, "f", "abc");
    tarball_end(&ball);
    etag_of_first("f", again);
    cr_assert_str_eq(first, again);
    etag_of_first("e", other);
    cr_assert_str_neq(first, other);

    ball.used = 0;
    tarball_file(&ball, "f", "abcd");
    tarball_end(&ball);
    etag_of_first("f", other);
    cr_assert_str_neq(first, other, "another size");

    ball.used = 0;
    snprintf(tarball_file(&ball, "f", "abc")->mtime, 12, "%011o", 1700000001);
    tarball_seal((struct tar_header *)ball.bytes);
    tarball_end(&ball);
    etag_of_first("f", other);
    cr_assert_str_neq(first, other, "another time");

    ball.used = 0;
    tarball_add(&ball, "x", 'x', "22 mtime=1700000000.5\n", 22);
    tarball_file(&ball, "f", "abc");
    tarball_end(&ball);
    etag_of_first("f", other);
    cr_assert_str_neq(first, other, "another fraction of a second");
}

Test(site, writes_dates)
{
    char date[SITE_DATE_BYTES];
    struct site_file file = {.mtime = 784111777};
    site_file_last_modified(&file, date);
    cr_assert_str_eq(date, "Sun, 06 Nov 1994 08:49:37 GMT");
    file.mtime = INT64_MIN;
    site_file_last_modified(&file, date);
    cr_assert_str_eq(date, "Thu, 01 Jan 1970 00:00:00 GMT");
    file.mtime = INT64_MAX;
    site_file_last_modified(&file, date);
    cr_assert_str_eq(date, "Fri, 31 Dec 9999 23:59:59 GMT");
}

Test(mime, every_row_is_found)
{
    static const char *const rows[][2] = {
#define MIME(extension, type) {extension, type},
#include "server/mime.def"
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[64];
        cr_expect(i == 0 || strcmp(rows[i - 1][0], rows[i][0]) < 0, "%s is out of order",
                  rows[i][0]);
        snprintf(path, sizeof path, "dir.d/name.%s", rows[i][0]);
        cr_expect(span_equal(mime_type(span_of(path)), span_of(rows[i][1])), "%s", path);
    }
}

Test(mime, looks_at_the_last_extension_of_the_last_segment)
{
    static const char *const rows[][2] = {
        {"INDEX.HTML", "text/html; charset=utf-8"},
        {"a.tar.gz", "application/gzip"},
        {"a.js.map", "application/json"},
        {".css", "text/css; charset=utf-8"},
        {"html", "application/octet-stream"},
        {"dir.html/file", "application/octet-stream"},
        {"dir.html/", "application/octet-stream"},
        {"a.", "application/octet-stream"},
        {"", "application/octet-stream"},
        {"a.htmlhtmlhtmlhtmlhtml", "application/octet-stream"},
        {"a.ht\xc3\xa4l", "application/octet-stream"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect(span_equal(mime_type(span_of(rows[i][0])), span_of(rows[i][1])), "%s",
                  rows[i][0]);
    }
}

Test(path_index, numbers_what_is_added)
{
    enum { COUNT = 30000, NAME_BYTES = 24 };
    struct path_index index;
    char(*names)[NAME_BYTES] = calloc(COUNT, sizeof *names);
    path_index_init(&index);
    cr_assert_eq(path_index_find(&index, SPAN("x")), PATH_INDEX_NONE);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], NAME_BYTES, "%.*sdir/%u", (int)(i % 9), "12345678", i);
        cr_assert_eq(path_index_find(&index, span_of(names[i])), PATH_INDEX_NONE);
        cr_assert(path_index_add(&index, span_of(names[i])));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(path_index_find(&index, span_of(names[i])), i);
    }
    cr_assert_eq(path_index_find(&index, SPAN("dir/30001")), PATH_INDEX_NONE);
    path_index_free(&index);
    free(names);
}
