/* <net/if.h>: the sandbox sees one interface, its loopback. The host's are its own affair. */
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#define INDEX 1 /* as Linux counts it everywhere */
static char name[] = "lo";
static struct if_nameindex all[] = {{INDEX, name}, {0, NULL}};

unsigned int if_nametoindex(const char *wanted)
{
    if (strcmp(wanted, name) == 0)
        return INDEX;
    errno = ENODEV;
    return 0;
}

char *if_indextoname(unsigned int index, char *out)
{
    if (index == INDEX)
        return strcpy(out, name);
    errno = ENXIO;
    return NULL;
}

struct if_nameindex *if_nameindex(void) { return all; }
void if_freenameindex(struct if_nameindex *list) { (void)list; }
