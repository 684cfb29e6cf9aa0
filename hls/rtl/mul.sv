// SPDX-License-Identifier: Apache-2.0
// mul: the multiplier array, 9 x CPI x CPO products and their sums for each output lane, a frame a clock, LATENCY clocks.
// With PACK two products that share an activation come from one 27x18 multiplier: (w1 * 2^18 + w0) * a. Four such products are added
// before they are taken apart, which leaves their lower halves in 18 bits; what the lower half borrows is given back to the upper.
module mul
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned PACK = 1,
    parameter int unsigned LUT_TAPS = 0,
    parameter int unsigned TERMS = TAPS * CPI,
    parameter int unsigned PARTIAL = ACTIVATION_BITS + WEIGHT_BITS + $clog2(TERMS),
    parameter int unsigned BLOCK = TERMS * CPO * WEIGHT_BITS
) (
    input logic clk_i,
    input logic rst_i,
    input logic take_block_i,
    input logic [BLOCK-1:0] block_i,
    input logic frame_valid_i,
    input frame_flags_t frame_flags_i,
    input logic [TERMS*ACTIVATION_BITS-1:0] frame_i,
    output logic early_valid_o,  // a clock before the partial sums
    output frame_flags_t early_flags_o,
    output logic partial_valid_o,
    output frame_flags_t partial_flags_o,
    output logic [CPO*PARTIAL-1:0] partial_o
);
  // Clocks: a product, the sum of four, then a level for each further factor of four.
  function automatic int unsigned levels(int unsigned terms);
    levels = 0;
    while (terms > 1) begin
      terms = (terms + 3) / 4;
      levels = levels + 1;
    end
  endfunction
  localparam int unsigned LATENCY = 1 + levels(TERMS);

  if (PACK > 1 || (PACK == 1 && (ACTIVATION_BITS > 8 || WEIGHT_BITS > 8))) begin : g_check_pack
    $error("PACK must be 0, or 1 with activations and weights of at most 8 bits, not %0d", PACK);
  end
  if (LUT_TAPS > TAPS) begin : g_check_taps
    $error("LUT_TAPS must lie in 0..9, not %0d", LUT_TAPS);
  end

  // Flags travel beside the sums.
  frame_flags_t flags[LATENCY];
  logic [LATENCY-1:0] valid;
  always_ff @(posedge clk_i) begin
    flags[0] <= frame_flags_i;
    for (int k = 1; k < LATENCY; ++k) flags[k] <= flags[k-1];
    valid <= rst_i ? '0 : LATENCY'({valid, frame_valid_i});
  end
  assign partial_valid_o = valid[LATENCY-1];
  assign partial_flags_o = flags[LATENCY-1];
  assign early_valid_o = valid[LATENCY-2];
  assign early_flags_o = flags[LATENCY-2];

`ifdef VERILATOR
  // The same sums after the same clocks, in a form that compiles to vector code.
  mul_fast #(
      .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .TERMS(TERMS), .PARTIAL(PARTIAL),
      .LATENCY(LATENCY)
  ) i_sums (
      .clk_i, .take_block_i, .block_i, .frame_valid_i, .frame_i, .partial_o
  );
`else
  mul_tree #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS), .PACK(PACK), .LUT_TAPS(LUT_TAPS),
      .TERMS(TERMS), .PARTIAL(PARTIAL)
  ) i_sums (
      .clk_i, .take_block_i, .block_i, .frame_i, .partial_o
  );
`endif

endmodule
