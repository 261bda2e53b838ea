/* Addresses as the host has them, and the options that it knows. */
#ifndef VT_INET_H
#define VT_INET_H

#include <sys/socket.h>

#include "host.h"

int vt_address_from(const struct sockaddr *name, socklen_t size, struct vt_address *out); /* an errno */
socklen_t vt_address_to(const struct vt_address *address, struct sockaddr *name);
int vt_host_option(int level, int name); /* sockopt.c; negative: none */

#endif
