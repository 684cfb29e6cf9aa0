// SPDX-License-Identifier: Apache-2.0
// The kernel's interface: one launch executes descriptors first .. first + count of the program.
#pragma once

#include "config.h"
#include "layer.h"

extern "C" void sliceflow_kernel(const sliceflow::Beat* program, const sliceflow::Beat* weights,
                                 const sliceflow::Word<sliceflow::Config>* act_in,
                                 const sliceflow::Word<sliceflow::Config>* act_add,
                                 sliceflow::Word<sliceflow::Config>* act_out, uint32_t first, uint32_t count,
                                 uint32_t* status);
