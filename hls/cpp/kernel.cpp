// SPDX-License-Identifier: Apache-2.0
// Top function of the accelerator.
#include "kernel.h"

// Executes descriptors first .. first + count. `status` is 0, or the index of the descriptor that stopped the launch times
// 256 plus a code of sliceflow::Status.
extern "C" void sliceflow_kernel(const sliceflow::Beat* program, const sliceflow::Beat* weights,
                                 const sliceflow::Word<sliceflow::Config>* act_in,
                                 const sliceflow::Word<sliceflow::Config>* act_add,
                                 sliceflow::Word<sliceflow::Config>* act_out, uint32_t first, uint32_t count,
                                 uint32_t* status) {
#pragma HLS interface m_axi port = program offset = slave bundle = gmem_program depth = 65536 max_widen_bitwidth = 512
#pragma HLS interface m_axi port = weights offset = slave bundle = gmem_weights depth = 65536 max_widen_bitwidth = 512
#pragma HLS interface m_axi port = act_in offset = slave bundle = gmem_in depth = 262144 max_widen_bitwidth = 512
#pragma HLS interface m_axi port = act_add offset = slave bundle = gmem_add depth = 262144 max_widen_bitwidth = 512
#pragma HLS interface m_axi port = act_out offset = slave bundle = gmem_out depth = 262144 max_widen_bitwidth = 512
#pragma HLS interface s_axilite port = program bundle = control
#pragma HLS interface s_axilite port = weights bundle = control
#pragma HLS interface s_axilite port = act_in bundle = control
#pragma HLS interface s_axilite port = act_add bundle = control
#pragma HLS interface s_axilite port = act_out bundle = control
#pragma HLS interface s_axilite port = first bundle = control
#pragma HLS interface s_axilite port = count bundle = control
#pragma HLS interface s_axilite port = status bundle = control
#pragma HLS interface s_axilite port = return bundle = control
#pragma HLS interface ap_ctrl_hs port = return
  using sliceflow::Config;
  uint32_t result = sliceflow::STATUS_OK;
  for (uint32_t index = first; index < first + count && result == sliceflow::STATUS_OK; ++index) {
#pragma HLS loop_tripcount min = 1 max = 64
    const sliceflow::LayerDescriptor layer = sliceflow::read_descriptor(program, index);
    SLICEFLOW_LAYER(index);
    const uint32_t problem = sliceflow::execute_layer<Config>(layer, program, weights, act_in, act_add, act_out);
    if (problem != sliceflow::STATUS_OK) result = index << 8 | problem;
  }
  *status = result;
}
