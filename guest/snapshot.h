/* snapshot.c, for main.c and leave.c. */
#ifndef VT_SNAPSHOT_H
#define VT_SNAPSHOT_H

#include <stdbool.h>

#include "Python.h"

/* Whether this run is to make an image, and whether it starts from one. */
bool vt_snapshot_is_wanted(void);
bool vt_snapshot_is_there(void);

/* Does what the command line says and hands the image to the host. */
_Noreturn void vt_snapshot_make(void);

/* First of all in a run that starts from an image. */
void vt_snapshot_enter(void);
/* The interpreter as `config` wants it, and as no other run has it. */
PyStatus vt_snapshot_resume(PyConfig *config);

/* Whether the collector still knows what was in the image from what this run has made. */
bool vt_snapshot_is_untouched(PyInterpreterState *interp);
/* stdout and stderr as they were at the start, and their buffers; a null ends them. */
PyObject *const *vt_snapshot_streams(void);
/* What the image holds on to, such as the program's objects in its modules, may end. */
void vt_snapshot_let_go(PyInterpreterState *interp);

#endif
