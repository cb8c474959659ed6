/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that metadata is put into (server/template.h): their bodies are made while they are sent,
 * by way of the stream's chunk. */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include "server/stream.h"
#include "server/worker.h"

/* When the response is such a page, its body becomes what is made of it. False: out of memory. */
bool page_start(struct worker *worker, struct stream *stream);
/* Makes more of it now, or begins to. False: out of memory. */
bool page_pull(struct stream *stream);
/* The chunk has room again. Fine for streams without a page. */
void page_resume(struct stream *stream);
/* The read of a piece of the file ended. */
void page_read_done(struct stream *stream, int result);

#endif
