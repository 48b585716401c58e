/* Four lanes: AVX2 with FMA. */

#define LANES 4
#define REGISTERS 16
#define TARGET __attribute__((target("avx2,fma")))
#define FMA(x, y, z) _mm256_fmadd_pd(x, y, z)
#define SQRT(x) _mm256_sqrt_pd(x)
#define ANY(mask) _mm256_movemask_pd((__m256d)(mask))
#include "kernel_lanes.h"
