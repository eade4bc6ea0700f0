/* Constants of one real type, for the headers that are stamped out like nb_math.h, which see; nb_undefine.h ends them. */

#define NB_MOST 6 /* arguments of an nb_..._each */
#if NB_FLOAT
#define NB_K(c) ((float)(c))
#else
#define NB_K(c) ((double)(c))
#endif
#ifndef NB_DIVIDE /* a faster division where there is one, within 2 ulp */
#define NB_DIVIDE(a, b) ((a) / (b))
#endif

/* sin(pi x)/x for |x| <= 1/2 as a polynomial in x^2, highest power first.  Relative error: 1.5e-16 (float: 5.4e-9). */
#if NB_FLOAT
#define NB_SINC                                                                                                        \
    {0.07756038772650278f, -0.5982421268412718f, 2.5500697264114103f, -5.167709684803433f, 3.141592636895439f}
#else
#define NB_SINC                                                                                                        \
    {-2.1122952964745312695e-05, 4.6597761701861739525e-04, -7.3703610716849553144e-03, 8.2145878256553402807e-02,     \
     -5.9926452877570980953e-01, 2.5501640398597762665, -5.1677127800497525669, 3.1415926535897927919}
#endif
