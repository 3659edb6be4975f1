/* Targets as integers. The NumPy twin is fixed_point_reference.py, which says what the functions return. */
#include "kernel.h"

#include <math.h>
#include <string.h>

#define LARGEST_SCALED 2147483647.0

INLINE int32_t scaled(double value, double scale)
{
    double magnitude = fabs(value) * scale;
    return (int32_t)(magnitude < LARGEST_SCALED ? magnitude : LARGEST_SCALED);
}

typedef struct {
    double top;
    int64_t num_zeros, num_negative, scaled_sum;
} Extent;

/* By the bits of the values, without their sign in the order of their magnitudes, since vectors do not take the
   maximum of doubles. */
INLINE void measure(const double *values, const int32_t *rows, int64_t count, double scale, Extent *e)
{
    uint64_t top = 0, num_zeros = 0, num_negative = 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits;
        double value = values[rows ? rows[i] : i];
        memcpy(&bits, &value, sizeof bits);
        uint64_t magnitude = bits & INT64_MAX;
        top = magnitude > top ? magnitude : top;
        num_zeros += magnitude == 0;
        num_negative += bits >> 63;
        sum += scaled(value, scale);
    }
    memcpy(&e->top, &top, sizeof top);
    e->scaled_sum = sum;
    e->num_zeros = (int64_t)num_zeros;
    e->num_negative = (int64_t)num_negative;
}

EXPORT FOR_WIDE_VECTORS void assay_extent(const double *values, const int32_t *rows, int64_t count, double scale,
                                          Extent *e)
{
    if (rows)
        measure(values, rows, count, scale, e);
    else
        measure(values, NULL, count, scale, e);
}

/* To the nearest, but what is positive stays positive: no row is to vanish. */
INLINE double rounded_weight(double weight)
{
    return weight > 0 && weight < 1 ? 1 : rint(weight);
}

EXPORT int32_t assay_all_whole(const double *values, const int32_t *rows, int64_t count)
{
    int64_t i = 0;
    while (i < count && values[rows ? rows[i] : i] == rint(values[rows ? rows[i] : i]))
        i++;
    return i == count;
}

/* Copies to `kept` the rows whose gradient or hessian is not zero; returns how many. */
EXPORT int64_t assay_not_zero(const double *gradient, const double *hessian, const int32_t *rows, int64_t count,
                              int32_t *kept)
{
    int64_t num_kept = 0;
    for (int64_t i = 0; i < count; i++) {
        kept[num_kept] = rows[i];
        num_kept += (gradient[rows[i]] != 0) | (hessian[rows[i]] != 0);
    }
    return num_kept;
}

typedef struct {
    int64_t gradient_sum, hessian_sum; /* of magnitudes, in units */
    int32_t gradient_is_exact, hessian_is_exact, has_zero_hessian;
} Packing;

INLINE void pack(const double *gradient, const double *hessian, const int32_t *rows, int64_t count,
                 const double scales[2], int32_t *records, Packing *result)
{
    int64_t gradient_sum = 0, hessian_sum = 0, rounded_g = 0, rounded_h = 0, zeros = 0;
    double to_gradient = scales[0], to_hessian = scales[1];
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : i;
        double g = gradient[row] * to_gradient, h = hessian ? hessian[row] * to_hessian : 1;
        double whole_g = rint(g), whole_h = rounded_weight(h);
        rounded_g += whole_g != g;
        rounded_h += whole_h != h;
        zeros += h == 0;
        int32_t units_g = (int32_t)whole_g, units_h = (int32_t)whole_h;
        records[row] = units_g * 65536 + units_h;
        gradient_sum += units_g < 0 ? -units_g : units_g;
        hessian_sum += units_h;
    }
    *result = (Packing){gradient_sum, hessian_sum, rounded_g == 0, rounded_h == 0, zeros != 0};
}

/* Fills records[rows]; hessian NULL stands for ones. */
EXPORT FOR_WIDE_VECTORS void assay_pack(const double *gradient, const double *hessian, const int32_t *rows,
                                        int64_t count, const double scales[2], int32_t *records, Packing *result)
{
    if (rows)
        pack(gradient, hessian, rows, count, scales, records, result);
    else if (hessian)
        pack(gradient, hessian, NULL, count, scales, records, result);
    else
        pack(gradient, NULL, NULL, count, scales, records, result);
}

INLINE void pack_classes(const int32_t *labels, const double *weights, const int32_t *rows, int64_t count, double scale,
                         int32_t *records, Packing *result)
{
    int64_t second_sum = 0, sum = 0, rounded = 0, zeros = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : i;
        double weight = weights ? weights[row] * scale : 1, whole = rounded_weight(weight);
        rounded += whole != weight;
        zeros += weight == 0;
        int32_t units = (int32_t)whole, second = units * labels[row];
        records[row] = second * 65536 + units;
        second_sum += second;
        sum += units;
    }
    *result = (Packing){second_sum, sum, rounded == 0, rounded == 0, zeros != 0};
}

/* Fills records[rows] of two classes: the gradient is the weight of class 1. NULL stands for weights of one. */
EXPORT FOR_WIDE_VECTORS void assay_pack_classes(const int32_t *labels, const double *weights, const int32_t *rows,
                                                int64_t count, double scale, int32_t *records, Packing *result)
{
    if (rows)
        pack_classes(labels, weights, rows, count, scale, records, result);
    else if (weights)
        pack_classes(labels, weights, NULL, count, scale, records, result);
    else
        pack_classes(labels, NULL, NULL, count, scale, records, result);
}

/* Fills units[rows]. */
EXPORT void assay_quantise(const double *values, const int32_t *rows, int64_t count, double scale, int32_t is_weight,
                           int64_t *units)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : i;
        double value = values[row] * scale;
        units[row] = (int64_t)(is_weight ? rounded_weight(value) : rint(value));
    }
}

/* Scaled magnitudes are below 2^26. */
EXPORT FOR_WIDE_VECTORS int64_t assay_scaled_squares(const double *values, int64_t count, double scale)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t unit = (int32_t)(values[i] * scale);
        sum += unit * unit;
    }
    return sum;
}
