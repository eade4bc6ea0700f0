/* Macros of nb_math.h and of the headers stamped out like it, for vectors of double; nb_undefine.h ends them. */
#define NB_SET(c) ((c) - (NB_REAL){0})
#define NB_REAL nb_vd
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK nb_vdmask
#define NB_BITS nb_vdbits
#define NB_R(name) name##_vd
#define NB_SELECT nb_select_vd
#define NB_SQRT nb_sqrt_vd
#define NB_RSQRT nb_rsqrt_vd
#define NB_ABS nb_abs_vd
#define NB_ANY nb_bits_vd
#ifdef NB_REDUCE_VD
#define NB_REDUCE NB_REDUCE_VD
#endif
#define NB_STORE nb_store_vd
#define NB_LOAD nb_load_vd
#define NB_OF_DOUBLES(p) nb_load_vd(p)
#define NB_DOUBLES(v, part) (v)
#define NB_LOOKUP(table, place) nb_gather(table, place, (place) >= 0.0, place)
