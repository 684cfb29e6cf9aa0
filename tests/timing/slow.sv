// SPDX-License-Identifier: Apache-2.0
// Two modules of one function: a remainder in one clock, and the same sum of base-4 digits over two.
module slow_remainder (
    input logic clk_i,
    input logic [15:0] value_i,
    output logic [1:0] rest_o
);
  logic [15:0] value_q;
  always_ff @(posedge clk_i) begin
    value_q <= value_i;
    rest_o <= 2'(value_q % 16'd3);
  end
endmodule

module quick_sum (
    input logic clk_i,
    input logic [15:0] value_i,
    output logic [4:0] rest_o
);
  logic [15:0] value_q;
  logic [3:0] low, high;
  always_ff @(posedge clk_i) begin
    value_q <= value_i;
    low <= 4'(value_q[1:0]) + 4'(value_q[3:2]) + 4'(value_q[5:4]);
    high <= 4'(value_q[7:6]) + 4'(value_q[9:8]) + 4'(value_q[11:10]);
    rest_o <= 5'(low) + 5'(high);
  end
endmodule

// A product with registers that a multiplier block has, and without.
module products (
    input logic clk_i,
    input logic signed [15:0] a_i,
    input logic signed [15:0] b_i,
    output logic signed [31:0] registered_o,
    output logic signed [31:0] bare_o
);
  logic signed [15:0] a_q, b_q, c_q;
  logic signed [31:0] m_q;
  always_ff @(posedge clk_i) begin
    a_q <= a_i;
    b_q <= b_i;
    m_q <= a_q * b_q;
    registered_o <= m_q;
    c_q <= a_i;
    bare_o <= (b_i ^ 16'sh5a5a) * c_q ^ 32'(a_i);
  end
endmodule
