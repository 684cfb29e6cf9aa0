// SPDX-License-Identifier: Apache-2.0
// upsample: nearest-neighbour enlargement; every pixel is sent once for each place where it is written. Combinational; a
// copy a clock. The repeats hold still while pixels come.
module upsample #(
    parameter int WIDTH = 64
) (
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic [     15:0] repeat_y_i,
    input  logic [     15:0] repeat_x_i,
    input  logic             pixel_valid_i,
    output logic             pixel_ready_o,
    input  logic [WIDTH-1:0] pixel_data_i,
    output logic             copy_valid_o,
    input  logic             copy_ready_i,
    output logic [WIDTH-1:0] copy_data_o
);

  logic [15:0] y_q, x_q;
  logic sent, x_end, y_end;

  assign x_end         = x_q == repeat_x_i - 16'd1;
  assign y_end         = y_q == repeat_y_i - 16'd1;
  assign copy_valid_o  = pixel_valid_i;
  assign copy_data_o   = pixel_data_i;
  assign pixel_ready_o = copy_ready_i && x_end && y_end;
  assign sent          = copy_valid_o && copy_ready_i;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      x_q <= '0;
      y_q <= '0;
    end else if (sent) begin
      x_q <= x_end ? '0 : x_q + 16'd1;
      if (x_end) y_q <= y_end ? '0 : y_q + 16'd1;
    end
  end

endmodule
