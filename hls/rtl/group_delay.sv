// SPDX-License-Identifier: Apache-2.0
// group_delay: constants of an output group, LATENCY clocks later. Stage s loads with the first pixel of a group, so that the
// constants stand beside the pixels of their group all the way.
module group_delay #(
    parameter int unsigned WIDTH = 8,
    parameter int unsigned LATENCY = 1
) (
    input logic clk_i,
    input logic [LATENCY-1:0] first_i,
    input logic [WIDTH-1:0] data_i,
    output logic [WIDTH-1:0] data_o
);
  logic [WIDTH-1:0] stage[LATENCY];
  assign data_o = stage[LATENCY-1];

  always_ff @(posedge clk_i) begin
    if (first_i[0]) stage[0] <= data_i;
    for (int s = 1; s < LATENCY; ++s) begin
      if (first_i[s]) stage[s] <= stage[s-1];
    end
  end

endmodule
