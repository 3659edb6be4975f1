/* The passes over all rows that every round of boosting makes. The NumPy twin, slopes.py, does the same operations in
   the same order, so both agree to the last bit; none of them is left to a mathematical library. */
#include "turns.h"

#include <string.h>

#define FURTHEST 708.0 /* beyond it exp leaves the normal numbers */

/* exp(x) for |x| <= FURTHEST: x = k ln 2 + r, and a Taylor polynomial of r times 2^k. */
INLINE double exponential(double x)
{
    static const double taylor[] = {1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320,
                                    1.0 / 5040,      1.0 / 720,      1.0 / 120,     1.0 / 24,     1.0 / 6,
                                    1.0 / 2,         1.0,            1.0};
    double shifted = x * 0x1.71547652b82fep+0 + 0x1.8p52; /* k stands in the lowest bits */
    double k = shifted - 0x1.8p52;
    double r = x - k * 0x1.62e42fee00000p-1;
    r = r - k * 0x1.a39ef35793c76p-33;
    double value = taylor[0];
    for (int i = 1; i < 13; i++)
        value = value * r + taylor[i];
    int64_t bits, exponent;
    memcpy(&bits, &value, 8);
    memcpy(&exponent, &shifted, 8);
    bits += (int64_t)((uint64_t)exponent << 52);
    memcpy(&value, &bits, 8);
    return value;
}

INLINE double within(double x)
{
    x = x < -FURTHEST ? -FURTHEST : x;
    return x > FURTHEST ? FURTHEST : x;
}

/* exp(-|m|), from which probability and loss are had without overflow. */
INLINE double decay(double margin)
{
    double x = margin < 0 ? margin : -margin;
    return exponential(x < -FURTHEST ? -FURTHEST : x);
}

/* 1 / (1 + exp(-m)), given the decay of m. */
INLINE double probability(double margin, double decay)
{
    double share = 1.0 / (1.0 + decay);
    return margin < 0 ? decay * share : share;
}

INLINE double sigmoid(double margin)
{
    return probability(margin, decay(margin));
}

/* log(1 + e) for e in [0, 1]: the series of 2 artanh(e / (2 + e)). */
INLINE double log_of_one_plus(double e)
{
    double s = e / (2.0 + e), square = s * s, value = 1.0 / 31;
    for (int i = 29; i > 0; i -= 2)
        value = value * square + 1.0 / i;
    return 2.0 * s * value;
}

FOR_WIDE_VECTORS EXPORT void assay_sigmoid(int64_t n, const double *margins, double *p)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = sigmoid(margins[i]);
}

FOR_WIDE_VECTORS EXPORT void assay_logistic_slopes(int64_t n, const double *y, const double *margins,
                                                   const double *restrict weight, double *restrict gradient,
                                                   double *restrict hessian)
{
    for (int64_t i = 0; i < n; i++) {
        double p = sigmoid(margins[i]);
        gradient[i] = p - y[i];
        hessian[i] = p * (1.0 - p);
    }
    if (weight)
        for (int64_t i = 0; i < n; i++) {
            gradient[i] *= weight[i];
            hessian[i] *= weight[i];
        }
}

FOR_WIDE_VECTORS EXPORT void assay_logistic_losses(int64_t n, const double *y, const double *margins,
                                                   double *restrict losses)
{
    for (int64_t i = 0; i < n; i++) {
        double m = margins[i], above = m > 0 ? m : 0.0;
        losses[i] = log_of_one_plus(decay(m)) + above - y[i] * m;
    }
}

