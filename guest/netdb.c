/* Names and addresses. What is a number is read here; names are looked up by the host, and only the
 * fiber that asks waits. */
#include "host.h"
#include "inet.h"
#include "services.h"
#include "vt.h"
#include "wasi.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Addresses that land on the stack; more are taken from the heap. */
#define FEW 4

/* libc counts the families otherwise (include/__header_sys_socket.h). */
#define LIBC_FAMILY(family) ((family) == AF_INET ? 1 : (family) == AF_INET6 ? 2 : -1)
int __real_inet_pton(int family, const char *restrict text, void *restrict address);
int __wrap_inet_pton(int family, const char *restrict text, void *restrict address)
{
    return __real_inet_pton(LIBC_FAMILY(family), text, address);
}
const char *__real_inet_ntop(int family, const void *restrict address, char *restrict text,
                             socklen_t size);
const char *__wrap_inet_ntop(int family, const void *restrict address, char *restrict text,
                             socklen_t size)
{
    return __real_inet_ntop(LIBC_FAMILY(family), address, text, size);
}

int *__h_errno_location(void) { return &vt_self->host_error; }

/* --- asking the host --- */

/* Waits for a look-up to be done: 0 or EINTR. */
static int wait_for(uint32_t look_up)
{
    if (host_subscribe(look_up, VT_READABLE))
        return 0;
    if (vt_park(VT_IO, look_up, VT_FOREVER) != VT_INTERRUPTED)
        return 0;
    vt_interrupt();
    return EINTR;
}

/* Asks until there is an answer, and closes the look-up. An errno: ENOENT, EIO, EINTR … */
static int ask(const struct vt_number *begun, void (*question)(uint32_t, struct vt_list_result *),
               void *landing, size_t size, struct vt_list *answer)
{
    *answer = (struct vt_list){NULL, 0};
    if (begun->is_error)
        return vt_host_error(begun->error);
    int error;
    do {
        struct vt_list_result result;
        vt_landing = (struct vt_landing){landing, size};
        question(begun->value, &result);
        vt_landing = (struct vt_landing){NULL, 0};
        error = result.is_error ? result.error : 0;
        if (!error)
            *answer = result.list;
    } while (error == EAGAIN && (error = wait_for(begun->value)) == 0);
    struct vt_done closed;
    host_close(begun->value, &closed);
    return vt_host_error(error);
}

static int resolve(const char *name, struct vt_address *landing, size_t size, struct vt_list *found)
{
    struct vt_number begun;
    host_look_up(name, (uint32_t)strlen(name), &begun);
    return ask(&begun, host_addresses, landing, size, found);
}

/* `name` has NI_MAXHOST bytes. */
static int resolve_address(const struct vt_address *address, char *name)
{
    struct vt_number begun;
    struct vt_list found;
    host_look_up_address(VT_SPREAD(address), &begun);
    int error = ask(&begun, host_name, name, NI_MAXHOST - 1, &found);
    if (error)
        return error;
    if (found.items != name) {
        vt_list_free(&found, name);
        return ENOENT; /* longer than a name can be */
    }
    name[found.count] = '\0';
    return found.count > 0 ? 0 : ENOENT;
}

static int eai_of(int error)
{
    switch (error) {
    case 0:
        return 0;
    case ENOENT:
        return EAI_NONAME;
    case EIO:
        return EAI_AGAIN;
    case ENOMEM:
        return EAI_MEMORY;
    default:
        errno = error;
        return EAI_SYSTEM;
    }
}

/* --- getaddrinfo --- */

/* What a request asks for beside the addresses. */
struct request {
    const struct addrinfo *hints;
    int ports[2]; /* of each of `kinds`; negative: the service has none there */
    struct addrinfo *first, **last;
};

