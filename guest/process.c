/* A process by itself: it has no children. */
#include "fd.h"

#include <errno.h>
#include <sys/wait.h>

pid_t waitpid(pid_t process, int *status, int options)
{
    (void)process, (void)status, (void)options;
    return vt_result(ECHILD);
}

pid_t wait(int *status) { return waitpid(-1, status, 0); }
