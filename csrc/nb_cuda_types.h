/* Integers of a CUDA source: NVRTC has no stdint.h.  For the host (NB_HOST): nb_host_shim.h. */
#ifndef NB_CUDA_TYPES_H
#define NB_CUDA_TYPES_H

#ifdef NB_HOST
#include "nb_host_shim.h"
#else
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#endif

#endif
