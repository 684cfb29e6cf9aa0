// SPDX-License-Identifier: Apache-2.0
// layer_check: what the kernel refuses before it begins a layer, as hls/cpp/check.h does. Combinational.
module layer_check
  import kernel_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024
) (
    // verilator lint_off UNUSEDSIGNAL
    input layer_descriptor_t layer_i,  // not all of its fields limit anything
    // verilator lint_on UNUSEDSIGNAL
    output logic [7:0] status_o
);
  // verilator lint_off UNUSEDSIGNAL
  function automatic logic residues_collide(logic [31:0] taps, logic [31:0] dilation);
    residues_collide = taps > 32'd1 && 16'(dilation[15:0] % 16'd3) == 16'd0;
  endfunction
  function automatic logic exceeds(logic [31:0] side);
    exceeds = side[31:16] != 16'd0;
  endfunction
  // verilator lint_on UNUSEDSIGNAL

  logic windowed, modes, window, counts, pool, sides, fits;
  always_comb begin
    windowed = layer_i.pool_mode == POOL_MAX || layer_i.pool_mode == POOL_AVERAGE;
    modes = layer_i.op <= OP_PASS && layer_i.table_mode <= TABLE_AFTER_ADD && layer_i.add_mode <= ADD_ACCUMULATOR &&
        layer_i.pool_mode <= POOL_GLOBAL_AVERAGE && (ACTIVATION_BITS == 8 || layer_i.table_mode == TABLE_OFF);
    window = layer_i.taps_y - 32'd1 <= 32'd2 && layer_i.taps_x - 32'd1 <= 32'd2 && layer_i.windows_y != 0 &&
        layer_i.windows_x != 0 && layer_i.stride_y != 0 && layer_i.stride_x != 0 && layer_i.weight_planes != 0 &&
        !residues_collide(layer_i.taps_y, layer_i.dilation_y) && !residues_collide(layer_i.taps_x, layer_i.dilation_x);
    counts = layer_i.strip_rows != 0 && layer_i.in_slices != 0 && layer_i.upsample_y != 0 && layer_i.upsample_x != 0;
    pool = !windowed || (layer_i.pool_stride_y != 0 && layer_i.pool_stride_x != 0 && layer_i.pool_window_y != 0 &&
                         layer_i.pool_window_x != 0 && layer_i.pool_pad_top < layer_i.pool_window_y &&
                         layer_i.pool_pad_left < layer_i.pool_window_x);
    sides = !exceeds(layer_i.in_height | layer_i.in_width | layer_i.conv_height | layer_i.conv_width | layer_i.pool_height |
                   layer_i.pool_width | layer_i.in_slices | layer_i.out_slices | layer_i.strip_rows | layer_i.pad_top |
                   layer_i.pad_left | layer_i.windows_y | layer_i.windows_x | layer_i.window_step_y |
                   layer_i.window_step_x | layer_i.stride_y | layer_i.stride_x | layer_i.dilation_y |
                   layer_i.dilation_x | layer_i.upsample_y | layer_i.upsample_x) && layer_i.weight_planes <= 32'd3;
    fits = !windowed || (layer_i.pool_window_y <= POOL_WINDOW && layer_i.pool_window_x <= POOL_WINDOW &&
                         layer_i.conv_width <= POOL_WIDTH);
    if (layer_i.version != DESCRIPTOR_VERSION) status_o = STATUS_VERSION;
    else if (!(modes && window && counts && pool)) status_o = STATUS_UNKNOWN;
    else if (!(sides && fits)) status_o = STATUS_TOO_BIG;
    else status_o = STATUS_OK;
  end

endmodule
