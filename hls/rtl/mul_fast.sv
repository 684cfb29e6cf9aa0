// SPDX-License-Identifier: Apache-2.0
// mul_fast: the sums of mul_tree for Verilator: one loop over the terms, then a delay line of the same length. Never synthesized.
module mul_fast #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned TERMS = 72,
    parameter int unsigned PARTIAL = 23,
    parameter int unsigned LATENCY = 5
) (
    input logic clk_i,
    input logic take_block_i,
    input logic [TERMS*CPO*WEIGHT_BITS-1:0] block_i,
    input logic frame_valid_i,
    input logic [TERMS*ACTIVATION_BITS-1:0] frame_i,
    output logic [CPO*PARTIAL-1:0] partial_o
);
  logic signed [WEIGHT_BITS-1:0] weights[CPO][TERMS];
  logic signed [ACTIVATION_BITS-1:0] activations[TERMS];
  logic [CPO*PARTIAL-1:0] delay[LATENCY];
  logic [CPO*PARTIAL-1:0] now;
  int at;

  // verilator lint_off BLKSEQ
  // A ring instead of shifts: the sum written LATENCY clocks ago is read before its place is written again.
  always_ff @(posedge clk_i) begin
    if (frame_valid_i) begin
      for (int k = 0; k < TERMS; ++k) activations[k] = frame_i[k*ACTIVATION_BITS+:ACTIVATION_BITS];
      for (int lane = 0; lane < CPO; ++lane) begin
        int total;
        total = 0;
        for (int k = 0; k < TERMS; ++k) total += int'(weights[lane][k]) * int'(activations[k]);
        now[lane*PARTIAL+:PARTIAL] = PARTIAL'(total);
      end
      delay[at] = now;
    end
    at = at == LATENCY - 1 ? 0 : at + 1;
    partial_o <= delay[at];
    if (take_block_i) begin
      for (int k = 0; k < TERMS; ++k) begin
        for (int lane = 0; lane < CPO; ++lane) weights[lane][k] = block_i[(k*CPO+lane)*WEIGHT_BITS+:WEIGHT_BITS];
      end
    end
  end
  // verilator lint_on BLKSEQ

endmodule
