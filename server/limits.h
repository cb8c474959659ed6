/* SPDX-License-Identifier: Apache-2.0 */
/* Every limit of the server, with unit and reason. Numbers appear nowhere else. */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

/* ---- HTTP/1 requests (RFC 9112) ---- */
#define LIM_REQUEST_LINE_BYTES (16u << 10) /* RFC 9112 3 asks for 8000 at least; beyond: 414 */
#define LIM_FIELD_BYTES        (8u << 10)  /* one field line; beyond: 431 */
#define LIM_HEAD_FIELDS_BYTES  (32u << 10) /* all field lines; beyond: 431 */
#define LIM_FIELD_COUNT        100u        /* beyond: 431 */
#define LIM_HEAD_BYTES         (LIM_REQUEST_LINE_BYTES + LIM_HEAD_FIELDS_BYTES + 4u)
#define LIM_CHUNK_LINE_BYTES   (1u << 10)  /* chunk size with extensions */
#define LIM_CHUNK_EXT_BYTES    (16u << 10) /* all extensions of one body */
#define LIM_TRAILER_BYTES      (8u << 10)  /* trailer section */
#define LIM_BODY_DRAIN_BYTES                                                                       \
    (256u << 10) /* of a body nobody wants, read before the connection is given up */

/* ---- HTTP/2 (RFC 9113), of one connection; beyond: GOAWAY ENHANCE_YOUR_CALM unless said ---- */
#define LIM_H2_STREAMS           100u        /* at a time; beyond: the stream is refused */
#define LIM_H2_STREAM_WINDOW     (64u << 10) /* of a body until somebody reads it */
#define LIM_H2_READ_WINDOW        (512u << 10) /* once somebody does; by default */
#define LIM_H2_CONNECTION_WINDOW (1u << 20)  /* of all bodies */
#define LIM_H2_FRAME_BYTES       16384u      /* with its head: a frame of DATA fills a TLS record */
#define LIM_H2_TABLE_BYTES       4096u       /* HPACK table, both ways, whatever the peer allows */
#define LIM_H2_BLOCK_BYTES       (128u << 10) /* header list; beyond LIM_HEAD_FIELDS_BYTES: 431 */
#define LIM_H2_FIELD_BYTES       (64u << 10)  /* one field of it, as coded */
#define LIM_H2_CONTINUATIONS     8u           /* of one header block */
#define LIM_H2_SETTINGS          32u          /* entries of one frame */
#define LIM_H2_ACKS              1000u        /* not sent, for the peer does not read */
#define LIM_H2_QUEUED_FRAMES     2000u        /* the same of all frames but DATA */
#define LIM_H2_QUEUED_BYTES      (8u << 20)   /* the same of their octets */
#define LIM_H2_ANSWER_BYTES      (64u << 10)  /* coded head of an answer; beyond: the stream is reset */
#define LIM_H2_RESETS_BURST      1000u        /* streams reset, by the peer or by its errors */
#define LIM_H2_RESETS_PER_SECOND 33u          /* in the long run, each kind */
#define LIM_H2_STREAMS_PER_READ  2u           /* times those allowed at a time */
#define LIM_H2_STREAMS_TOTAL     10000u       /* then graceful GOAWAY */
#define LIM_H2_GLITCHES          1000u        /* oddities survived; at 3/4 graceful GOAWAY */
#define LIM_H2_OVERHEAD_RATIO    8u           /* bytes received for one of content ... */
#define LIM_H2_OVERHEAD_BYTES    (1u << 20)   /* ... once this much is spent */

/* ---- ahead of a connection ---- */
#define LIM_PROXY_HEADER_BYTES 4096u /* PROXY protocol, with extras such as certificates */

/* ---- time, milliseconds ---- */
#define LIM_HEAD_MS                                                                                \
    10000u /* first byte of a head to its last: absolute, so dribbling does not help */
