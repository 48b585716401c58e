/* Two lanes, which every 64-bit machine has: SSE2, NEON, or what the C compiler makes of its vector types. */

#define LANES 2
#define TARGET
#define ANY(mask) N(any)(mask)
#ifdef __aarch64__
#include <arm_neon.h>
#define REGISTERS 32
#define FMA(x, y, z) vfmaq_f64(z, x, y)
#define SQRT(x) vsqrtq_f64(x)
#else
#define REGISTERS 16
#define FMA(x, y, z) ((x) * (y) + (z))
#define SQRT(x) N(sqrt)(x)
#endif
#include "kernel_lanes.h"
