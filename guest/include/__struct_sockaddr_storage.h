/* Instead of wasi-libc's, which has no room for a sockaddr_un. */
#ifndef VTWASM___STRUCT_SOCKADDR_STORAGE_H
#define VTWASM___STRUCT_SOCKADDR_STORAGE_H

#include <__typedef_sa_family_t.h>

struct sockaddr_storage {
    __attribute__((aligned(__BIGGEST_ALIGNMENT__))) sa_family_t ss_family;
    char __ss_data[126];
};

#endif
