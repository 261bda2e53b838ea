/* Instead of wasi-libc's, which has no path. */
#ifndef VTWASM___STRUCT_SOCKADDR_UN_H
#define VTWASM___STRUCT_SOCKADDR_UN_H

#include <__typedef_sa_family_t.h>

struct sockaddr_un {
    __attribute__((aligned(__BIGGEST_ALIGNMENT__))) sa_family_t sun_family;
    char sun_path[108];
};

#endif
