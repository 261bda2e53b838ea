/* Well-known ports and protocols: there is no /etc/services in a sandbox. */
#ifndef VT_SERVICES_H
#define VT_SERVICES_H

#include <stdbool.h>

#define VT_TCP 1
#define VT_UDP 2

struct vt_service {
    const char *name;
    unsigned short port;
    unsigned char protocols; /* VT_TCP, VT_UDP */
};

/* The first that has one of the protocols; null if there is none. */
const struct vt_service *vt_service_named(const char *name, int protocols);
const struct vt_service *vt_service_at(int port, int protocols);

#endif
