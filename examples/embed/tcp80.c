/* SPDX-License-Identifier: Apache-2.0 */
/* A filter for filter.c: TCP over IPv4 over Ethernet, from or to port 80. Checks lengths like any
 * careful parser does; were one check forgotten, the VM would contain it.
 *
 *     clang -target bpf -mcpu=v3 -O2 -c tcp80.c
 */
typedef unsigned char u8;
typedef unsigned long long u64;

enum { ETHERNET_BYTES = 14, IPV4_BYTES_MIN = 20, PROTOCOL_TCP = 6, PORT = 80 };

extern u64 note(const char *text); /* a helper of filter.c */

static unsigned be16(const u8 *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

u64 filter(const u8 *packet, u64 length)
{
    const u8 *ip = packet + ETHERNET_BYTES;
    const u8 *tcp;
    u64 ip_bytes;

    if (length < ETHERNET_BYTES + IPV4_BYTES_MIN || be16(packet + 12) != 0x0800) {
        return 0;
    }
    ip_bytes = (ip[0] & 15) * 4u;
    if (ip[0] >> 4 != 4 || ip_bytes < IPV4_BYTES_MIN || ip[9] != PROTOCOL_TCP) {
        return 0;
    }
    if (be16(ip + 6) & 0x1fff) { /* a later fragment: no ports in it */
        return 0;
    }
    if (length < ETHERNET_BYTES + ip_bytes + 4) {
        note("TCP header is cut off");
        return 0;
    }
    tcp = ip + ip_bytes;
    return be16(tcp) == PORT || be16(tcp + 2) == PORT;
}
