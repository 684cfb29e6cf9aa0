// SPDX-License-Identifier: Apache-2.0
// mul_pair: mul as Verilator simulates it (mul_fast) beside mul as synthesis sees it (mul_tree), on the same inputs.
module mul_pair
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned PACK = 1,
    parameter int unsigned LUT_TAPS = 0,
    parameter int unsigned TERMS = TAPS * CPI,
    parameter int unsigned PARTIAL = ACTIVATION_BITS + WEIGHT_BITS + $clog2(TERMS)
) (
    input logic clk_i,
    input logic rst_i,
    input logic take_block_i,
    input logic [TERMS*CPO*WEIGHT_BITS-1:0] block_i,
    input logic frame_valid_i,
    input logic [$bits(frame_flags_t)-1:0] frame_flags_i,
    input logic [TERMS*ACTIVATION_BITS-1:0] frame_i,
    output logic early_valid_o,
    output logic [$bits(frame_flags_t)-1:0] early_flags_o,
    output logic partial_valid_o,
    output logic [$bits(frame_flags_t)-1:0] partial_flags_o,
    output logic [CPO*PARTIAL-1:0] partial_o,
    output logic [CPO*PARTIAL-1:0] tree_partial_o
);
  mul #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .PACK(PACK), .LUT_TAPS(LUT_TAPS)
  ) i_mul (
      .clk_i, .rst_i, .take_block_i, .block_i, .frame_valid_i, .frame_flags_i, .frame_i, .early_valid_o, .early_flags_o,
      .partial_valid_o, .partial_flags_o, .partial_o
  );
  mul_tree #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .PACK(PACK), .LUT_TAPS(LUT_TAPS),
      .TERMS(TERMS), .PARTIAL(PARTIAL)
  ) i_tree (
      .clk_i, .take_block_i, .block_i, .frame_i, .partial_o(tree_partial_o)
  );
endmodule
