#include "output.h"

#include <errno.h>
#include <stdio.h>

int output_finish(struct error *error)
{
    return fflush(stdout) != 0 || ferror(stdout)
               ? error_set(error, -EIO, "standard output: cannot be written")
               : 0;
}
