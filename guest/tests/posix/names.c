/* Names and numbers of hosts and services; sets of signals. */
#include "posix.h"

static int look(const char *name, const char *service, int flags, int family, struct addrinfo **out)
{
    struct addrinfo hints = {.ai_flags = flags, .ai_family = family, .ai_socktype = SOCK_STREAM};
    return getaddrinfo(name, service, &hints, out);
}

static void numbers_need_no_look_up(void)
{
    struct addrinfo *found;
    char host[64], service[16];
    CHECK(look("127.1", "https", 0, AF_UNSPEC, &found) == 0 && !found->ai_next);
    CHECK(((struct sockaddr_in *)found->ai_addr)->sin_port == htons(443));
    CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, service, sizeof service,
                      NI_NUMERICHOST) == 0);
    CHECK(strcmp(host, "127.0.0.1") == 0 && strcmp(service, "https") == 0);
    freeaddrinfo(found);
    CHECK(look("fe80::1%3", "80", 0, AF_UNSPEC, &found) == 0);
    CHECK(getnameinfo(found->ai_addr, found->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST)
          == 0);
    CHECK(strcmp(host, "fe80::1%3") == 0);
    freeaddrinfo(found);
    CHECK(look("::1", NULL, 0, AF_INET, &found) == EAI_ADDRFAMILY);
    CHECK(look("name", NULL, AI_NUMERICHOST, AF_UNSPEC, &found) == EAI_NONAME);
    CHECK(look("127.0.0.1", "no-such-service", 0, AF_UNSPEC, &found) == EAI_SERVICE);
    CHECK(look(NULL, "1", 0, AF_UNSPEC, &found) == 0 && found->ai_family == AF_INET6);
    CHECK(found->ai_next && found->ai_next->ai_family == AF_INET && !found->ai_next->ai_next);
    freeaddrinfo(found);
    CHECK(getservbyname("domain", "udp")->s_port == htons(53) && !getservbyname("http", "udp"));
}

static void sets_of_signals_hold_all_of_them(void)
{
    sigset_t set;
    CHECK(sigemptyset(&set) == 0 && sigismember(&set, SIGINT) == 0 && sigismember(&set, 64) == 0);
    CHECK(sigaddset(&set, 64) == 0 && sigaddset(&set, SIGINT) == 0 && sigdelset(&set, SIGINT) == 0);
    CHECK(sigismember(&set, 64) == 1 && sigismember(&set, SIGINT) == 0 && sigismember(&set, 1) == 0);
    CHECK(sigfillset(&set) == 0 && sigismember(&set, 1) == 1 && sigismember(&set, 64) == 1);
    CHECK(sigpending(&set) == 0 && sigismember(&set, 1) == 0);
    CHECK(sigaddset(&set, 0) == -1 && errno == EINVAL && sigdelset(&set, 65) == -1);
    CHECK(sigismember(&set, -1) == -1 && siginterrupt(65, 1) == -1 && siginterrupt(SIGINT, 1) == 0);
}

const struct test name_tests[] = {
    TEST(numbers_need_no_look_up),
    TEST(sets_of_signals_hold_all_of_them),
    {0},
};
