// SPDX-License-Identifier: Apache-2.0
// cvt: no sum is sent for which add has no room (credits), no weights or bias are used before they are there, and passes keep
// their distance, so that a sum is written before it is read.
module cvt_properties
  import kernel_pkg::*;
#(
    parameter int CREDITS = 4,
    parameter int PASS_SPACING = 3
) (
    input logic clk_i,
    input logic rst_i,
    input descriptor_pkg::layer_descriptor_t layer_i,
    input shape_t shape_i,
    input logic row_valid_i,
    input frame_row_t row_i,
    input logic [TAPS*16-1:0] read_data_i,
    input logic block_ready_i,
    input logic bias_ready_i,
    input logic credit_i
);
  logic row_ready, take_block, take_bias, frame_valid;
  frame_flags_t flags;

  starts_reset start (.*);

  cvt #(
      .CPI            (2),
      .ACTIVATION_BITS(8),
      .CREDITS        (CREDITS),
      .PASS_SPACING   (PASS_SPACING)
  ) dut (
      .clk_i,
      .rst_i,
      .layer_i,
      .shape_i,
      .row_valid_i,
      .row_ready_o  (row_ready),
      .row_i,
      .read_data_i,
      .block_ready_i,
      .bias_ready_i,
      .credit_i,
      .take_block_o (take_block),
      .take_bias_o  (take_bias),
      .frame_valid_o(frame_valid),
      .frame_flags_o(flags)
  );

  // Rows are a stream.
  logic waits_q, last_pass_q;
  frame_row_t row_q;
  always_ff @(posedge clk_i) begin
    waits_q <= row_valid_i && !row_ready && !rst_i;
    row_q   <= row_i;
  end
  always_comb assume (!waits_q || (row_valid_i && row_i == row_q));

  // Sums that add holds or that are on their way to it.
  localparam int COUNT = $clog2(CREDITS + 2);
  logic [COUNT-1:0] sums_q;
  logic [PASS_SPACING-2:0] began_q;  // a pass began that many clocks ago
  logic take_block_q, take_bias_q;

  always_ff @(posedge clk_i) begin
    take_block_q <= take_block && !rst_i;
    take_bias_q  <= take_bias && !rst_i;
    if (rst_i) begin
      sums_q  <= '0;
      began_q <= '0;
    end else begin
      sums_q  <= sums_q + COUNT'(frame_valid && flags.last_pass) - COUNT'(credit_i);
      began_q <= {began_q[PASS_SPACING-3:0], take_block};
    end
  end

  always_comb begin
    assume (!credit_i || sums_q != '0);
    if (!rst_i) begin
      credits: assert (32'(sums_q) + 32'(frame_valid && flags.last_pass) <= CREDITS);
      has_block: assert (!take_block || block_ready_i);
      has_bias: assert (!take_bias || bias_ready_i);
      begins: assert ((frame_valid && flags.first_frame) == take_block_q);
      claims: assert ((frame_valid && flags.first_frame && flags.first_pass) == take_bias_q);
      spacing: assert (!take_block || began_q == '0);
    end
  end

endmodule