#define LIM_TLS_MS  10000u /* from accepting to the end of the handshake, absolute */
#define LIM_IDLE_MS 60000u /* keep-alive */
/* The same while more than 3/4 of the connections a worker may have are there. */
#define LIM_IDLE_CROWDED_MS 10000u
#define LIM_AGE_MS          3600000u /* of a connection: it ends after the answer in hand */
#define LIM_BODY_MS         30000u   /* between two reads of a body */
/* A body may come slowly for a while, then it must have come at this rate from the start. */
#define LIM_BODY_GRACE_MS 20000u
/* Without a piece for so long, a request makes way when scripts have no arena for another one. */
#define LIM_BODY_CROWDED_MS   250u
#define LIM_BODY_CROWDED_ENDS 4u  /* that do so in a turn of the loop */
#define LIM_BODY_CROWDED_LOOK_MS 10u /* between two looks for them */
#define LIM_BODY_RATE     500u   /* bytes a second */
#define LIM_SEND_MS       60000u /* a write without progress; then the connection is reset */
#define LIM_SEND_CHECKS   4u     /* times within it that a send is looked at */
#define LIM_GATHER_US     300u /* to wait for several events, when many come ... */
#define LIM_GATHER_EVENTS 32u  /* ... and for how many at most */
#define LIM_COOL_MS   200u   /* a connection keeps its buffers for its next request */
#define LIM_TRIM_MS   10000u /* memory that is free goes back to the system so often, at most */
#define LIM_LINGER_MS     2000u  /* after our FIN, between what the peer still sends ... */
#define LIM_LINGER_ALL_MS 5000u  /* ... and in all */
#define LIM_DRAIN_MS      30000u /* SIGTERM to exit */

/* ---- connections and buffers, per worker ---- */
#define LIM_CONNECTIONS         16384u /* or 0.9 of RLIMIT_NOFILE, whichever is less */
#define LIM_STREAMS             65536u /* requests in hand: all connections of HTTP/1.1, and some of HTTP/2 */
#define LIM_STREAMS_KEPT        256u   /* of their places, while there is no request */
/* Not for connections: of the process, and of each worker. */
#define LIM_OWN_DESCRIPTORS     16u
#define LIM_WORKER_DESCRIPTORS  8u
#define LIM_HANDSHAKES_EACH     256u  /* TLS, of one address; with more the oldest goes */
#define LIM_HANDSHAKE_BUCKETS   4096u /* of addresses; those that share one are taken for one */
#define LIM_WARM                128u /* connections that keep their buffers between requests */
#define LIM_LISTEN_BACKLOG      4096u
#define LIM_RING_ENTRIES        1024u /* submission queue */
#define LIM_RING_COMPLETIONS    8192u
#define LIM_RECV_BUFFERS        256u /* provided to the kernel; a power of two */
#define LIM_RECV_BUFFER_BYTES   4096u
#define LIM_REQUESTS_PER_TURN   32u    /* of one connection, before the others have their turn */
#define LIM_EVENTS_PER_TURN     32u /* completions; what they ask for is done before the next ones */
#define LIM_TURN_BYTES          (256u << 10) /* to send; what else there is to do then waits */
#define LIM_BULKY_BYTES         (16u << 10)  /* sent at a time: others come first */
#define LIM_SEND_BYTES          65160u /* at a time: 45 segments, what TCP sends as one packet */
#define LIM_SEND_FRAMING_BYTES  512u   /* of these, for what encloses a body read from the tar */
#define LIM_BUFFER_KEPT_BYTES   (16u << 10) /* by an empty one that was sent; most answers fit */
#define LIM_BUFFER_SMALL_BYTES  1024u       /* by one whose owner may have no use for it for long */
#define LIM_ACCEPTS_PER_TURN    64u    /* so that a crowd of new clients does not delay others */
#define LIM_EXPIRES_PER_TURN    64u    /* the same of many whose time is over at once */
#define LIM_LATE_MS             100u   /* a turn that comes later than that hears before it judges */
#define LIM_ACCEPTED            1024u  /* that wait for a later turn; beyond, they do not wait */
#define LIM_ACCEPT_RETRY_MS     10u    /* after accept failed, for lack of descriptors mostly */
#define LIM_ACCEPT_TELL_MS      60000u /* between two lines of the log about that */
#define LIM_ACCESS_LOG_BYTES    65536u /* lines of one turn, written together */
#define LIM_ACCESS_TARGET_BYTES 2048u  /* of a target in the access log; longer ones are cut */
#define LIM_LOG_QUEUE_BYTES     (1u << 20) /* of a thread, on the way to a log; beyond: dropped */
#define LIM_LOG_WRITE_BYTES     65536u     /* written to a log at a time */
#define LIM_LOG_REST_MS         5u         /* between two writes, while lines keep coming */
#define LIM_HOT_BYTES           (4u << 20)   /* of small files kept in memory */
#define LIM_HOT_PIECE_BYTES     (128u << 10) /* a larger one is read each time */
#define LIM_CHUNK_BYTES_DEFAULT 65536u     /* body bytes read from the tar at a time */
#define LIM_PIPELINE_BYTES      (64u << 10) /* unanswered request bytes in hand before reading stops */
#define LIM_PIPELINE_BUSY_BYTES (8u << 10)  /* the same while an answer is being sent */

