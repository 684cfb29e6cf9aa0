// SPDX-License-Identifier: Apache-2.0
// eltwise: the residual add. Both operands are whole products at one scale; the sum is rounded once. A pixel a clock, never waiting.
// Main operand: an activation (REQUANTIZED), or requantize's product (ACCUMULATOR), which the addend's product meets just in time.
module eltwise #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter bit USE_DSP = 1,
    parameter int unsigned PIXELS = 32  // most pixels between requantize's entry and here, a power of two
) (
    input logic clk_i,
    input logic rst_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    // the addend comes when its pixel enters requantize
    input logic addend_valid_i,
    input logic [CPO*ACTIVATION_BITS-1:0] addend_data_i,
    input logic entered_i,  // a pixel entered requantize a clock ago
    // main operand
    input logic values_valid_i,
    input logic [CPO*ACTIVATION_BITS-1:0] values_data_i,
    input logic products_valid_i,
    input logic products_first_i,
    input logic [CPO*64-1:0] products_data_i,
    input logic [CPO*6-1:0] main_left_i,
    input logic [CPO*6-1:0] other_left_i,
    input logic [CPO*6-1:0] right_i,
    output logic sums_valid_o,
    output logic [CPO*ACTIVATION_BITS-1:0] sums_data_o
);
  localparam int unsigned CENTRED = ACTIVATION_BITS + 1;  // an activation minus a zero point
  localparam int unsigned PRODUCT = 32 + CENTRED;
  localparam int unsigned LATENCY = post_pkg::multiply_latency(CENTRED);
  localparam int unsigned ALIGN = 3;  // coarse shift, fine shift, sum
  localparam int unsigned ROUND = post_pkg::ROUND_LATENCY;

  // Decoded once; the layer stands still from before its first pixel.
  logic whole, requantized;
  always_ff @(posedge clk_i) begin
    whole <= layer_i.add_mode == descriptor_pkg::ADD_ACCUMULATOR;
    requantized <= layer_i.add_mode == descriptor_pkg::ADD_REQUANTIZED;
  end

  // The addend waits for its pixel.
  wire start = whole ? entered_i : requantized && values_valid_i;
  logic [CPO*ACTIVATION_BITS-1:0] addend;
  fifo #(
      .WIDTH(CPO * ACTIVATION_BITS),
      .DEPTH(PIXELS)
  ) u_addends (
      .clk_i,
      .rst_i,
      .valid_i(addend_valid_i),
      // Post admits no more pixels than fit, and each with its addend.
      // verilator lint_off PINCONNECTEMPTY
      .ready_o(),
      .valid_o(),
      // verilator lint_on PINCONNECTEMPTY
      .data_i(addend_data_i),
      .ready_i(start),
      .data_o(addend)
  );

  logic centred_valid;
  logic [LATENCY-1:0] multiplying;
  logic [ALIGN-1:0] aligning;
  logic [ALIGN-2:0] aligning_first;
  logic [ROUND-1:0] rounding;
  wire [LATENCY-1:0] multiply_enable = {multiplying[LATENCY-2:0], centred_valid};
  wire [ALIGN-1:0] align_enable = {aligning[ALIGN-2:0], multiplying[LATENCY-1]};
  wire [ALIGN-1:0] group_enable = {aligning_first, products_valid_i && products_first_i};
  wire [ROUND-1:0] round_enable = {rounding[ROUND-2:0], aligning[ALIGN-1]};
  always_ff @(posedge clk_i) begin
    centred_valid <= !rst_i && start;
    multiplying <= rst_i ? '0 : multiply_enable;
    aligning <= rst_i ? '0 : align_enable;
    aligning_first <= rst_i ? '0 : group_enable[ALIGN-2:0];
    rounding <= rst_i ? '0 : round_enable;
  end
  assign sums_valid_o = rounding[ROUND-1];

  logic [CPO*CENTRED-1:0] main_centred, other_centred;
  function automatic logic signed [CENTRED-1:0] centre(logic signed [ACTIVATION_BITS-1:0] value,
                                                       logic signed [ACTIVATION_BITS-1:0] zero);
    centre = CENTRED'(value) - CENTRED'(zero);
  endfunction
  always_ff @(posedge clk_i) begin
    if (start) begin
      for (int lane = 0; lane < CPO; ++lane) begin
        main_centred[lane*CENTRED+:CENTRED] <= centre(values_data_i[lane*ACTIVATION_BITS+:ACTIVATION_BITS],
                                                      layer_i.add_main_zero[ACTIVATION_BITS-1:0]);
        other_centred[lane*CENTRED+:CENTRED] <= centre(addend[lane*ACTIVATION_BITS+:ACTIVATION_BITS],
                                                       layer_i.add_other_zero[ACTIVATION_BITS-1:0]);
      end
    end
  end

  logic [CPO*PRODUCT-1:0] main_product, other_product;
  multiply #(
      .LANES(CPO),
      .A_BITS(32),
      .B_BITS(CENTRED),
      .SHARED_A(1),
      .USE_DSP(USE_DSP)
  ) u_main (
      .clk_i,
      .enable_i(whole ? '0 : multiply_enable),
      .a_i(layer_i.add_main_multiplier),
      .b_i(main_centred),
      .product_o(main_product)
  );
  multiply #(
      .LANES(CPO),
      .A_BITS(32),
      .B_BITS(CENTRED),
      .SHARED_A(1),
      .USE_DSP(USE_DSP)
  ) u_other (
      .clk_i,
      .enable_i(multiply_enable),
      .a_i(layer_i.add_other_multiplier),
      .b_i(other_centred),
      .product_o(other_product)
  );

  // Both products at one scale, and their sum.
  logic signed [63:0] main[2][CPO], other[2][CPO];
  logic [2:0] main_fine[CPO], other_fine[CPO];
  logic [CPO*64-1:0] total;
  always_ff @(posedge clk_i) begin
    if (align_enable[0]) begin
      for (int lane = 0; lane < CPO; ++lane) begin
        logic [5:0] main_left, other_left;
        main_left = whole ? main_left_i[lane*6+:6] : layer_i.add_main_shift[5:0];
        other_left = whole ? other_left_i[lane*6+:6] : layer_i.add_other_shift[5:0];
        main[0][lane] <= (whole ? products_data_i[lane*64+:64] : 64'(signed'(main_product[lane*PRODUCT+:PRODUCT])))
            << {main_left[5:3], 3'd0};
        other[0][lane] <= 64'(signed'(other_product[lane*PRODUCT+:PRODUCT])) << {other_left[5:3], 3'd0};
        main_fine[lane] <= main_left[2:0];
        other_fine[lane] <= other_left[2:0];
      end
    end
    if (align_enable[1]) begin
      for (int lane = 0; lane < CPO; ++lane) begin
        main[1][lane] <= main[0][lane] << main_fine[lane];
        other[1][lane] <= other[0][lane] << other_fine[lane];
      end
    end
    if (align_enable[2]) begin
      for (int lane = 0; lane < CPO; ++lane) total[lane*64+:64] <= main[1][lane] + other[1][lane];
    end
  end

  logic [CPO*6-1:0] right;
  group_delay #(
      .WIDTH(CPO * 6),
      .LATENCY(ALIGN)
  ) u_right (
      .clk_i,
      .first_i(group_enable),
      .data_i(right_i),
      .data_o(right)
  );
  round_shift #(
      .LANES(CPO),
      .BITS(ACTIVATION_BITS)
  ) u_round (
      .clk_i,
      .enable_i(round_enable),
      .value_i(total),
      .shift_i(whole ? right : {CPO{layer_i.add_shift[5:0]}}),
      .zero_i(layer_i.add_zero[ACTIVATION_BITS-1:0]),
      .low_i(layer_i.add_low[ACTIVATION_BITS-1:0]),
      .high_i(layer_i.add_high[ACTIVATION_BITS-1:0]),
      .result_o(sums_data_o)
  );

endmodule
