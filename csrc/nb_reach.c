#include "nb_reach.h"

#include <math.h>

double nb_table_reach(const double *F, const int32_t F_min[3], const int32_t F_count[3], const double metric[6])
{
    double largest = 0.0;
    for (int32_t i = 0; i < F_count[0]; i++)
        for (int32_t j = 0; j < F_count[1]; j++) {
            const double h = (double)F_min[0] + i, k = (double)F_min[1] + j;
            const double row = h * h * metric[0] + k * k * metric[1] + 2.0 * h * k * metric[3];
            const double slope = 2.0 * (h * metric[4] + k * metric[5]);
            for (int32_t m = 0; m < F_count[2]; m++, F++) {
                const double l = (double)F_min[2] + m, q_sqr = row + l * (slope + l * metric[2]);
                if (*F != 0.0 && q_sqr > largest) largest = q_sqr;
            }
        }
    return sqrt(largest);
}
