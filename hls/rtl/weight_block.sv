// SPDX-License-Identifier: Apache-2.0
// weight_block: assembles the weights of the next pass from beats, a beat a clock, while the array works with those it took before.
// DEPTHWISE weights go to the diagonals of the taps' matrices and PASS is an identity, so that the array knows one operation only.
module weight_block
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned BLOCK = TAPS * CPI * CPO * WEIGHT_BITS
) (
    input logic clk_i,
    input logic rst_i,
    // `cmd_blocks_i` blocks for one operation
    input logic cmd_valid_i,
    output logic cmd_ready_o,
    input logic [31:0] cmd_op_i,
    input logic [31:0] cmd_blocks_i,
    input logic beat_valid_i,
    output logic beat_ready_o,
    input logic [BEAT_BITS-1:0] beat_i,
    // the block: complete while valid, given up with take
    output logic block_valid_o,
    input logic take_i,
    output logic [BLOCK-1:0] block_o
);
  localparam int unsigned DENSE_BEATS = (BLOCK + BEAT_BITS - 1) / BEAT_BITS;
  localparam int unsigned DEPTHWISE_BITS = TAPS * CPI * WEIGHT_BITS;
  localparam int unsigned DEPTHWISE_BEATS = (DEPTHWISE_BITS + BEAT_BITS - 1) / BEAT_BITS;
  localparam int unsigned PER_BEAT = BEAT_BITS / WEIGHT_BITS;
  localparam int unsigned INDEX_BITS = DENSE_BEATS > 1 ? $clog2(DENSE_BEATS) : 1;

  logic dense, identity, busy;
  logic [31:0] left;
  logic [INDEX_BITS-1:0] index, last;
  logic full;

  assign cmd_ready_o = !busy;
  wire may_fill = busy && (!full || take_i);
  assign beat_ready_o = may_fill && !identity;
  wire fill = may_fill && (identity || beat_valid_i);
  wire complete = fill && (identity || index == last);
  assign block_valid_o = full;

  // verilator lint_off UNUSEDSIGNAL
  logic [DENSE_BEATS*BEAT_BITS-1:0] next;  // the last beat's rest is not used
  // verilator lint_on UNUSEDSIGNAL
  assign block_o = next[BLOCK-1:0];

  // Bit of weight n of a depthwise block in the dense one.
  function automatic int unsigned diagonal(int unsigned n);
    diagonal = (n * CPO + n % CPI) * WEIGHT_BITS;
  endfunction

  always_ff @(posedge clk_i) begin
    if (fill) begin
      if (identity) begin
        next <= '0;
        for (int unsigned n = 0; n < CPI; ++n) next[diagonal(n)] <= 1'b1;
      end else if (dense) begin
        for (int unsigned b = 0; b < DENSE_BEATS; ++b) begin  // an enable for each beat; an index would make a shifter
          if (index == INDEX_BITS'(b)) next[b*BEAT_BITS+:BEAT_BITS] <= beat_i;
        end
      end else begin
        if (index == 0) next <= '0;
        for (int unsigned b = 0; b < DEPTHWISE_BEATS; ++b) begin
          for (int unsigned k = 0; k < PER_BEAT; ++k) begin
            if (b * PER_BEAT + k < TAPS * CPI && index == INDEX_BITS'(b))
              next[diagonal(b*PER_BEAT+k)+:WEIGHT_BITS] <= beat_i[k*WEIGHT_BITS+:WEIGHT_BITS];
          end
        end
      end
      index <= complete ? '0 : index + 1'b1;
    end
    if (take_i) full <= 1'b0;
    if (complete) begin
      full <= 1'b1;
      left <= left - 32'd1;
      if (left == 32'd1) busy <= 1'b0;
    end
    if (cmd_valid_i && cmd_ready_o) begin
      busy <= cmd_blocks_i != 0;
      left <= cmd_blocks_i;
      dense <= is_dense(cmd_op_i);
      identity <= cmd_op_i == descriptor_pkg::OP_PASS;
      last <= is_dense(cmd_op_i) ? INDEX_BITS'(DENSE_BEATS - 1) : INDEX_BITS'(DEPTHWISE_BEATS - 1);
      index <= '0;
    end
    if (rst_i) {busy, full} <= '0;
  end

endmodule
