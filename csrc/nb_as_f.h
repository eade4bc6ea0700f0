/* Macros of nb_math.h and of the headers stamped out like it, for scalars of float; nb_undefine.h ends them. */
#define NB_SELECT(m, a, b) ((m) ? (a) : (b))
#define NB_ANY(m) (m)
#define NB_SET(c) (c)
#define NB_REAL float
#define NB_SCALAR float
#define NB_FLOAT 1
#define NB_MASK int32_t
#define NB_BITS uint32_t
#define NB_R(name) name##_f
#define NB_SQRT sqrtf
#ifdef __CUDACC__
#define NB_RSQRT rsqrtf
#define NB_DIVIDE __fdividef
#else
#define NB_RSQRT(x) (1.0f / sqrtf(x))
#endif
#define NB_ABS fabsf
#define NB_LARGER fmaxf
#define NB_SMALLER fminf
#define NB_WHOLE(v) ((int32_t)(v))
#define NB_PICK(table, place) ((table)[place])
