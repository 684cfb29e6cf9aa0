// SPDX-License-Identifier: Apache-2.0
// requantize: sums become activations, a pixel a clock. It never waits: post admits only pixels that find room behind it.
// Latency 1 + product_latency clocks to the products, ROUND_LATENCY more to the values; 1 to values that are not requantized.
module requantize #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter bit USE_DSP = 1
) (
    input logic clk_i,
    input logic rst_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    // a pixel; the lane parameters count with the first of an output group
    input logic sums_valid_i,
    input logic sums_first_i,
    input logic [CPO*32-1:0] sums_data_i,
    // Shifts have 6 of their 8 bits.
    // verilator lint_off UNUSEDSIGNAL
    input logic [CPO*64-1:0] lanes_data_i,
    // verilator lint_on UNUSEDSIGNAL
    output logic entered_o,  // a pixel came a clock ago
    // ACCUMULATOR add: the whole products, and the shifts of their lanes
    output logic products_valid_o,
    output logic products_first_o,
    output logic [CPO*64-1:0] products_data_o,
    output logic [CPO*6-1:0] main_left_o,
    output logic [CPO*6-1:0] other_left_o,
    output logic [CPO*6-1:0] right_o,
    // otherwise: activations
    output logic values_valid_o,
    output logic [CPO*ACTIVATION_BITS-1:0] values_data_o
);
  localparam int unsigned LATENCY = post_pkg::product_latency(ACTIVATION_BITS);
  localparam int unsigned ROUND = post_pkg::ROUND_LATENCY;

  // Decoded once; the layer stands still from before its first pixel.
  logic whole;
  always_ff @(posedge clk_i) whole <= layer_i.add_mode == descriptor_pkg::ADD_ACCUMULATOR;
  wire rounds = layer_i.requantize[0] && !whole;
  wire multiplies = rounds || whole;

  // The pixel and the parameters of its lanes.
  logic valid, first;
  logic [CPO*32-1:0] sums, multipliers;
  logic [CPO*6-1:0] shifts, main_left, other_left, right;
  assign entered_o = valid;
  always_ff @(posedge clk_i) begin
    valid <= sums_valid_i && !rst_i;
    if (sums_valid_i) begin
      first <= sums_first_i;
      sums <= sums_data_i;
      if (sums_first_i) begin
        for (int lane = 0; lane < CPO; ++lane) begin
          multipliers[lane*32+:32] <= lanes_data_i[lane*64+:32];
          shifts[lane*6+:6] <= lanes_data_i[lane*64+32+:6];
          main_left[lane*6+:6] <= lanes_data_i[lane*64+40+:6];
          other_left[lane*6+:6] <= lanes_data_i[lane*64+48+:6];
          right[lane*6+:6] <= lanes_data_i[lane*64+56+:6];
        end
      end
    end
  end

  // Which stages hold a pixel, and the first of a group.
  logic [LATENCY-1:0] multiplying, starting;
  logic [ROUND-1:0] rounding;
  wire [LATENCY-1:0] multiply_enable = {multiplying[LATENCY-2:0], valid && multiplies};
  wire [LATENCY-1:0] group_enable = {starting[LATENCY-2:0], valid && multiplies && first};
  wire [ROUND-1:0] round_enable = {rounding[ROUND-2:0], multiplying[LATENCY-1] && rounds};
  always_ff @(posedge clk_i) begin
    multiplying <= rst_i ? '0 : multiply_enable;
    starting <= rst_i ? '0 : group_enable;
    rounding <= rst_i ? '0 : round_enable;
  end

  multiply #(
      .LANES(CPO),
      .A_BITS(32),
      .B_BITS(32),
      .USE_DSP(USE_DSP),
      .LATENCY(LATENCY)
  ) u_multiply (
      .clk_i,
      .enable_i(multiply_enable),
      .a_i(multipliers),
      .b_i(sums),
      .product_o(products_data_o)
  );

  logic [CPO*6-1:0] product_shifts;
  group_delay #(
      .WIDTH(4 * CPO * 6),
      .LATENCY(LATENCY)
  ) u_shifts (
      .clk_i,
      .first_i(group_enable),
      .data_i({right, other_left, main_left, shifts}),
      .data_o({right_o, other_left_o, main_left_o, product_shifts})
  );

  logic [CPO*ACTIVATION_BITS-1:0] rounded, low_bits;
  round_shift #(
      .LANES(CPO),
      .BITS(ACTIVATION_BITS)
  ) u_round (
      .clk_i,
      .enable_i(round_enable),
      .value_i(products_data_o),
      .shift_i(product_shifts),
      .zero_i(layer_i.out_zero[ACTIVATION_BITS-1:0]),
      .low_i(layer_i.out_low[ACTIVATION_BITS-1:0]),
      .high_i(layer_i.out_high[ACTIVATION_BITS-1:0]),
      .result_o(rounded)
  );

  for (genvar lane = 0; lane < CPO; ++lane) begin : g_lane
    assign low_bits[lane*ACTIVATION_BITS+:ACTIVATION_BITS] = sums[lane*32+:ACTIVATION_BITS];
  end

  assign products_valid_o = multiplying[LATENCY-1] && whole;
  assign products_first_o = starting[LATENCY-1];
  assign values_valid_o = multiplies ? rounding[ROUND-1] : valid;
  assign values_data_o = multiplies ? rounded : low_bits;

endmodule