static const struct {
    int kind, protocol, service;
} kinds[] = {
    {SOCK_STREAM, IPPROTO_TCP, VT_TCP},
    {SOCK_DGRAM, IPPROTO_UDP, VT_UDP},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static bool wants_kind(const struct addrinfo *hints, size_t i)
{
    return (hints->ai_socktype == 0 || hints->ai_socktype == kinds[i].kind)
           && (hints->ai_protocol == 0 || hints->ai_protocol == kinds[i].protocol);
}

static bool wants_family(const struct addrinfo *hints, int family)
{
    return hints->ai_family == AF_UNSPEC || hints->ai_family == family;
}

static int find_ports(const char *service, struct request *request)
{
    char *end;
    unsigned long number = service ? strtoul(service, &end, 10) : 0;
    bool numeric = !service || (*service >= '0' && *service <= '9' && *end == '\0');
    bool found = false;
    if (!numeric && (request->hints->ai_flags & AI_NUMERICSERV))
        return EAI_NONAME;
    for (size_t i = 0; i < KINDS; i++) {
        const struct vt_service *known =
            numeric ? NULL : vt_service_named(service, kinds[i].service);
        request->ports[i] = numeric ? (int)(number & 0xFFFF) : known ? known->port : -1;
        found |= request->ports[i] >= 0 && wants_kind(request->hints, i);
    }
    return found ? 0 : EAI_SERVICE;
}

static int add_one(struct request *request, size_t kind, const struct vt_address *address)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in6 name; /* or the shorter sockaddr_in */
    } *entry = calloc(1, sizeof *entry);
    if (!entry)
        return EAI_MEMORY;
    struct vt_address whole = *address;
    whole.port = (uint16_t)request->ports[kind];
    struct sockaddr *name = (struct sockaddr *)&entry->name;
    entry->info.ai_addrlen = vt_address_to(&whole, name);
    entry->info.ai_addr = name;
    entry->info.ai_family = name->sa_family;
    entry->info.ai_socktype = kinds[kind].kind;
    entry->info.ai_protocol = kinds[kind].protocol;
    entry->info.ai_flags = request->hints->ai_flags;
    *request->last = &entry->info;
    request->last = &entry->info.ai_next;
    return 0;
}

static int add(struct request *request, const struct vt_address *address)
{
    if (!wants_family(request->hints, address->family == VT_INET ? AF_INET : AF_INET6))
        return 0;
    for (size_t i = 0; i < KINDS; i++) {
        if (!wants_kind(request->hints, i) || request->ports[i] < 0)
            continue;
        int error = add_one(request, i, address);
        if (error)
            return error;
    }
    return 0;
}

