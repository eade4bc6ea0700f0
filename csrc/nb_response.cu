/* The detector's chain on a GPU: a thread is a pixel.
 *
 * Contract: as nb_response.h; the same bits as nb_response.c.  Compiled at run time (NVRTC) with -fmad=false: a*b+c is rounded
 * twice, as on the CPU.  NB_THREADS: threads of a block. */
#include "nb_cuda_types.h"
#include "nb_response.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif

NB_FN void nb_put(void *to, int64_t type, int64_t i, double v)
{
    switch (type) {
    case NB_FLOAT64: ((double *)to)[i] = v; break;
    case NB_FLOAT32: ((float *)to)[i] = (float)v; break;
    case NB_UINT8: ((uint8_t *)to)[i] = (uint8_t)(int32_t)v; break;
    case NB_UINT16: ((uint16_t *)to)[i] = (uint16_t)(int32_t)v; break;
    case NB_UINT32: ((uint32_t *)to)[i] = (uint32_t)(int64_t)v; break;
    case NB_INT16: ((int16_t *)to)[i] = (int16_t)(int32_t)v; break;
    default: ((int32_t *)to)[i] = (int32_t)v; break;
    }
}

/* Arguments: the fields of nb_exposed, with addresses on the device.  Whole numbers are added to the tally: its sums have no
 * order. */
extern "C" __global__ void __launch_bounds__(NB_THREADS)
nb_respond_pixels(const __grid_constant__ nb_response r, int64_t first, int64_t count, const void *from, int64_t from_type,
                  const uint8_t *marks, void *to, int64_t to_type, uint8_t *stage, int64_t parts, nb_tally *tally)
{
    const int64_t i = (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    if (i >= count) return;
    const double value = from_type == NB_FLOAT32 ? (double)((const float *)from)[i] : ((const double *)from)[i];
    uint64_t worst;
    const nb_written_d w = nb_respond_one(&r, (int)parts, value, marks ? marks[i] : 0, (uint64_t)(first + i), &worst);
    nb_put(to, to_type, i, w.pixel);
    if (stage) stage[i] = (uint8_t)(int32_t)w.stage;
    if (w.beyond > 0.0) atomicAdd((unsigned long long *)&tally->overloads, 1ull);
    if (w.beyond < 0.0) atomicAdd((unsigned long long *)&tally->underloads, 1ull);
    if (worst) atomicMax((unsigned long long *)&tally->worst, (unsigned long long)worst);
}

#ifdef NB_HOST
/* Launch by name: see nb_render.cu. */
extern "C" int nb_host_launch(const char *name, const uint32_t *grid, uint32_t threads, void **arguments)
{
    if (!strcmp(name, "nb_respond_pixels")) return nb_host::launch(nb_respond_pixels, grid, threads, arguments);
    return 2;
}
#endif