/* log(x) for x >= 1: x = 2^k f. */
INLINE double logarithm(double x)
{
    int64_t bits;
    memcpy(&bits, &x, 8);
    double k = (double)((int32_t)(bits >> 52) - 1023), f;
    bits = (bits & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000;
    memcpy(&f, &bits, 8);
    return k * 0x1.62e42fefa39efp-1 + log_of_one_plus(f - 1.0);
}

enum { FACTORS = 256 }; /* of 1 to 2 in a product */

INLINE double logistic_loss(int64_t n, const double *y, const double *margins, double *restrict gradient,
                            double *restrict hessian, bool with_slopes)
{
    double total[SIDE_BY_SIDE] = {0}, product[SIDE_BY_SIDE], factor[BLOCK], plain[BLOCK];
    for (int64_t first = 0, turn = 0; first < n; first += BLOCK, turn += TURNS) {
        int count = n - first < BLOCK ? (int)(n - first) : BLOCK;
        for (int i = count; i < BLOCK; i++)
            factor[i] = 1.0, plain[i] = 0.0;
        for (int i = 0; i < count; i++) {
            double m = margins[first + i], above = m > 0 ? m : 0.0, e = decay(m);
            factor[i] = 1.0 + e;
            plain[i] = above - y[first + i] * m;
            if (with_slopes) {
                double p = probability(m, e);
                gradient[first + i] = p - y[first + i];
                hessian[first + i] = p * (1.0 - p);
            }
        }
        for (int j = 0; j < SIDE_BY_SIDE && turn % FACTORS == 0; j++)
            product[j] = 1.0;
        for (int i = 0; i < BLOCK; i += SIDE_BY_SIDE)
            for (int j = 0; j < SIDE_BY_SIDE; j++) {
                product[j] *= factor[i + j];
                total[j] += plain[i + j];
            }
        if (turn % FACTORS == FACTORS - TURNS || first + count == n)
            for (int j = 0; j < SIDE_BY_SIDE; j++)
                total[j] += logarithm(product[j]);
    }
    return sum_of(total);
}

/* The sum of the losses of all rows. A logarithm of a product takes less time than the sum of the logarithms. */
FOR_WIDE_VECTORS EXPORT double assay_logistic_loss(int64_t n, const double *y, const double *margins)
{
    return logistic_loss(n, y, margins, NULL, NULL, false);
}

/* The same, with the slopes, which share the exponential. */
FOR_WIDE_VECTORS EXPORT double assay_logistic_loss_and_slopes(int64_t n, const double *y, const double *margins,
                                                              double *restrict gradient, double *restrict hessian)
{
    return logistic_loss(n, y, margins, gradient, hessian, true);
}

INLINE double softmax_slopes(int64_t n, int64_t classes, const double *y, const double *margins,
                             const double *restrict weight, double *restrict gradient, double *restrict hessian,
                             bool with_loss)
{
    double peak[BLOCK], total[BLOCK], loss[BLOCK], sums[SIDE_BY_SIDE] = {0};
    for (int64_t first = 0; first < n; first += BLOCK) {
        int count = n - first < BLOCK ? (int)(n - first) : BLOCK;
        memcpy(peak, margins + first, count * sizeof(double));
        for (int64_t k = 1; k < classes; k++)
            for (int i = 0; i < count; i++) {
                double m = margins[k * n + first + i];
                peak[i] = m > peak[i] ? m : peak[i];
            }
        for (int i = 0; i < count; i++)
            total[i] = 0.0;
        for (int64_t k = 0; k < classes; k++)
            for (int i = 0; i < count; i++) {
                double e = exponential(within(margins[k * n + first + i] - peak[i]));
                gradient[k * n + first + i] = e;
                total[i] += e;
            }
        for (int64_t k = 0; k < classes; k++)
            for (int i = 0; i < count; i++) {
                int64_t at = k * n + first + i;
                double p = gradient[at] / total[i], w = weight ? weight[first + i] : 1.0;
                gradient[at] = (p - (y[first + i] == (double)k ? 1.0 : 0.0)) * w;
                hessian[at] = p * (1.0 - p) * w;
            }
        if (with_loss) {
            for (int i = 0; i < count; i++)
                loss[i] = logarithm(total[i]) + peak[i] - margins[(int64_t)y[first + i] * n + first + i];
            for (int i = count; i < BLOCK; i++)
                loss[i] = 0.0;
            add_block(loss, sums);
        }
    }
    return sum_of(sums);
}

/* Margins, gradient and hessian are [classes][n]. */
FOR_WIDE_VECTORS EXPORT void assay_softmax_slopes(int64_t n, int64_t classes, const double *y, const double *margins,
                                                  const double *restrict weight, double *restrict gradient,
                                                  double *restrict hessian)
{
    softmax_slopes(n, classes, y, margins, weight, gradient, hessian, false);
}

/* The same without weights, and the sum of the losses of all rows. */
FOR_WIDE_VECTORS EXPORT double assay_softmax_loss_and_slopes(int64_t n, int64_t classes, const double *y,
                                                             const double *margins, double *restrict gradient,
                                                             double *restrict hessian)
{
    return softmax_slopes(n, classes, y, margins, NULL, gradient, hessian, true);
}

/* The leaf in which each of some rows ends. A code goes left where goes_left[first[node] + code] says so. */
EXPORT void assay_route(int64_t n, int64_t num_rows, int64_t width, const int64_t *rows, const void *columns,
                        const int32_t *feature, const int32_t *left, const int64_t *first,
                        const uint8_t *goes_left, int32_t *leaf)
{
    for (int64_t i = 0; i < n; i++) {
        int32_t node = 0;
        while (feature[node] >= 0) {
            uint32_t code = code_at(columns, feature[node] * num_rows + rows[i], (int32_t)width);
            node = left[node] + !goes_left[first[node] + code];
        }
        leaf[i] = node;
    }
}

enum { LEAF_TURNS = 4 }; /* sums of a leaf that rows take turns in, lest each addition wait for the one before */

INLINE void leaf_sums(int64_t n, const int32_t *leaf, const double *values, double *sums)
{
    int64_t i = 0;
    for (; i + LEAF_TURNS <= n; i += LEAF_TURNS)
        for (int t = 0; t < LEAF_TURNS; t++)
            sums[LEAF_TURNS * (int64_t)leaf[i + t] + t] += values ? values[i + t] : 1.0;
    for (int t = 0; i < n; i++, t++)
        sums[LEAF_TURNS * (int64_t)leaf[i] + t] += values ? values[i] : 1.0;
}

/* Adds every row's value, or 1 where values is NULL, to one of the sums [LEAF_TURNS] of its leaf. */
EXPORT void assay_leaf_sums(int64_t n, const int32_t *leaf, const double *values, double *sums)
{
    if (values)
        leaf_sums(n, leaf, values, sums);
    else
        leaf_sums(n, leaf, NULL, sums);
}

typedef double Pair __attribute__((vector_size(16), aligned(8)));

/* Adds two values of every row to one of the pairs of sums [LEAF_TURNS][2] of its leaf. */
EXPORT void assay_leaf_pairs(int64_t n, const int32_t *leaf, const double *first, const double *second, double *sums)
{
    int64_t i = 0;
    for (; i + LEAF_TURNS <= n; i += LEAF_TURNS)
        for (int t = 0; t < LEAF_TURNS; t++)
            *(Pair *)(sums + 2 * (LEAF_TURNS * (int64_t)leaf[i + t] + t)) += (Pair){first[i + t], second[i + t]};
    for (int t = 0; i < n; i++, t++)
        *(Pair *)(sums + 2 * (LEAF_TURNS * (int64_t)leaf[i] + t)) += (Pair){first[i], second[i]};
}

/* Moves every row's margin by the value of its leaf. */
EXPORT void assay_step(int64_t n, const int32_t *leaf, const double *value, double *margins)
{
    for (int64_t i = 0; i < n; i++)
        margins[i] += value[leaf[i]];
}
