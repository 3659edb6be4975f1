/* The codes row by row: `Records` of growing.py. */
#include "kernel.h"

enum { BLOCK_ROWS = 256 };

INLINE void bundle_block(const Problem *p, int64_t begin, int64_t count, void *records, int32_t width)
{
    for (int32_t b = 0; b < p->num_bundles; b++)
        for (int32_t i = p->bundle_begin[b]; i < p->bundle_begin[b + 1]; i++) {
            int32_t feature = p->members[i], factor = p->factors[feature];
            bool first = i == p->bundle_begin[b];
            for (int64_t row = begin; row < begin + count; row++) {
                uint32_t code = code_at(p->columns, feature * p->num_rows + row, width) * (uint32_t)factor;
                int64_t place = row * p->stride + b;
                if (width == 1)
                    ((uint8_t *)records)[place] = (uint8_t)(code + (first ? 0 : ((uint8_t *)records)[place]));
                else if (width == 2)
                    ((uint16_t *)records)[place] = (uint16_t)code;
                else
                    ((uint32_t *)records)[place] = code;
            }
        }
}

/* Fills records[num_rows][stride] from the columns of a problem; only bytes are bundled. */
EXPORT void assay_bundle(const Problem *p, void *records)
{
    for (int64_t begin = 0; begin < p->num_rows; begin += BLOCK_ROWS) {
        int64_t count = p->num_rows - begin < BLOCK_ROWS ? p->num_rows - begin : BLOCK_ROWS;
        if (p->width == 1)
            bundle_block(p, begin, count, records, 1);
        else if (p->width == 2)
            bundle_block(p, begin, count, records, 2);
        else
            bundle_block(p, begin, count, records, 4);
    }
}
