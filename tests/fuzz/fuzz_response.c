/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: a whole response through our parser and through llhttp. Bit 0 of the first byte
 * says whether HEAD was asked, the second byte in what pieces ours gets it. A crash is: a
 * disagreement that is not known, or a reading that depends on the pieces.
 */
#include "../unit/http1_oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct reading ours, split, theirs;
    bool                  head_request;
    size_t                piece;
    const char           *in;

    if (len < 2 || len - 2 > INPUT_MAX)
        return 0;
    head_request = (data[0] & 1) != 0;
    piece        = 1 + (size_t)data[1];
    in           = (const char *)data + 2;
    len -= 2;

    read_ours(in, len, head_request, len, len, &ours);
    read_llhttp(in, len, head_request, &theirs);
    read_ours(in, len, head_request, piece, (piece & 1) != 0 ? 1 : len, &split);
    if (split.error != ours.error || !readings_agree(&ours, &split)) {
        fprintf(stderr, "the pieces matter\n");
        abort();
    }
    if (!readings_agree(&ours, &theirs)
        && known_difference(in, len, head_request, &ours, &theirs) == NULL) {
        fprintf(stderr, "ours %d %d part %d at %zu of %zu, llhttp %d %d at %zu\n", ours.outcome,
                ours.error, ours.part, ours.used, len, theirs.outcome, theirs.error, theirs.used);
        abort();
    }
    return 0;
}
