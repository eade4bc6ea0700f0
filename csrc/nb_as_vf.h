/* Macros of nb_math.h and of the headers stamped out like it, for vectors of float; nb_undefine.h ends them. */
#define NB_SET(c) ((c) - (NB_REAL){0})
#define NB_REAL nb_vf
#define NB_SCALAR float
#define NB_FLOAT 1
#define NB_MASK nb_vfmask
#define NB_BITS nb_vfbits
#define NB_R(name) name##_vf
#define NB_SELECT nb_select_vf
#define NB_SQRT nb_sqrt_vf
#define NB_RSQRT nb_rsqrt_vf
#define NB_ABS nb_abs_vf
#define NB_LARGER nb_max_vf
#define NB_SMALLER nb_min_vf
#define NB_WHOLE(v) __builtin_convertvector(v, nb_vfmask)
#define NB_PICK nb_gather_vf
#define NB_ANY nb_bits_vf
#ifdef NB_REDUCE_VF
#define NB_REDUCE NB_REDUCE_VF
#endif
#define NB_STORE nb_store_narrow
#define NB_LOAD nb_load_vf
#define NB_OF_DOUBLES(p) nb_join(nb_load_vd(p), nb_load_vd((p) + NB_LANES))
#define NB_DOUBLES(v, part) nb_part(v, part)
