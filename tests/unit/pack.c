/* SPDX-License-Identifier: Apache-2.0 */
/* Packing: what is packed is what is served, the same input gives the same bytes, and what cannot
 * be packed is refused with one line. Scripts are compiled by the compiler of the system. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "server/file.h"
#include "server/limits.h"
#include "server/pack.h"
#include "server/site.h"
#include "server/sources.h"
#include "tests/support/tarball.h"

static char root[64], error[1024];

static const char script[] = "#include <zeroserve.h>\n"
                             "ZS_ENTRY zs_u64 entry(void)\n"
                             "{\n"
                             "    zs_respond(200, ZS_STR(__FILE__));\n"
                             "    return 0;\n"
                             "}\n";

static char *at_root(const char *path)
{
    char *full = NULL;
    cr_assert(asprintf(&full, "%s/%s", root, path) > 0);
    return full;
}

static void make_file(const char *path, const char *content, time_t mtime)
{
    char *full = at_root(path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    struct timespec times[2] = {{mtime, 0}, {mtime, 0}};
    cr_assert(fd >= 0 && file_write_all(fd, content, strlen(content)));
    cr_assert_eq(futimens(fd, times), 0);
    close(fd);
    free(full);
}

static void setup(void)
{
    snprintf(root, sizeof root, "/tmp/pack-test-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(pack, .init = setup, .fini = teardown);

/* Packs root/path into a memory file; -1: refused. */
static int pack(const char *path)
{
    char *full = at_root(path);
    int fd = memfd_create("packed", MFD_CLOEXEC);
    cr_assert(fd >= 0);
    if (!pack_directory(full, false, fd, error, sizeof error)) {
        close(fd);
        fd = -1;
    }
    free(full);
    return fd;
}

static void expect_same_bytes(int a, int b)
{
    static uint8_t left[1 << 20], right[1 << 20];
    ssize_t bytes = pread(a, left, sizeof left, 0);
    cr_assert(bytes > 0 && bytes < (ssize_t)sizeof left);
    cr_assert_eq(pread(b, right, sizeof right, 0), bytes);
    cr_assert(memcmp(left, right, (size_t)bytes) == 0);
}

static struct site *open_packed(int fd)
{
    cr_assert(fd >= 0, "%s", error);
    struct site *site = site_from_fd(fd, "packed", error, sizeof error);
    cr_assert(site != NULL, "%s", error);
    return site;
}

Test(pack, serves_what_was_packed)
{
    make_file("s/index.html", "hello", 1234567890);
    make_file("s/docs/empty", "", 1);
    struct site *site = open_packed(pack("s"));
    const struct site_file *file = site_find(site, SPAN("index.html"));
    char content[6] = "";
    cr_assert_eq(site_file_count(site), 2);
    cr_assert(file != NULL);
    cr_assert_eq(file->mtime, 1234567890);
    cr_assert_eq(pread(site_fd(site), content, 5, (off_t)file->offset), 5);
    cr_assert_str_eq(content, "hello");
    cr_assert_eq(site_find(site, SPAN("docs/empty"))->bytes, 0);
    site_free(site);
}

/* Lengths around what a name field and a name with prefix hold. */
Test(pack, packs_paths_of_every_length)
{
    char path[700] = "s/";
    unsigned count = 0;
    for (unsigned depth = 0; depth < 4; depth++) {
        static const unsigned lengths[] = {98, 99, 100, 101, 150};
        char *end = path + strlen(path);
        for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++, count++) {
            memset(end, (int)('a' + i), lengths[i]);
            end[lengths[i]] = '\0';
            make_file(path, path, 7);
        }
        memset(end, 'd', 80);
        memcpy(end + 80, "/", 2);
    }
    struct site *site = open_packed(pack("s"));
    cr_assert_eq(site_file_count(site), count);
    path[2 + 3 * 81] = '\0';
    memset(path + 2 + 3 * 81, 'e', 150);
    path[2 + 3 * 81 + 150] = '\0';
    const struct site_file *file = site_find(site, span_of(path + 2));
    cr_assert(file != NULL);
    cr_assert_eq(file->bytes, strlen(path));
    site_free(site);
}

Test(pack, keeps_times_that_need_a_pax_header)
{
    make_file("s/old", "x", -86400);
    struct site *site = open_packed(pack("s"));
    cr_assert_eq(site_find(site, SPAN("old"))->mtime, -86400);
    site_free(site);
}

Test(pack, leaves_out_what_is_no_file)
{
    make_file("s/file", "x", 7);
    char *link = at_root("s/link"), *fifo = at_root("s/fifo");
    cr_assert_eq(symlink("file", link), 0);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    struct site *site = open_packed(pack("s"));
    cr_assert_eq(site_file_count(site), 1);
    site_free(site);
    free(link);
    free(fifo);
}

Test(pack, compiles_scripts)
{
    make_file("s/.zeroserve/scripts/20-b.c", script, 7);
    make_file("s/.zeroserve/scripts/10-a.c", "#include \"lib/a.h\"\n", 7);
    make_file("s/.zeroserve/scripts/lib/a.h", script, 7);
    make_file("s/.zeroserve/scripts/20-b.o", "stale", 7);
    make_file("s/other/x.c", "int x;\n", 7);
    struct site *site = open_packed(pack("s"));
    cr_assert_eq(site_file_count(site), 1, "source outside of scripts is a file");
    cr_assert_eq(site_script_count(site), 2);
    cr_assert_str_eq(site_script(site, 0)->name, "10-a");
    cr_assert_str_eq(site_script(site, 1)->name, "20-b");
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(site_script(site, i)->object_bytes > 64);
        cr_assert(memcmp(site_script(site, i)->object, "\177ELF", 4) == 0);
    }
    site_free(site);
}