#define LIM_H2_HELD_BYTES (256u << 10) /* of files, read for a connection and not framed */
#define LIM_H2_OUT_BYTES (48u << 10) /* frames collected before they are sent: three full records */
#define LIM_H2_GOAWAY_MS 1000u       /* between the two GOAWAY of an end without hurry */

/* ---- TLS, of one connection ---- */
/* Records not yet sent: a chunk and a whole answer with their overhead fit. */
#define LIM_TLS_OUTPUT_BYTES  (4u << 20)
#define LIM_TLS_LATE_MESSAGES 100u /* key updates, attempts to negotiate again, in a second */
#define LIM_TLS_HELLO_BYTES   (64u << 10) /* of a client, until its handshake is complete */
#define LIM_TLS_SMALL_BYTES   1370u       /* of a record that fits one packet */
#define LIM_TLS_WARM_UP_BYTES (64u << 10) /* in small records: then the peer's window is open */
#define LIM_TLS_COLD_MS       1000u       /* without sending; then it begins anew */
#define LIM_TLS_TICKET_KEY_MS (8u * 3600u * 1000u) /* a key makes tickets for so long */
#define LIM_TLS_TICKET_KEYS   3u                   /* the newest and those before it */
#define LIM_TLS_EMPTY_RECORDS 32u         /* in a row */
#define LIM_TLS_KEY_RECORDS   (1u << 23)  /* under one key; RFC 8446 5.5 has it at 23.7 million */
/* Memory of an idle connection with TLS 1.3, and with what the library keeps for TLS 1.2; a test
 * holds them. */
#define LIM_TLS_IDLE_BYTES     (2u << 10)
#define LIM_TLS_IDLE_1_2_BYTES (16u << 10)
#define LIM_TLS_CERTIFICATES  2048u       /* and keys, in all files */
#define LIM_TLS_PEM_BYTES     (1u << 20)  /* one file of --cert-dir */

/* ---- one request ---- */
#define LIM_RANGES              16u        /* of one Range field; with more it is not heeded */
#define LIM_EXCHANGE_POOL_BYTES (1u << 20) /* everything a request may allocate; beyond: 500 */
/* How full scripts may make it: the head of the answer needs room, too. */
#define LIM_SCRIPT_POOL_BYTES   (LIM_EXCHANGE_POOL_BYTES / 4 * 3)
#define LIM_META_ENTRIES        256u  /* metadata entries a chain may set */
#define LIM_META_BYTES          (64u << 10)
#define LIM_RESPONSE_FIELDS     256u         /* an upstream's, and what scripts add */
#define LIM_RESPONSE_BODY_BYTES (256u << 10) /* zs_respond */
#define LIM_SCRIPT_BODY_BYTES   (256u << 10) /* of a request, that scripts may read; by default */
#define LIM_JSON_BYTES          (256u << 10) /* memory of the JSON values of a script; by default */
#define LIM_JSON_HANDLES        32u
#define LIM_JSON_DEPTH          64u    /* containers in each other: recursion on a small stack */
#define LIM_SCRIPT_RUNS         256u  /* of a worker at a time: each has an arena */
/* One in so many is kept for requests that are complete: bodies that do not come cannot take it. */
#define LIM_SCRIPT_RUNS_KEPT    4u
#define LIM_SLICES_PER_TICK     8u  /* so often others are looked after while scripts are busy */
#define LIM_STARVED_TRIES       32u /* in a turn, of those that wait for an arena */
#define LIM_STARTS_PER_LOOK     2u  /* of requests by HTTP/2, between looks at the clock */
#define LIM_NEWCOMER_SLICES     3u  /* for scripts that start, then one for those that go on */
#define LIM_CALL_DEPTH          8u     /* zs_call inside zs_call */
#define LIM_CALL_NS             5000u  /* of the budget, for each call: entering a script takes time */
#define LIM_RESPONSE_HOOKS      32u
#define LIM_RATE_KEYS           10000u /* that limits of scripts remember at once; by default */
#define LIM_RATE_KEY_BYTES      256u
#define LIM_LOG_LINE_BYTES      512u /* zs_log without a newline */

