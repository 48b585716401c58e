/* Eight lanes: AVX-512 F, DQ and VL. */

#define LANES 8
#define REGISTERS 32
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx2,fma")))
#define FMA(x, y, z) _mm512_fmadd_pd(x, y, z)
#define SQRT(x) _mm512_sqrt_pd(x)
#define ANY(mask) _mm512_movepi64_mask((__m512i)(mask))
#include "kernel_lanes.h"
