// SPDX-License-Identifier: Apache-2.0
// The kernel's interface: one launch executes descriptors first .. first + count of the program.
#pragma once

#include "config.h"
#include "layer.h"

extern "C" void sliceflow_kernel(hls::burst_maxi<sliceflow::Beat> program, hls::burst_maxi<sliceflow::Beat> weights,
                                 hls::burst_maxi<sliceflow::Beat> act_in, hls::burst_maxi<sliceflow::Beat> act_add,
                                 hls::burst_maxi<sliceflow::Beat> act_out, uint32_t first, uint32_t count,
                                 uint32_t* status);
