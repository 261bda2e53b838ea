/* OpenSSL beside Python: stack for its deepest functions, and what the recipe leaves out of it. */
#include <stddef.h>
#include <unistd.h>

#include "vt.h"
#include "vtwasm_force.h"

/* More than twice the most that a handshake was seen to take of the shadow stack (4,384 bytes). A
 * thread that is not deep in C has that much left and stays where it is; it may park in here, and
 * then holds its stack for long. All other functions that Python calls take less than 2,400. */
#define STACK ((size_t)10 << 10)

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

#define ENTRY(name, parameters, arguments)                      \
    int __real_##name parameters;                               \
    int __wrap_##name parameters                                \
    {                                                           \
        return VTWASM_WITH_STACK(STACK, __real_##name arguments); \
    }

ENTRY(SSL_do_handshake, (SSL * ssl), (ssl))
ENTRY(SSL_read_ex, (SSL * ssl, void *to, size_t size, size_t *got), (ssl, to, size, got))
ENTRY(SSL_write_ex, (SSL * ssl, const void *from, size_t size, size_t *put),
      (ssl, from, size, put))
ENTRY(SSL_shutdown, (SSL * ssl), (ssl))
ENTRY(SSL_verify_client_post_handshake, (SSL * ssl), (ssl))
ENTRY(SSL_CTX_use_PrivateKey_file, (SSL_CTX * context, const char *file, int type),
      (context, file, type))
ENTRY(SSL_CTX_use_certificate_chain_file, (SSL_CTX * context, const char *file), (context, file))
ENTRY(SSL_CTX_load_verify_locations, (SSL_CTX * context, const char *file, const char *directory),
      (context, file, directory))

/* --- Its random numbers --- */

/* Its generators reseed themselves from the host's when this differs from the last time: in a child
 * process, and in a run that starts from an image. */
int __wrap_openssl_get_fork_id(void)
{
    return vt_is_resumed;
}

/* --- What the socket BIO needs of the files that are not built (xtask/src/recipe/openssl.rs) --- */

typedef union bio_addr_st BIO_ADDR;
struct sockaddr;

int BIO_closesocket(int descriptor)
{
    return close(descriptor) == 0;
}

/* Only TCP Fast Open asks, which is not built either. */
int BIO_ADDR_make(BIO_ADDR *address, const struct sockaddr *from)
{
    (void)address, (void)from;
    return 0;
}

const struct sockaddr *BIO_ADDR_sockaddr(const BIO_ADDR *address)
{
    (void)address;
    return NULL;
}
