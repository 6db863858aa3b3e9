/* Preloaded under a sanitizer: servers open modules with RTLD_DEEPBIND, which takes a module's malloc
 * from libc past the sanitizer's, and which the sanitizer therefore refuses. */
#include <dlfcn.h>

void *dlopen(const char *path, int flags)
{
    void *(*next)(const char *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "dlopen");
    return next(path, flags & ~RTLD_DEEPBIND);
}
