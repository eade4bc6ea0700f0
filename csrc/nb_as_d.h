/* Macros of nb_math.h and of the headers stamped out like it, for scalars of double; nb_undefine.h ends them. */
#define NB_SELECT(m, a, b) ((m) ? (a) : (b))
#define NB_ANY(m) (m)
#define NB_SET(c) (c)
#define NB_REAL double
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK int64_t
#define NB_BITS uint64_t
#define NB_R(name) name##_d
#define NB_SQRT sqrt
#ifdef __CUDACC__
#define NB_RSQRT rsqrt
#else
#define NB_RSQRT(x) (1.0 / sqrt(x))
#endif
#define NB_ABS fabs
#define NB_LOOKUP(table, place) ((table)[(int64_t)(place)]) /* place: a whole number, 0 to 2^31 */
