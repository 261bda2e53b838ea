/* See services.h. */
#include "services.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#define BOTH (VT_TCP | VT_UDP)

/* In the order of their ports; of several names for one the usual first. */
static const struct vt_service services[] = {
    {"echo", 7, BOTH},          {"discard", 9, BOTH},      {"systat", 11, VT_TCP},
    {"daytime", 13, BOTH},      {"qotd", 17, VT_TCP},      {"chargen", 19, BOTH},
    {"ftp-data", 20, VT_TCP},   {"ftp", 21, VT_TCP},       {"ssh", 22, VT_TCP},
    {"telnet", 23, VT_TCP},     {"smtp", 25, VT_TCP},      {"time", 37, BOTH},
    {"whois", 43, VT_TCP},      {"domain", 53, BOTH},      {"bootps", 67, VT_UDP},
    {"bootpc", 68, VT_UDP},     {"tftp", 69, VT_UDP},      {"gopher", 70, VT_TCP},
    {"finger", 79, VT_TCP},     {"http", 80, VT_TCP},      {"www", 80, VT_TCP},
    {"kerberos", 88, BOTH},     {"pop3", 110, VT_TCP},     {"sunrpc", 111, BOTH},
    {"auth", 113, VT_TCP},      {"nntp", 119, VT_TCP},     {"ntp", 123, VT_UDP},
    {"imap2", 143, VT_TCP},     {"imap", 143, VT_TCP},     {"snmp", 161, BOTH},
    {"irc", 194, BOTH},         {"ldap", 389, BOTH},       {"https", 443, BOTH},
    {"microsoft-ds", 445, BOTH}, {"submissions", 465, VT_TCP}, {"syslog", 514, VT_UDP},
    {"printer", 515, VT_TCP},   {"submission", 587, VT_TCP}, {"ipp", 631, VT_TCP},
    {"ldaps", 636, BOTH},       {"rsync", 873, VT_TCP},    {"ftps", 990, VT_TCP},
    {"telnets", 992, VT_TCP},   {"imaps", 993, VT_TCP},    {"pop3s", 995, VT_TCP},
    {"socks", 1080, VT_TCP},    {"ms-sql-s", 1433, VT_TCP}, {"mqtt", 1883, VT_TCP},
    {"nfs", 2049, BOTH},        {"mysql", 3306, VT_TCP},   {"sip", 5060, BOTH},
    {"xmpp-client", 5222, VT_TCP}, {"mdns", 5353, VT_UDP}, {"postgresql", 5432, VT_TCP},
    {"amqp", 5672, BOTH},       {"redis", 6379, VT_TCP},   {"http-alt", 8080, BOTH},
    {"secure-mqtt", 8883, VT_TCP},
};
#define SERVICES (sizeof services / sizeof services[0])

const struct vt_service *vt_service_named(const char *name, int protocols)
{
    for (size_t i = 0; i < SERVICES; i++)
        if ((services[i].protocols & protocols) && strcmp(services[i].name, name) == 0)
            return &services[i];
    return NULL;
}

const struct vt_service *vt_service_at(int port, int protocols)
{
    for (size_t i = 0; i < SERVICES; i++)
        if ((services[i].protocols & protocols) && services[i].port == port)
            return &services[i];
    return NULL;
}

/* --- <netdb.h> --- */

static char *no_aliases[] = {NULL};

static int protocols_of(const char *name)
{
    if (!name)
        return BOTH;
    return strcmp(name, "tcp") == 0 ? VT_TCP : strcmp(name, "udp") == 0 ? VT_UDP : 0;
}

/* POSIX allows one buffer for all, and Python copies before another thread runs. */
static struct servent *entry(const struct vt_service *service, int protocols)
{
    static struct servent out;
    if (!service)
        return NULL;
    out = (struct servent){
        .s_name = (char *)service->name,
        .s_aliases = no_aliases,
        .s_port = htons(service->port),
        .s_proto = service->protocols & protocols & VT_TCP ? "tcp" : "udp",
    };
    return &out;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    int protocols = protocols_of(protocol);
    return entry(vt_service_named(name, protocols), protocols);
}

struct servent *getservbyport(int port, const char *protocol)
{
    int protocols = protocols_of(protocol);
    return entry(vt_service_at(ntohs((uint16_t)port), protocols), protocols);
}

static const struct {
    const char *name;
    int number;
} protocols[] = {
    {"ip", IPPROTO_IP},   {"icmp", IPPROTO_ICMP}, {"igmp", 2},       {"tcp", IPPROTO_TCP},
    {"udp", IPPROTO_UDP}, {"ipv6", IPPROTO_IPV6}, {"ipv6-icmp", 58}, {"sctp", 132},
};

static struct protoent *protocol_at(size_t i)
{
    static struct protoent out;
    out = (struct protoent){(char *)protocols[i].name, no_aliases, protocols[i].number};
    return &out;
}

struct protoent *getprotobyname(const char *name)
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
        if (strcasecmp(protocols[i].name, name) == 0)
            return protocol_at(i);
    return NULL;
}

struct protoent *getprotobynumber(int number)
{
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++)
        if (protocols[i].number == number)
            return protocol_at(i);
    return NULL;
}
