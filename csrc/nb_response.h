/* From expected photons to the numbers that a detector writes (beyond 14): one chain for the CPU and the GPU.
 *
 * The chain has three parts; what mixes pixels, point spread and charge sharing, comes between them:
 *   NB_EXPECT  14.2 steps 1 to 3: scale, flicker, calibration as loss; from photons to expected photons
 *   NB_COUNT   steps 5 and 6, or 14.4 steps 5 to 7: photons that were counted, with the charge's statistics
 *   NB_READ    steps 8 to 12, or 14.5: digital numbers
 * nb_chain.h has the formulas that CPU vectors share, nb_counting.h those for one pixel at a time. */
#ifndef NB_RESPONSE_H
#define NB_RESPONSE_H

#include "nb_physics.h"
#include "nb_philox.h"

enum nb_part_of_chain { NB_EXPECT = 1, NB_COUNT = 2, NB_READ = 4 };

enum nb_counting {
    NB_INTEGRATING,
    NB_COUNTER,     /* a counter without dead time */
    NB_RETRIGGER,   /* not paralysable */
    NB_PARALYSABLE,
    NB_PULSED,      /* at most one count a pulse */
};

enum nb_pixel_type { NB_FLOAT64, NB_FLOAT32, NB_UINT8, NB_UINT16, NB_UINT32, NB_INT16, NB_INT32 };

/* marks of a pixel */
enum nb_mark {
    NB_MARK_GAP = 1,    /* no sensor: no photons */
    NB_MARK_HIDDEN = 2, /* as any other, but not reported */
    NB_MARK_DEAD = 4,
};

enum { NB_MOST_STAGES = 3 };

/* A detector as the chain reads it. */
typedef struct {
    uint64_t seed, image, calib_seed, dead_seed, hot_seed;
    double scale, flicker;      /* the second: this image's factor */
    double loss, spread;        /* rms of the pattern, before counting and after; 0: none */
    int64_t counting;           /* enum nb_counting */
    int64_t frames, corrected;  /* of counters: summed; whether the loss of the dead time is corrected */
    double dead_time, windows;  /* as a fraction of a frame's exposure, and its reciprocal */
    double pulses;              /* in a frame */
    double charge;              /* variance of a photon's charge, over its square */
    double gain, offset, readout;
    double dead_fraction, hot_fraction, hot_adu;
    int64_t flag_dead;
    double mask_value, gap_value;
    int64_t digitise, wrap;     /* whether there are bits; whether they roll over */
    double low, high, top;      /* numbers that the bits hold; saturation */
    double most;                /* of a sum of frames */
    int64_t stages, raw;        /* 0: one gain */
    double energy;              /* of a photon, keV */
    double stage_gain[NB_MOST_STAGES], pedestal[NB_MOST_STAGES], stage_readout[NB_MOST_STAGES];
    double switch_at[NB_MOST_STAGES], switch_spread[NB_MOST_STAGES];
} nb_response;

/* Some pixels of one panel, in raster order. */
typedef struct {
    int64_t first;        /* number of the first, over all panels */
    int64_t count;
    const void *from;     /* double or float */
    const uint8_t *marks; /* enum nb_mark; NULL: none */
    void *to;
    uint8_t *stage;       /* of the gain; NULL where there is one */
    int64_t from_type, to_type;
    int64_t parts;        /* of the chain, successive ones */
} nb_exposed;

/* What the chain notices. */
typedef struct {
    int64_t overloads, underloads;
    uint64_t worst; /* bits of the largest |m| of all m < 0 and NaN and infinite ones; 0: there are none */
} nb_tally;

#include "nb_as_d.h"
#include "nb_deviates.h"
#include "nb_chain.h"
#include "nb_undefine.h"

#include "nb_counting.h"

#ifndef __CUDACC__
/* Takes the pixels through parts of the chain and adds to the tally.  Returns enum nb_status (nb_render.h). */
int nb_respond(const nb_response *r, const nb_exposed *e, nb_tally *tally, int32_t threads, const int32_t *cancel, int isa);
#endif

#endif
