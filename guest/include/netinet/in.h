/* wasi-libc's, less the options that ask for packet information: it would come as ancillary data,
 * which there is none of, and programs ask by the name whether there is. */
#ifndef VTWASM_NETINET_IN_H
#define VTWASM_NETINET_IN_H

#include_next <netinet/in.h>

#undef IP_PKTINFO
#undef IP_RECVERR
#undef IP_RECVTTL
#undef IP_RECVTOS
#undef IPV6_RECVERR
#undef IPV6_RECVPKTINFO
#undef IPV6_PKTINFO
#undef IPV6_RECVHOPLIMIT
#undef IPV6_HOPLIMIT
#undef IPV6_RECVHOPOPTS
#undef IPV6_RECVRTHDR
#undef IPV6_RECVDSTOPTS
#undef IPV6_RECVPATHMTU
#undef IPV6_RECVTCLASS

#endif
