/* The interface `sockets` of world.wit, as the canonical ABI has it. */
#ifndef VT_HOST_H
#define VT_HOST_H

#include <stdint.h>

#define VT_SOCKETS(name) \
    __attribute__((import_module("vtwasm:host/sockets@0.1.0"), import_name(name)))

enum vt_family { VT_INET, VT_INET6 };
enum vt_kind { VT_STREAM, VT_DATAGRAM };

struct vt_address {
    uint8_t family;
    uint16_t port;
    uint64_t high, low;
    uint32_t scope;
};
#define VT_ADDRESS uint32_t family, uint32_t port, uint64_t high, uint64_t low, uint32_t scope
#define VT_SPREAD(address) \
    (address)->family, (address)->port, (address)->high, (address)->low, (address)->scope

enum { /* flags readiness */
    VT_READABLE = 1, VT_WRITABLE = 2, VT_ERROR = 4, VT_HANGUP = 8, VT_READ_HANGUP = 16,
    VT_URGENT = 32,
};
enum { VT_PEEK = 1, VT_OUT_OF_BAND = 2, VT_TRUNCATE = 4 }; /* flags message */

enum vt_option { /* enum socket-option */
    VT_O_ERROR, VT_O_REUSE_ADDRESS, VT_O_REUSE_PORT, VT_O_BROADCAST, VT_O_KEEP_ALIVE, VT_O_KEEP_IDLE,
    VT_O_KEEP_INTERVAL, VT_O_KEEP_COUNT, VT_O_NO_DELAY, VT_O_CORK, VT_O_QUICK_ACK, VT_O_USER_TIMEOUT,
    VT_O_DEFER_ACCEPT, VT_O_MAX_SEGMENT, VT_O_LINGER, VT_O_RECEIVE_BUFFER, VT_O_SEND_BUFFER,
    VT_O_RECEIVE_LOW, VT_O_V6_ONLY, VT_O_TYPE_OF_SERVICE, VT_O_TIME_TO_LIVE, VT_O_HOP_LIMIT,
    VT_O_MULTICAST_LOOP, VT_O_MULTICAST_TIME_TO_LIVE, VT_O_OUT_OF_BAND_INLINE,
};

/* result<_, errno>, and results of a number, an address, a list. */
struct vt_done {
    uint8_t is_error;
    uint16_t error;
};
struct vt_number {
    uint8_t is_error;
    union {
        uint32_t value;
        uint16_t error;
    };
};
struct vt_number64 {
    uint8_t is_error;
    union {
        int64_t value;
        uint16_t error;
    };
};
struct vt_address_result {
    uint8_t is_error;
    union {
        struct vt_address address;
        uint16_t error;
    };
};
struct vt_accepted {
    uint8_t is_error;
    union {
        struct {
            uint32_t handle;
            struct vt_address address;
        };
        uint16_t error;
    };
};
struct vt_list {
    void *items;
    uint32_t count;
};
struct vt_list_result {
    uint8_t is_error;
    union {
        struct vt_list list;
        uint16_t error;
    };
};
struct vt_received {
    uint8_t is_error;
    union {
        struct {
            struct vt_list bytes;
            uint32_t whole;
        };
        uint16_t error;
    };
};
struct vt_received_from {
    uint8_t is_error;
    union {
        struct {
            struct vt_list bytes;
            uint32_t whole;
            struct vt_address address;
        };
        uint16_t error;
    };
};

VT_SOCKETS("open") void host_open(uint32_t family, uint32_t kind, struct vt_number *);
VT_SOCKETS("bind") void host_bind(uint32_t socket, VT_ADDRESS, struct vt_done *);
VT_SOCKETS("listen") void host_listen(uint32_t socket, uint32_t backlog, struct vt_done *);
VT_SOCKETS("accept") void host_accept(uint32_t socket, struct vt_accepted *);
VT_SOCKETS("connect") void host_connect(uint32_t socket, VT_ADDRESS, struct vt_done *);
VT_SOCKETS("disconnect") void host_disconnect(uint32_t socket, struct vt_done *);
VT_SOCKETS("shutdown") void host_shutdown(uint32_t socket, uint32_t which, struct vt_done *);
VT_SOCKETS("local-address") void host_local_address(uint32_t socket, struct vt_address_result *);
VT_SOCKETS("remote-address") void host_remote_address(uint32_t socket, struct vt_address_result *);
VT_SOCKETS("get-option") void host_get_option(uint32_t socket, uint32_t name, struct vt_number64 *);
VT_SOCKETS("set-option") void host_set_option(uint32_t socket, uint32_t name, int64_t value,
                                              struct vt_done *);
VT_SOCKETS("available") void host_available(uint32_t socket, struct vt_number *);
VT_SOCKETS("receive") void host_receive(uint32_t socket, uint32_t length, uint32_t how,
                                        struct vt_received *);
VT_SOCKETS("receive-from") void host_receive_from(uint32_t socket, uint32_t length, uint32_t how,
                                                  struct vt_received_from *);
VT_SOCKETS("send") void host_send(uint32_t socket, const void *bytes, uint32_t length, uint32_t how,
                                  struct vt_number *);
VT_SOCKETS("send-to") void host_send_to(uint32_t socket, const void *bytes, uint32_t length,
                                        uint32_t how, VT_ADDRESS, struct vt_number *);
VT_SOCKETS("close") void host_close(uint32_t handle, struct vt_done *);
VT_SOCKETS("look-up") void host_look_up(const char *name, uint32_t length, struct vt_number *);
VT_SOCKETS("addresses") void host_addresses(uint32_t look_up, struct vt_list_result *);
VT_SOCKETS("look-up-address") void host_look_up_address(VT_ADDRESS, struct vt_number *);
VT_SOCKETS("name") void host_name(uint32_t look_up, struct vt_list_result *);
VT_SOCKETS("ready") uint32_t host_ready(uint32_t handle);
VT_SOCKETS("subscribe") uint32_t host_subscribe(uint32_t handle, uint32_t interest);
VT_SOCKETS("poller") void host_poller(struct vt_number *);
VT_SOCKETS("watch") void host_watch(uint32_t poller, uint32_t socket, uint32_t interest, uint32_t edge,
                                    struct vt_done *);
VT_SOCKETS("events") void host_events(uint32_t poller, uint32_t max, struct vt_list *);
struct vt_event { /* tuple<handle, readiness> */
    uint32_t handle;
    uint8_t readiness;
};
VT_SOCKETS("refusal") void host_refusal(struct vt_list *);

/* --- inet.c --- */

struct vt_file;
/* Gives back a list that did not land in `landing`. */
void vt_list_free(const struct vt_list *list, const void *landing);
/* 0: not one of the host's sockets. */
uint32_t vt_host_handle(const struct vt_file *file);
struct vt_file *vt_host_file(uint32_t handle);
/* POLL* and the host's readiness. */
uint32_t vt_interest_of(short events);
short vt_events_of(uint32_t readiness);
/* libc's errno of the host's; notes a refusal for strerror(). */
int vt_host_error(int error);

#endif