/* ---- upstreams ---- */
#define LIM_UPSTREAM_HEAD_BYTES    (64u << 10) /* of an answer; beyond: 502 */
#define LIM_UPSTREAM_FIELDS        200u        /* of an answer; beyond: 502 */
#define LIM_CONNECTION_OPTIONS     32u         /* of Connection; beyond: 400, 502 */
#define LIM_UPSTREAM_INTERIM       16u         /* 1xx before an answer; beyond: 502 */
#define LIM_UPSTREAM_REQUEST_BYTES (1u << 20)  /* a head sent: no more than an exchange can hold */
#define LIM_UPSTREAM_LIST_BYTES    4096u       /* text given to zs_reverse_proxy */
#define LIM_UPSTREAM_TARGETS       16u         /* in it */
#define LIM_UPSTREAM_KEY_BYTES     280u /* scheme, host of 253 bytes and port; or a socket's path */
#define LIM_UPSTREAMS              1024u       /* a worker knows; scripts may make names up */
#define LIM_LINKS                  4096u       /* connections of a worker to upstreams */
#define LIM_LINK_BYTES             (64u << 10) /* in hand each way before reading stops */
#define LIM_DIRECT_BYTES           (8u << 10) /* of a body: fewer are copied, to join what is before */
#define LIM_LINK_FIRST_BYTES       1024u /* received while it is not known what there is room for */
#define LIM_LINK_SHUT_BYTES        256u  /* of an answer whose client's windows are shut */
#define LIM_LINK_BUFFERS           16u         /* provided to the kernel; a power of two */
#define LIM_LINK_BUFFER_BYTES      (62u << 10) /* in records, no more than LIM_SEND_BYTES */
#define LIM_TUNNEL_MS              600000u /* of silence, both ways, after a change of protocol */
#define LIM_UPSTREAM_IDLE          256u    /* connections a worker keeps for later */
#define LIM_UPSTREAM_IDLE_EACH     128u    /* of them to one upstream */
#define LIM_UPSTREAM_IDLE_MS       10000u  /* below what upstreams usually allow */
#define LIM_UPSTREAM_CONNECT_MS    5000u
#define LIM_UPSTREAM_DOUBT_MS      250u   /* for the news that a closed connection took nothing */
#define LIM_UPSTREAM_EXPECT_MS     1000u  /* for a 100; then the body goes without */
#define LIM_UPSTREAM_ANSWER_MS     60000u /* from request to answer; half of it for a pause */
#define LIM_UPSTREAM_FAILURES      3u     /* within LIM_UPSTREAM_FAILURE_MS take one out */
#define LIM_UPSTREAM_FAILURE_MS    10000u
#define LIM_UPSTREAM_OUT_MS        10000u /* for so long */
#define LIM_UPSTREAM_RETRIES       1u     /* RFC 9110 9.2.2 */
#define LIM_RESOLVE_MS             5000u  /* one look-up of a name */
#define LIM_RESOLVE_THREADS        4u /* so a name whose server is silent does not stop the others */
#define LIM_RESOLVE_NAMES          1024u  /* remembered */
#define LIM_RESOLVE_ADDRESSES      8u     /* of one name */
#define LIM_RESOLVE_TTL_MS         60000u /* getaddrinfo does not tell what the zone says */
#define LIM_RESOLVE_FAILED_TTL_MS  5000u

/* ---- sites ---- */
#define LIM_TAR_ENTRIES         (4u << 20)
#define LIM_TAR_PATH_BYTES      4096u
#define LIM_TAR_PAX_BYTES       (1u << 20)  /* one extended header */
#define LIM_COMPRESS_BYTES      (64u << 20) /* --compress leaves larger files alone */
#define LIM_SCRIPT_OBJECT_BYTES (32u << 20)
#define LIM_SCRIPTS             256u

#endif
