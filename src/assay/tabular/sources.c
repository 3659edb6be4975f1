#include "kernel.h"

/* Which sources the library was built from: kernel.py says so when it compiles, and looks when it loads. */
EXPORT const char assay_sources[] = ASSAY_SOURCES;
