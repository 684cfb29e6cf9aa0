// SPDX-License-Identifier: Apache-2.0
// Top function of the accelerator.
#include "kernel.h"

// Executes descriptors first .. first + count. `status` is 0, or the index of the descriptor that stopped the launch times
// 256 plus a code of sliceflow::Status. Every port moves whole beats; base addresses are multiples of a beat.
extern "C" void sliceflow_kernel(hls::burst_maxi<sliceflow::Beat> program, hls::burst_maxi<sliceflow::Beat> weights,
                                 hls::burst_maxi<sliceflow::Beat> act_in, hls::burst_maxi<sliceflow::Beat> act_add,
                                 hls::burst_maxi<sliceflow::Beat> act_out, uint32_t first, uint32_t count,
                                 uint32_t* status) {
// clang-format off
#pragma HLS interface m_axi port = program offset = slave bundle = gmem_program depth = 4096 max_read_burst_length = 64 num_read_outstanding = 16
#pragma HLS interface m_axi port = weights offset = slave bundle = gmem_weights depth = 4096 max_read_burst_length = 64 num_read_outstanding = 16
#pragma HLS interface m_axi port = act_in offset = slave bundle = gmem_in depth = 4096 max_read_burst_length = 16 num_read_outstanding = 32
#pragma HLS interface m_axi port = act_add offset = slave bundle = gmem_add depth = 4096 max_read_burst_length = 16 num_read_outstanding = 32
#pragma HLS interface m_axi port = act_out offset = slave bundle = gmem_out depth = 4096 max_write_burst_length = 16 num_write_outstanding = 64
// clang-format on
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
    SLICEFLOW_LAYER(index);
    const sliceflow::LayerDescriptor layer = sliceflow::read_descriptor(program, index);
    const uint32_t problem = sliceflow::execute_layer<Config>(layer, program, weights, act_in, act_add, act_out);
    if (problem != sliceflow::STATUS_OK) result = index << 8 | problem;
  }
  *status = result;
}
