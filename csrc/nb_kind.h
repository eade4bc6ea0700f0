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

/* erf, highest power first.  Near 0, |x| < 1: erf(x)/x - 1 in x^2.  Far, up to where 1 - erf(x) is below 3e-17 (float: 2e-8):
 * (1 - erf(x)) exp(x^2) in (x - c)/(x + c), its error weighted with exp(-x^2).  Absolute error: 2e-16 (float: 2e-8). */
#if NB_FLOAT
#define NB_ERF_NEAR                                                                                                    \
    {7.875875062685488e-05f, -8.01686428716587e-04f, 5.189087423433974e-03f, -2.685421201062641e-02f,                   \
     1.128359471516022e-01f, -3.7612626666720333e-01f, 1.283791658483509e-01f}
#define NB_ERF_FAR                                                                                                     \
    {-2.4226259980467545e-03f, -8.0766935974192e-02f, 2.4147376646252794e-01f, -4.2718677583578396e-01f,                \
     2.553961352966654e-01f}
#define NB_ERF_CENTRE 2.0
#define NB_ERF_END 4.0
#else
#define NB_ERF_NEAR                                                                                                    \
    {-7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07, 1.6447424703317362e-06,                  \
     -1.492473690741966e-05, 1.2055294904839707e-04, -8.548325975389692e-04, 5.2239776071164225e-03,                   \
     -2.686617064323777e-02, 1.1283791670945006e-01, -3.7612638903183543e-01, 1.283791670955126e-01}
#define NB_ERF_FAR                                                                                                     \
    {-5.082627453014727e-05, -1.3615338966046074e-04, 2.2707960968478715e-04, 8.760730019762495e-04,                   \
     -2.642247453201434e-03, -3.9936808246919375e-03, 3.992253993225695e-02, -1.2503305249933988e-01,                  \
     2.517131932069166e-01, -3.7173673394882595e-01, 2.1080636406116013e-01}
#define NB_ERF_CENTRE 2.5
#define NB_ERF_END 6.0
#endif
