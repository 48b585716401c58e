/* Plain C, for any compiler: a V is a double, and the C library has the functions. */

#define LANES 1
#define REGISTERS 16
#define TARGET
#define FMA(x, y, z) ((x) * (y) + (z))
#define SQRT(x) sqrt(x)
#define ANY(mask) (mask)
#include "kernel_lanes.h"
