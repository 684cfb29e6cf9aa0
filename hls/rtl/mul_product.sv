// SPDX-License-Identifier: Apache-2.0
// mul_product: one registered product; without USE_DSP as a sum of shifted copies, in which synthesis finds no multiplier.
module mul_product #(
    parameter int unsigned A_BITS = 8,
    parameter int unsigned B_BITS = 8,
    parameter int unsigned USE_DSP = 1
) (
    input logic clk_i,
    input logic signed [A_BITS-1:0] a_i,
    input logic signed [B_BITS-1:0] b_i,
    output logic signed [A_BITS+B_BITS-1:0] product_o
);
  if (USE_DSP != 0) begin : g_dsp
    always_ff @(posedge clk_i) product_o <= (A_BITS + B_BITS)'(a_i) * (A_BITS + B_BITS)'(b_i);
  end else begin : g_logic
    logic signed [A_BITS+B_BITS-1:0] wide, total;
    always_comb begin
      wide = (A_BITS + B_BITS)'(a_i);
      total = b_i[B_BITS-1] ? -(wide <<< (B_BITS - 1)) : '0;
      for (int k = 0; k < B_BITS - 1; ++k) total += b_i[k] ? wide <<< k : '0;
    end
    always_ff @(posedge clk_i) product_o <= total;
  end
endmodule