/* 127.0.0.1, or ::1%2. */
static bool is_numeric(const char *text, struct vt_address *out)
{
    struct in_addr in;
    if (inet_aton(text, &in)) {
        *out = (struct vt_address){.family = VT_INET, .low = ntohl(in.s_addr)};
        return true;
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    char copy[INET6_ADDRSTRLEN + 16];
    size_t length = strlen(text);
    if (length >= sizeof copy)
        return false;
    memcpy(copy, text, length + 1);
    char *scope = strchr(copy, '%');
    if (scope) {
        *scope++ = '\0';
        char *end;
        in6.sin6_scope_id = (unsigned)strtoul(scope, &end, 10);
        if (end == scope || *end != '\0' || *scope < '0' || *scope > '9')
            in6.sin6_scope_id = if_nametoindex(scope);
        if (in6.sin6_scope_id == 0)
            return false;
    }
    return inet_pton(AF_INET6, copy, &in6.sin6_addr) == 1
           && vt_address_from((struct sockaddr *)&in6, sizeof in6, out) == 0;
}

/* No name: this machine, or all its addresses. */
static int add_own(struct request *request)
{
    const struct vt_address v4 = {.family = VT_INET, .low = INADDR_LOOPBACK};
    const struct vt_address v6 = {.family = VT_INET6, .low = 1};
    const struct vt_address any_v4 = {.family = VT_INET}, any_v6 = {.family = VT_INET6};
    bool passive = request->hints->ai_flags & AI_PASSIVE;
    int error = add(request, passive ? &any_v4 : &v6);
    return error ? error : add(request, passive ? &any_v6 : &v4);
}

static int add_named(struct request *request, const char *name)
{
    struct vt_address few[FEW];
    struct vt_list found;
    int error = eai_of(resolve(name, few, sizeof few, &found));
    const struct vt_address *addresses = found.items;
    for (uint32_t i = 0; i < found.count && error == 0; i++)
        error = add(request, &addresses[i]);
    vt_list_free(&found, few);
    return error || request->first ? error : EAI_NODATA;
}

static int add_all(struct request *request, const char *name)
{
    struct vt_address address;
    if (!name)
        return add_own(request);
    if (is_numeric(name, &address)) {
        int error = add(request, &address);
        return error || request->first ? error : EAI_ADDRFAMILY;
    }
    if (request->hints->ai_flags & AI_NUMERICHOST)
        return EAI_NONAME;
    return add_named(request, name);
}

static int check(const char *name, const char *service, const struct addrinfo *hints)
{
    const int known = AI_PASSIVE | AI_CANONNAME | AI_NUMERICHOST | AI_V4MAPPED | AI_ALL
                      | AI_ADDRCONFIG | AI_NUMERICSERV;
    if (!name && !service)
        return EAI_NONAME;
    if ((hints->ai_flags & ~known) || ((hints->ai_flags & AI_CANONNAME) && !name))
        return EAI_BADFLAGS;
    if (hints->ai_family != AF_UNSPEC && hints->ai_family != AF_INET && hints->ai_family != AF_INET6)
        return EAI_FAMILY;
    for (size_t i = 0; i < KINDS; i++)
        if (wants_kind(hints, i))
            return 0;
    return EAI_SOCKTYPE;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    static const struct addrinfo no_hints = {.ai_flags = AI_V4MAPPED | AI_ADDRCONFIG};
    struct request request = {.hints = hints ? hints : &no_hints};
    request.last = &request.first;
    int error = check(name, service, request.hints);
    if (error == 0)
        error = find_ports(service, &request);
    if (error == 0)
        error = add_all(&request, name);
    if (error == 0 && (request.hints->ai_flags & AI_CANONNAME)
        && !(request.first->ai_canonname = strdup(name)))
        error = EAI_MEMORY;
    if (error) {
        int saved = errno;
        freeaddrinfo(request.first);
        errno = saved;
        return error;
    }
    *out = request.first;
    return 0;
}

void freeaddrinfo(struct addrinfo *first)
{
    for (struct addrinfo *next; first; first = next) {
        next = first->ai_next;
        free(first->ai_canonname);
        free(first);
    }
}

const char *gai_strerror(int error)
{
    static const char *const texts[] = {
        [-EAI_BADFLAGS] = "Bad value for ai_flags",
        [-EAI_NONAME] = "Name or service not known",
        [-EAI_AGAIN] = "Temporary failure in name resolution",
        [-EAI_FAIL] = "Non-recoverable failure in name resolution",
        [-EAI_NODATA] = "No address associated with hostname",
        [-EAI_FAMILY] = "ai_family not supported",
        [-EAI_SOCKTYPE] = "ai_socktype not supported",
        [-EAI_SERVICE] = "Servname not supported for ai_socktype",
        [-EAI_ADDRFAMILY] = "Address family for hostname not supported",
        [-EAI_MEMORY] = "Memory allocation failure",
        [-EAI_SYSTEM] = "System error",
        [-EAI_OVERFLOW] = "Result too large for supplied buffer",
    };
    int index = -error, count = sizeof texts / sizeof texts[0];
    return index > 0 && index < count && texts[index] ? texts[index] : "Unknown error";
}

/* --- getnameinfo --- */

static int put_text(const char *text, char *out, socklen_t size)
{
    size_t length = strlen(text);
    if (length >= size)
        return EAI_OVERFLOW;
    memcpy(out, text, length + 1);
    return 0;
}

static int put_numeric(const struct vt_address *address, char *out, socklen_t size)
{
    char text[INET6_ADDRSTRLEN + 12];
    struct sockaddr_in6 name;
    vt_address_to(address, (struct sockaddr *)&name);
    if (address->family == VT_INET)
        inet_ntop(AF_INET, &((struct sockaddr_in *)&name)->sin_addr, text, sizeof text);
    else
        inet_ntop(AF_INET6, &name.sin6_addr, text, sizeof text);
    char interface[IF_NAMESIZE];
    if (address->scope && if_indextoname(address->scope, interface))
        sprintf(text + strlen(text), "%%%s", interface);
    else if (address->scope)
        sprintf(text + strlen(text), "%%%u", (unsigned)address->scope);
    return put_text(text, out, size);
}

static int put_host(const struct vt_address *address, char *out, socklen_t size, int flags)
{
    char name[NI_MAXHOST];
    int error = flags & NI_NUMERICHOST ? ENOENT : resolve_address(address, name);
    if (error == 0)
        return put_text(name, out, size);
    if (!(flags & NI_NUMERICHOST) && ((flags & NI_NAMEREQD) || (error != ENOENT && error != EIO)))
        return eai_of(error);
    return put_numeric(address, out, size);
}

static int put_service(uint16_t port, char *out, socklen_t size, int flags)
{
    const struct vt_service *service =
        flags & NI_NUMERICSERV ? NULL : vt_service_at(port, flags & NI_DGRAM ? VT_UDP : VT_TCP);
    char number[8];
    sprintf(number, "%u", port);
    return put_text(service ? service->name : number, out, size);
}

int getnameinfo(const struct sockaddr *restrict name, socklen_t name_size, char *restrict host,
                socklen_t host_size, char *restrict service, socklen_t service_size, int flags)
{
    struct vt_address address;
    if (vt_address_from(name, name_size, &address) != 0)
        return EAI_FAMILY;
    if ((!host || host_size == 0) && (!service || service_size == 0))
        return EAI_NONAME;
    int error = host && host_size ? put_host(&address, host, host_size, flags) : 0;
    if (error == 0 && service && service_size)
        error = put_service(address.port, service, service_size, flags);
    return error;
}

/* --- gethostbyname and gethostbyaddr --- */

static int host_errno_of(int error)
{
    return error == ENOENT ? HOST_NOT_FOUND : error == EIO ? TRY_AGAIN : NO_RECOVERY;
}

/* The entry, its name and its addresses all stand in the caller's buffer. */
struct packing {
    char *next, *end;
};

static void *pack(struct packing *packing, size_t size, size_t align)
{
    uintptr_t start = ((uintptr_t)packing->next + align - 1) & ~(uintptr_t)(align - 1);
    if (start > (uintptr_t)packing->end || size > (uintptr_t)packing->end - start)
        return NULL;
    packing->next = (char *)start + size;
    return (void *)start;
}

/* ERANGE: the buffer is too small. */
static int pack_entry(struct hostent *entry, struct packing packing, const char *name, int family,
                      const struct vt_address *addresses, uint32_t count)
{
    size_t length = family == AF_INET ? 4 : 16, used = 0;
    char **list = pack(&packing, (count + 2) * sizeof *list, sizeof *list);
    char *copy = pack(&packing, strlen(name) + 1, 1);
    if (!list || !copy)
        return ERANGE;
    strcpy(copy, name);
    for (uint32_t i = 0; i < count; i++) {
        struct sockaddr_in6 one;
        vt_address_to(&addresses[i], (struct sockaddr *)&one);
        if (((struct sockaddr *)&one)->sa_family != family)
            continue;
        char *bytes = pack(&packing, length, 4);
        if (!bytes)
            return ERANGE;
        memcpy(bytes, family == AF_INET ? (void *)&((struct sockaddr_in *)&one)->sin_addr
                                        : (void *)&one.sin6_addr, length);
        list[used++] = bytes;
    }
    list[used] = list[count + 1] = NULL;
    *entry = (struct hostent){copy, &list[count + 1], family, (int)length, list};
    return used > 0 ? 0 : ENOENT;
}

int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t size,
                    struct hostent **result, int *host_error)
{
    struct vt_address few[FEW];
    struct vt_list found = {few, 1};
    *result = NULL;
    int error = is_numeric(name, &few[0]) ? 0 : resolve(name, few, sizeof few, &found);
    if (error == 0)
        error = pack_entry(entry, (struct packing){buffer, buffer + size}, name, AF_INET,
                           found.items, found.count);
    vt_list_free(&found, few);
    if (error == 0)
        *result = entry;
    else
        *host_error = host_errno_of(error);
    return error;
}