Test(pack, same_input_same_bytes)
{
    static const char *const sites[] = {"one", "other/place"};
    int packed[2];
    for (unsigned i = 0; i < 2; i++) {
        static const char *const files[] = {"a/z", "b", "a.b", "a/y"};
        char path[128];
        for (unsigned j = 0; j < 4; j++) {
            /* Made in another order, so that the order of the directory differs. */
            snprintf(path, sizeof path, "%s/%s", sites[i], files[i == 0 ? j : 3 - j]);
            make_file(path, "same", 7);
        }
        snprintf(path, sizeof path, "%s/.zeroserve/scripts/s.c", sites[i]);
        make_file(path, script, 8);
        packed[i] = pack(sites[i]);
        cr_assert(packed[i] >= 0, "%s", error);
    }
    expect_same_bytes(packed[0], packed[1]);
    close(packed[0]);
    close(packed[1]);
}

Test(pack, refuses_what_cannot_be_packed)
{
    char expected[256];
    cr_assert_eq(pack("absent"), -1);
    snprintf(expected, sizeof expected, "%s/absent: No such file or directory", root);
    cr_assert_str_eq(error, expected);
    make_file("plain", "", 7);
    cr_assert_eq(pack("plain"), -1);
    snprintf(expected, sizeof expected, "%s/plain: Not a directory", root);
    cr_assert_str_eq(error, expected);
    char *empty = at_root("empty");
    cr_assert_eq(mkdir(empty, 0700), 0);
    free(empty);
    cr_assert_eq(pack("empty"), -1);
    snprintf(expected, sizeof expected, "%s/empty: holds no files", root);
    cr_assert_str_eq(error, expected);
}

Test(pack, a_broken_script_names_itself)
{
    make_file("s/.zeroserve/scripts/bad.c", "int x = ;\n", 7);
    cr_assert_eq(pack("s"), -1);
    cr_assert(strstr(error, "/s/.zeroserve/scripts/bad.c: ") != NULL, "%s", error);
    cr_assert(strstr(error, " failed") != NULL, "%s", error);
}

/* Files of /proc claim to be empty and are not: the same as one that grows meanwhile. */
Test(pack, refuses_a_file_that_changes_size)
{
    int fd = memfd_create("packed", MFD_CLOEXEC);
    cr_assert(!pack_directory("/proc/self/fdinfo", false, fd, error, sizeof error));
    cr_assert(strstr(error, ": changed size while it was packed") != NULL, "%s", error);
    close(fd);
}

/* Nobody reads the message of a full disk later: the error has it. */
Test(pack, reports_a_full_disk)
{
    make_file("s/file", "x", 7);
    char *dir = at_root("s");
    int full = open("/dev/full", O_WRONLY);
    cr_assert(full >= 0);
    cr_assert(!pack_directory(dir, false, full, error, sizeof error));
    cr_assert_str_eq(error, "cannot write the tar: No space left on device");
    close(full);
    free(dir);
}

Test(pack, leaves_out_the_tar_itself)
{
    make_file("s/file", "x", 7);
    make_file("s/site.tar", "", 7);
    char *dir = at_root("s"), *tar = at_root("s/site.tar");
    int fd = open(tar, O_RDWR);
    cr_assert(pack_directory(dir, false, fd, error, sizeof error), "%s", error);
    struct site *site = open_packed(fd);
    cr_assert_eq(site_file_count(site), 1);
    site_free(site);
    free(dir);
    free(tar);
}

Test(pack, a_directory_is_served_as_its_tar)
{
    make_file("s/a.txt", "x", 7);
    char *dir = at_root("s");
    struct site *site = site_open(dir, error, sizeof error);
    cr_assert(site != NULL, "%s", error);
    cr_assert(site_find(site, SPAN("a.txt")) != NULL);
    site_free(site);
    free(dir);
}

/* ---- the order of scripts ---- */

Test(pack, plugins_come_first_and_sorted)
{
    struct sources *sources = calloc(1, sizeof *sources);
    make_file("s/.zeroserve/scripts/site.c", script, 7);
    make_file("p/2.c", script, 7);
    make_file("p/1.o", "object", 7);
    make_file("p/readme", "", 7);
    char *single = at_root("p/2.c"), *dir = at_root("p"), *copy = at_root("q/only.o");
    make_file("q/only.o", "x", 7);
    struct site *site = open_packed(pack("s"));
    cr_assert(sources_add_file(sources, copy, error, sizeof error), "%s", error);
    cr_assert(sources_add_directory(sources, dir, error, sizeof error), "%s", error);
    cr_assert(sources_add_site(sources, site, "site.tar", error, sizeof error), "%s", error);
    static const char *const names[] = {"only", "1", "2", "site"};
    cr_assert_eq(sources->count, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_str_eq(sources->items[i].name, names[i]);
    }
    cr_assert(!sources_add_file(sources, single, error, sizeof error));
    cr_assert(strstr(error, "script '2' is both in ") != NULL, "%s", error);
    cr_assert(!sources_add_file(sources, root, error, sizeof error));
    cr_assert(strstr(error, "want a script, .c or .o") != NULL, "%s", error);
    cr_assert(!sources_add_directory(sources, copy, error, sizeof error));
    sources_free(sources);
    site_free(site);
    free(sources);
    free(single);
    free(dir);
    free(copy);
}

Test(pack, the_built_in_header_is_a_string)
{
    cr_assert(strlen(sdk_text) > 1000);
    cr_assert(strstr(sdk_text, "zs_respond") != NULL);
    cr_assert(strstr(sdk_text, "#include \"helpers.def\"") == NULL);
}
