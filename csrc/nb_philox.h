/* Random numbers that depend on nothing but what they are for (beyond 13): Philox4x32-10, Salmon, Moraes, Dror, Shaw 2011.
 *
 * A deviate is a function of (seed, image, pixel, stage), so that threads, devices, the order of images and a roi change
 * nothing.  nb_deviates.h, stamped out for scalars and vectors, has the functions; they use +, -, *, / and sqrt alone and
 * must be compiled without contraction of a*b+c (-ffp-contract=off, -fmad=false): then all processors agree to the bit. */
#ifndef NB_PHILOX_H
#define NB_PHILOX_H

#define NB_PHILOX_M0 0xD2511F53u
#define NB_PHILOX_M1 0xCD9E8D57u
#define NB_PHILOX_W0 0x9E3779B9u
#define NB_PHILOX_W1 0xBB67AE85u
#define NB_PHILOX_ROUNDS 10

/* what a deviate is for */
enum nb_stage {
    NB_STAGE_FLICKER = 1,
    NB_STAGE_COUNTING,
    NB_STAGE_CHARGE,
    NB_STAGE_PATTERN, /* fixed from image to image, as are dead, hot and switch points */
    NB_STAGE_READOUT,
    NB_STAGE_DEAD,
    NB_STAGE_HOT,
    NB_STAGE_DEAD_TIME,
    NB_STAGE_SWITCH_POINT,
};

/* All of key and counter but the pixel and the number of the draw. */
typedef struct {
    uint32_t key[2], image, stage;
} nb_draws;

NB_FN nb_draws nb_draws_of(uint64_t seed, uint64_t image, uint32_t stage)
{
    const nb_draws d = {{(uint32_t)seed, (uint32_t)(seed >> 32)},
                        (uint32_t)image,
                        (stage << 24) | (uint32_t)((image >> 32) & 0xffffffu)};
    return d;
}

/* ---- what the stamped functions need of scalars ---- */

NB_FN uint64_t nb_product_d(uint64_t a, uint32_t b)
{
    return (uint64_t)(uint32_t)a * b;
}

NB_FN double nb_gather_d(const double *table, double place, int64_t inside, double other)
{
    return inside ? table[(int)place] : other;
}

#endif
