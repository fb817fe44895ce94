/*
 * Puts errors in the place of the C library's calls on files (bad_disk.rs).
 *
 * The file that BAD_DISK names holds a rule a line: the call, a part of the path, and the error. It is read at each call, so
 * that a disk becomes bad and well again while the program runs. A path ends with $; that of a renaming is
 * "from|to$". What was failed is written, a line each, to the file of the same name with ".failed".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NONE = 0, SHORT = -1 };

static const char *rules_file;

__attribute__((constructor)) static void find_rules(void)
{
    rules_file = getenv("BAD_DISK");
}

static void note(const char *call, const char *path)
{
    char name[PATH_MAX], line[2 * PATH_MAX + 32];
    snprintf(name, sizeof name, "%s.failed", rules_file);
    int length = snprintf(line, sizeof line, "%s %s\n", call, path);
    int file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    syscall(SYS_write, file, line, length);
    syscall(SYS_close, file);
}

/* What is to become of a call on this path. */
static int fate(const char *call, const char *path)
{
    char rules[4096], ended[2 * PATH_MAX + 2];
    if (rules_file == NULL)
        return NONE;
    int file = syscall(SYS_openat, AT_FDCWD, rules_file, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return NONE;
    long length = syscall(SYS_read, file, rules, sizeof rules - 1);
    syscall(SYS_close, file);
    if (length <= 0)
        return NONE;
    rules[length] = 0;
    snprintf(ended, sizeof ended, "%s$", path);
    char *rest, *line = strtok_r(rules, "\n", &rest);
    for (; line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        char of[32], part[PATH_MAX], error[32];
        if (sscanf(line, "%31s %4095s %31s", of, part, error) != 3)
            continue;
        if (strcmp(of, call) != 0 || strstr(ended, part) == NULL)
            continue;
        note(call, ended);
        if (strcmp(error, "SHORT") == 0)
            return SHORT;
        return strcmp(error, "ENOSPC") == 0 ? ENOSPC : EIO;
    }
    return NONE;
}

static int fate_of_open(const char *call, int file)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length < 0)
        return NONE;
    path[length] = 0;
    return fate(call, path);
}

static int fail(int error)
{
    errno = error;
    return -1;
}

ssize_t write(int file, const void *bytes, size_t count)
{
    int error = fate_of_open("write", file);
    if (error > 0)
        return fail(error);
    return syscall(SYS_write, file, bytes, error == SHORT && count > 1 ? count / 2 : count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset)
{
    int error = fate_of_open("write", file);
    if (error > 0)
        return fail(error);
    return syscall(SYS_pwrite64, file, bytes, error == SHORT && count > 1 ? count / 2 : count, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset)
{
    return pwrite64(file, bytes, count, offset);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t offset)
{
    int error = fate_of_open("read", file);
    if (error > 0)
        return fail(error);
    return syscall(SYS_pread64, file, bytes, count, offset);
}

ssize_t pread(int file, void *bytes, size_t count, off_t offset)
{
    return pread64(file, bytes, count, offset);
}

int fsync(int file)
{
    int error = fate_of_open("flush", file);
    return error > 0 ? fail(error) : syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    int error = fate_of_open("flush", file);
    return error > 0 ? fail(error) : syscall(SYS_fdatasync, file);
}

int rename(const char *from, const char *to)
{
    char both[2 * PATH_MAX];
    snprintf(both, sizeof both, "%s|%s", from, to);
    int error = fate("rename", both);
    return error > 0 ? fail(error) : syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    int error = fate("remove", path);
    return error > 0 ? fail(error) : syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    int error = flags & O_CREAT ? fate("create", path) : NONE;
    return error > 0 ? fail(error) : syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
