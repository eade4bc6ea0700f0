/* Physical constants, read by C, CUDA and (through the extension) Python: the only place they are written. */
#ifndef NB_CONSTANTS_H
#define NB_CONSTANTS_H

#define NB_PI 3.14159265358979323846
/* classical electron radius squared, m^2 (value the reference program uses; CODATA 1986 to its last digits) */
#define NB_R_E_SQR 7.94079248018965e-30
/* photon energy times wavelength, eV angstrom */
#define NB_HC_EV_A 12398.42
/* fluence that makes r_e^2 * fluence = 1, photons/m^2 */
#define NB_DEFAULT_FLUENCE 125932015286227086360700780544.0
/* Avogadro's number, 1/mol (CODATA 2006) */
#define NB_AVOGADRO 6.02214179e23
/* Boltzmann's constant, J/K (exact since 2019) */
#define NB_BOLTZMANN 1.380649e-23
/* water: forward scattering factor (electrons per molecule), molar mass (g/mol), density (g/m^3) */
#define NB_WATER_F 2.57
#define NB_WATER_MOLAR_MASS 18.0
#define NB_WATER_DENSITY 1e6
/* a sphere's lattice factor times this has the integrated intensity of the enclosing block's (canonical 7.1) */
#define NB_SPHERE_SCALE 0.723601254558268
/* Gaussian exponent divisor and top-hat threshold for spots as wide as the block crystal's (canonical 7.1) */
#define NB_GAUSS_WIDTH 0.63
#define NB_TOPHAT_RADIUS_SQR 0.3969

#endif