int gethostbyaddr_r(const void *bytes, socklen_t length, int family, struct hostent *entry,
                    char *buffer, size_t size, struct hostent **result, int *host_error)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct vt_address address;
    char name[NI_MAXHOST];
    int error = EINVAL;
    *result = NULL;
    if (family == AF_INET && length == sizeof in.sin_addr) {
        memcpy(&in.sin_addr, bytes, length);
        error = vt_address_from((struct sockaddr *)&in, sizeof in, &address);
    } else if (family == AF_INET6 && length == sizeof in6.sin6_addr) {
        memcpy(&in6.sin6_addr, bytes, length);
        error = vt_address_from((struct sockaddr *)&in6, sizeof in6, &address);
    }
    if (error == 0)
        error = resolve_address(&address, name);
    if (error == 0)
        error = pack_entry(entry, (struct packing){buffer, buffer + size}, name, family, &address, 1);
    if (error == 0)
        *result = entry;
    else
        *host_error = host_errno_of(error);
    return error;
}

/* POSIX allows one buffer for all. */
static struct hostent common;
static char common_buffer[2048];

struct hostent *gethostbyname(const char *name)
{
    struct hostent *result;
    gethostbyname_r(name, &common, common_buffer, sizeof common_buffer, &result, &h_errno);
    return result;
}

struct hostent *gethostbyaddr(const void *bytes, socklen_t length, int family)
{
    struct hostent *result;
    gethostbyaddr_r(bytes, length, family, &common, common_buffer, sizeof common_buffer, &result,
                    &h_errno);
    return result;
}

const char *hstrerror(int error)
{
    static const char *const texts[] = {"Resolver error", "Unknown host", "Host name lookup failure",
                                        "Unknown server error", "No address associated with name"};
    return error >= 0 && error <= NO_DATA ? texts[error] : "Unknown resolver error";
}
