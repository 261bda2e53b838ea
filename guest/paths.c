/* Paths: their folder is a descriptor of ours, and they may not be UTF-8. WASI's are, by its
 * component form even by their type, so such a path would end the whole run with a trap; POSIX has
 * an errno for it. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

#include "device.h"
#include "fd.h"
#include "names.h"
#include "wasi.h"

static bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* The bytes of the well-formed sequence at `text`, 0 if there is none (Unicode 15, table 3-7). */
static size_t sequence_length(const uint8_t *text, size_t left)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, length;
    } forms[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3}, {0xE1, 0xEC, 0x80, 0xBF, 3},
        {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3}, {0xF0, 0xF0, 0x90, 0xBF, 4},
        {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    if (text[0] < 0x80)
        return 1;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high)
            continue;
        size_t length = forms[i].length;
        if (left < length || text[1] < forms[i].second_low || text[1] > forms[i].second_high)
            return 0;
        for (size_t j = 2; j < length; j++)
            if (!is_continuation(text[j]))
                return 0;
        return length;
    }
    return 0;
}

static bool is_utf8(int32_t path, int32_t length)
{
    const uint8_t *text = (const uint8_t *)path;
    for (size_t left = (size_t)length; left > 0;) {
        size_t step = sequence_length(text, left);
        if (step == 0)
            return false;
        text += step;
        left -= step;
    }
    return true;
}

/* libc asks here which folder of WASI's a path leads to. */
int __real___wasilibc_find_abspath(const char *path, const char **folder, const char **relative);
int __wrap___wasilibc_find_abspath(const char *path, const char **folder, const char **relative)
{
    const char *device = vt_device_name(path);
    if (!device && !vt_name_is_bound(path))
        return __real___wasilibc_find_abspath(path, folder, relative);
    *folder = device ? "/dev" : "/";
    *relative = device ? device : path;
    return device ? VT_DEVICES : VT_NAMES;
}

/* Makes the folder WASI's own number. Nothing in /dev can be made or changed, nor the path of a
 * socket but by unlink(). */
static int check(int32_t *fd, int32_t path, int32_t length)
{
    if (!is_utf8(path, length))
        return EILSEQ;
    return *fd >= VT_NAMES ? EACCES : vt_wasi_number(fd, ENOTDIR);
}

/* Each function of WASI that takes one path, or two. */
#define ONE_PATH(name, parameters, path, length, arguments) \
    VT_WASI(name) parameters;                               \
    VT_INSTEAD_OF_WASI(name) parameters                     \
    {                                                       \
        int error = check(&fd, path, length);               \
        return error ? error : wasi_##name arguments;       \
    }
#define TWO_PATHS(name, parameters, path, length, path2, length2, arguments) \
    VT_WASI(name) parameters;                                                \
    VT_INSTEAD_OF_WASI(name) parameters                                      \
    {                                                                        \
        int error = check(&fd, path, length);                                \
        if (error == 0)                                                      \
            error = check(&fd2, path2, length2);                             \
        return error ? error : wasi_##name arguments;                        \
    }

ONE_PATH(path_create_directory, (int32_t fd, int32_t path, int32_t length), path, length,
         (fd, path, length))
ONE_PATH(path_remove_directory, (int32_t fd, int32_t path, int32_t length), path, length,
         (fd, path, length))
ONE_PATH(path_filestat_set_times,
         (int32_t fd, int32_t flags, int32_t path, int32_t length, int64_t accessed, int64_t modified,
          int32_t which),
         path, length, (fd, flags, path, length, accessed, modified, which))
ONE_PATH(path_readlink,
         (int32_t fd, int32_t path, int32_t length, int32_t buffer, int32_t size, int32_t result), path,
         length, (fd, path, length, buffer, size, result))
TWO_PATHS(path_link,
          (int32_t fd, int32_t flags, int32_t path, int32_t length, int32_t fd2, int32_t path2,
           int32_t length2),
          path, length, path2, length2, (fd, flags, path, length, fd2, path2, length2))
TWO_PATHS(path_rename,
          (int32_t fd, int32_t path, int32_t length, int32_t fd2, int32_t path2, int32_t length2), path,
          length, path2, length2, (fd, path, length, fd2, path2, length2))

VT_WASI(path_unlink_file)(int32_t fd, int32_t path, int32_t length);
VT_INSTEAD_OF_WASI(path_unlink_file)(int32_t fd, int32_t path, int32_t length)
{
    if (fd == VT_NAMES)
        return vt_name_unlink((const char *)path, (size_t)length);
    int error = check(&fd, path, length);
    return error ? error : wasi_path_unlink_file(fd, path, length);
}

/* The first path of a symbolic link is text. */
VT_WASI(path_symlink)(int32_t text, int32_t length, int32_t fd, int32_t path, int32_t length2);
VT_INSTEAD_OF_WASI(path_symlink)(int32_t text, int32_t length, int32_t fd, int32_t path, int32_t length2)
{
    if (!is_utf8(text, length))
        return EILSEQ;
    int error = check(&fd, path, length2);
    return error ? error : wasi_path_symlink(text, length, fd, path, length2);
}

VT_WASI(path_filestat_get)(int32_t fd, int32_t flags, int32_t path, int32_t length, int32_t result);
VT_INSTEAD_OF_WASI(path_filestat_get)(int32_t fd, int32_t flags, int32_t path, int32_t length,
                                      int32_t result)
{
    if (fd == VT_DEVICES)
        return vt_device_status((const char *)path, (size_t)length, (__wasi_filestat_t *)result);
    if (fd == VT_NAMES)
        return vt_name_status((const char *)path, (size_t)length, (__wasi_filestat_t *)result);
    int error = check(&fd, path, length);
    return error ? error : wasi_path_filestat_get(fd, flags, path, length, result);
}

/* libc's access mode, from the rights that it asks for. */
static int access_mode(int64_t rights)
{
    return (rights & __WASI_RIGHTS_FD_READ ? O_RDONLY : 0)
           | (rights & __WASI_RIGHTS_FD_WRITE ? O_WRONLY : 0);
}

VT_WASI(path_open)(int32_t fd, int32_t lookup, int32_t path, int32_t length, int32_t flags, int64_t rights,
                   int64_t inherited, int32_t fd_flags, int32_t result);
VT_INSTEAD_OF_WASI(path_open)(int32_t fd, int32_t lookup, int32_t path, int32_t length, int32_t flags,
                              int64_t rights, int64_t inherited, int32_t fd_flags, int32_t result)
{
    int32_t wasi, mode = access_mode(rights) | fd_flags;
    if (fd == VT_DEVICES)
        return vt_device_open((const char *)path, (size_t)length, mode, (int32_t *)result);
    if (fd == VT_NAMES)
        return ENXIO;
    int error = check(&fd, path, length);
    if (error == 0)
        error = vt_fd_room(); /* before a file is made, or truncated */
    if (error == 0)
        error = wasi_path_open(fd, lookup, path, length, flags, rights, inherited, fd_flags,
                               (int32_t)&wasi);
    /* The adapter's table of files is full, which it says so. */
    if (error == ENOMEM)
        return EMFILE;
    return error ? error : vt_wasi_open(wasi, mode, (int32_t *)result);
}
