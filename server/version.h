/* SPDX-License-Identifier: Apache-2.0 */
/* The release, as `--version` and zs_version() tell it. */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

#define ZEROSERVE_VERSION "0.1.0"

#endif
