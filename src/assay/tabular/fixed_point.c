/* Targets as integers. The NumPy twin is fixed_point_reference.py, which says what the functions return. */
#include "kernel.h"

#include <math.h>

enum { LANES = 8 }; /* loops run side by side, for the sake of vectors */

typedef struct {
    double top, least;
    int64_t num_zeros, bound;
    int32_t all_whole;
} Extent;

typedef struct {
    double top[LANES], least[LANES], not_finite[LANES], zeros[LANES];
} Measure;

INLINE void see(Measure *m, int lane, double value)
{
    double size = fabs(value);
    m->top[lane] = size > m->top[lane] ? size : m->top[lane];
    m->least[lane] = value < m->least[lane] ? value : m->least[lane];
    m->not_finite[lane] += value - value; /* 0, or NaN */
    m->zeros[lane] += value == 0 ? 1.0 : 0.0;
}

INLINE void measure(const double *values, const int32_t *rows, int64_t count, Extent *e)
{
    Measure m = {0};
    for (int j = 0; j < LANES; j++)
        m.least[j] = INFINITY;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++)
            see(&m, j, values[rows ? rows[i + j] : i + j]);
    for (; i < count; i++)
        see(&m, 0, values[rows ? rows[i] : i]);
    *e = (Extent){.least = INFINITY};
    double not_finite = 0;
    for (int j = 0; j < LANES; j++) {
        e->top = m.top[j] > e->top ? m.top[j] : e->top;
        e->least = m.least[j] < e->least ? m.least[j] : e->least;
        e->num_zeros += (int64_t)m.zeros[j];
        not_finite += m.not_finite[j];
    }
    if (not_finite != 0)
        e->top = NAN;
}

INLINE void bound_sum(const double *values, const int32_t *rows, int64_t count, double scale, Extent *e)
{
    int64_t bound = count, fractions = 0;
    for (int64_t i = 0; i < count; i++) {
        double value = values[rows ? rows[i] : i];
        bound += (int32_t)(fabs(value) * scale);
        fractions += rint(value) != value;
    }
    e->bound = bound;
    e->all_whole = fractions == 0;
}

EXPORT FOR_WIDE_VECTORS void assay_extent(const double *values, const int32_t *rows, int64_t count, Extent *e)
{
    if (rows)
        measure(values, rows, count, e);
    else
        measure(values, NULL, count, e);
    if (!(e->top > 0))
        return;
    int high;
    frexp(e->top, &high);
    double scale = ldexp(1, 31 - (high > -900 ? high : -900));
    if (rows)
        bound_sum(values, rows, count, scale, e);
    else
        bound_sum(values, NULL, count, scale, e);
}

typedef struct {
    int64_t gradient_sum, hessian_sum; /* of magnitudes, in units */
    int32_t is_exact, has_hidden_rows;
} Packing;

INLINE void pack(const double *gradient, const double *hessian, const int32_t *rows, int64_t count,
                 const double scales[2], int32_t *records, Packing *result)
{
    int64_t gradient_sum = 0, hessian_sum = 0, inexact = 0, hidden = 0;
    double to_gradient = scales[0], to_hessian = scales[1];
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : i;
        double g = gradient[row] * to_gradient, h = hessian ? hessian[row] * to_hessian : 1;
        double whole_g = rint(g), whole_h = rint(h);
        inexact += whole_g != g;
        inexact += whole_h != h;
        hidden += whole_h == 0;
        int32_t units_g = (int32_t)whole_g, units_h = (int32_t)whole_h;
        records[row] = units_g * 65536 + units_h;
        gradient_sum += units_g < 0 ? -units_g : units_g;
        hessian_sum += units_h;
    }
    *result = (Packing){gradient_sum, hessian_sum, inexact == 0, hidden != 0};
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

/* Fills units[rows]. */
EXPORT void assay_quantise(const double *values, const int32_t *rows, int64_t count, double scale, int64_t *units)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t row = rows ? rows[i] : i;
        units[row] = (int64_t)rint(values[row] * scale);
    }
}
