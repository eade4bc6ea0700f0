/* Ends one stamping of nb_math.h, nb_lattice.h and nb_sample.h. */
#undef NB_REAL
#undef NB_SCALAR
#undef NB_FLOAT
#undef NB_MASK
#undef NB_BITS
#undef NB_R
#undef NB_SQRT
#undef NB_RSQRT
#undef NB_ABS
#undef NB_REDUCE
#undef NB_K
#undef NB_DIVIDE
#undef NB_MOST
