/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how far the server is, by the protocol of sd_notify(3): one datagram
 * to the socket that NOTIFY_SOCKET names. Without that variable all calls do nothing. They never
 * wait: a manager that does not read must not stop the server. From one thread. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Connects to NOTIFY_SOCKET and takes it out of the environment, so that no child speaks for the
 * server. What goes wrong is told; the server can do without a manager. */
void notify_open(void);
void notify_close(void);

/* All listeners are open, `status` is a line for people. Also ends what notify_reloading began. */
void notify_ready(const char *status);
void notify_reloading(void);
void notify_stopping(void);

#endif
