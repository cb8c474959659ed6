/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that read the site: files are named as in the tar, without a leading slash; what is not
 * served is not found.
 *
 * A file is read here and now, although the loop waits meanwhile: it is small, and every request
 * asks for the same few, so the page cache has them. Their text is not kept parsed: values are on
 * the account of the script that reads them, and a copy costs what parsing does. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/helpers/json.h"
#include "server/helpers/shared.h"

#define ABSENT ((uint64_t)-1)

static const struct site_file *find_file(struct vm_context *context, const struct vm_arg *path)
{
    const struct site *site = helper_state(context)->shared->site;

    if (site == NULL || path->length == 0) {
        return NULL;
    }
    return site_find(site, (struct span){(const char *)path->data, path->length});
}

/* NULL: it cannot be read whole. */
static uint8_t *read_file(const struct site *site, const struct site_file *file)
{
    uint8_t *bytes = malloc(file->bytes + 1);
    size_t done = 0;

    while (bytes != NULL && done < file->bytes) {
        ssize_t got =
            pread(site_fd(site), bytes + done, file->bytes - done, (off_t)(file->offset + done));

        if (got <= 0) {
            free(bytes);
            return NULL;
        }
        done += (size_t)got;
    }
    return bytes;
}

uint64_t host_zs_load_static_json(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct helper_shared *shared = helper_state(context)->shared;
    const struct site_file *file = find_file(context, &arg[0]);
    struct json_handle *handle;
    struct vm_arg text = {0};
    json_t *root;

    if (file == NULL) {
        return ABSENT;
    }
    if (file->bytes > shared->json_bytes_max) {
        vm_helper_fault(context, "too much memory for JSON");
    }
    handle = json_free_handle(context);
    text.length = file->bytes;
    text.data = read_file(shared->site, file);
    if (text.data == NULL) {
        return ABSENT;
    }
    (void)json_open(context);
    root = json_read(&text);
    free(text.data);
    return json_new_document(context, handle, root);
}

uint64_t host_zs_load_file_metadata(struct vm_context *context, const struct vm_arg arg[5])
{
    const struct site_file *file = find_file(context, &arg[0]);
    struct json_handle *handle;
    char etag[SITE_ETAG_BYTES];

    if (file == NULL) {
        return ABSENT;
    }
    handle = json_free_handle(context);
    site_file_etag(file, etag);
    (void)json_open(context);
    return json_new_document(context, handle,
                             json_pack("{s:I, s:s%, s:I}", "size", (json_int_t)file->bytes, "etag",
                                       etag + 1, strlen(etag) - 2, "mtime",
                                       (json_int_t)file->mtime));
}
