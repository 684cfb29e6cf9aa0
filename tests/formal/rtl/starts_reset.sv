// SPDX-License-Identifier: Apache-2.0
// The first clock is one of reset; later ones may be. Registers start with any value.
module starts_reset (
    input logic clk_i,
    input logic rst_i
);
  logic begun_q = 1'b0;

  always_ff @(posedge clk_i) begun_q <= 1'b1;

  always_comb assume (begun_q || rst_i);

endmodule
