// SPDX-License-Identifier: Apache-2.0
// pool_average: scales totals to averages, a pixel a clock. A total of 32 bits takes two clocks: first its high part, then the
// OPERAND - 1 bits below, so that the multipliers stay as narrow as the totals of windows.
module pool_average #(
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned OPERAND = 17,
    parameter bit USE_DSP = 1
) (
    input logic clk_i,
    input logic rst_i,
    // Each unit reads the fields that concern it.
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,
    // verilator lint_on UNUSEDSIGNAL
    // averaging scales, 8 records of 8 bytes at once
    input logic scales_write_i,
    input logic [7:0] scales_index_i,
    // Shifts have 6 of their 32 bits.
    // verilator lint_off UNUSEDSIGNAL
    input logic [511:0] scales_data_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic valid_i,
    input logic high_i,  // the high part; its low part follows
    input logic low_i,
    // Small windows need fewer bits.
    // verilator lint_off UNUSEDSIGNAL
    input logic [6:0] record_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic [CPO*OPERAND-1:0] operand_i,
    output logic valid_o,
    output logic [CPO*ACTIVATION_BITS-1:0] pixel_o
);
  localparam int unsigned BANKS = 8;
  localparam int unsigned ROWS = (POOL_WINDOW * POOL_WINDOW + BANKS) / BANKS;
  localparam int unsigned RECORD = 32 + 6;
  localparam int unsigned PRODUCT = 32 + OPERAND;
  localparam int unsigned LATENCY = post_pkg::multiply_latency(OPERAND);
  localparam int unsigned ROUND = post_pkg::ROUND_LATENCY;
  localparam int unsigned ROW_BITS = $clog2(ROWS) == 0 ? 1 : $clog2(ROWS);

  // The record: read all banks, choose one.
  logic [RECORD-1:0] read[BANKS];
  for (genvar n = 0; n < BANKS; ++n) begin : g_bank
    (* ram_style = "distributed" *) logic [RECORD-1:0] records[ROWS];
    always_ff @(posedge clk_i) begin
      if (scales_write_i && scales_index_i < 8'(ROWS)) begin
        records[scales_index_i[ROW_BITS-1:0]] <= {scales_data_i[n*64+32+:6], scales_data_i[n*64+:32]};
      end
    end
    always_ff @(posedge clk_i) begin
      if (valid_i) read[n] <= records[record_i[3+:ROW_BITS]];
    end
  end

  logic [1:0] reading, high, low;
  logic [2:0] bank;
  logic [31:0] multiplier;
  logic [5:0] shift;
  logic [CPO*OPERAND-1:0] operand[2];
  always_ff @(posedge clk_i) begin
    reading <= rst_i ? '0 : {reading[0], valid_i};
    if (valid_i) begin
      bank <= record_i[2:0];
      operand[0] <= operand_i;
      high[0] <= high_i;
      low[0] <= low_i;
    end
    if (reading[0]) begin
      {shift, multiplier} <= read[bank];
      operand[1] <= operand[0];
      high[1] <= high[0];
      low[1] <= low[0];
    end
  end

  logic [LATENCY-1:0] multiplying, high_line, low_line;
  logic [5:0] shift_line[LATENCY+1];
  wire [LATENCY-1:0] multiply_enable = {multiplying[LATENCY-2:0], reading[1]};
  logic whole_valid;
  logic [ROUND-1:0] rounding;
  wire [ROUND-1:0] round_enable = {rounding[ROUND-2:0], whole_valid};
  always_ff @(posedge clk_i) begin
    multiplying <= rst_i ? '0 : multiply_enable;
    high_line <= {high_line[LATENCY-2:0], high[1]};
    low_line <= {low_line[LATENCY-2:0], low[1]};
    if (reading[1]) shift_line[0] <= shift;
    for (int s = 1; s < LATENCY; ++s) begin
      if (multiplying[s-1]) shift_line[s] <= shift_line[s-1];
    end
    if (multiplying[LATENCY-1]) shift_line[LATENCY] <= shift_line[LATENCY-1];
    whole_valid <= !rst_i && multiplying[LATENCY-1] && !high_line[LATENCY-1];
    rounding <= rst_i ? '0 : round_enable;
  end

  logic [CPO*PRODUCT-1:0] product;
  multiply #(
      .LANES(CPO),
      .A_BITS(32),
      .B_BITS(OPERAND),
      .SHARED_A(1),
      .USE_DSP(USE_DSP)
  ) u_multiply (
      .clk_i,
      .enable_i(multiply_enable),
      .a_i(multiplier),
      .b_i(operand[1]),
      .product_o(product)
  );

  logic [CPO*64-1:0] whole;
  always_ff @(posedge clk_i) begin
    if (multiplying[LATENCY-1]) begin
      for (int lane = 0; lane < CPO; ++lane) begin
        whole[lane*64+:64] <= (low_line[LATENCY-1] ? whole[lane*64+:64] << (OPERAND - 1) : '0) +
            64'(signed'(product[lane*PRODUCT+:PRODUCT]));
      end
    end
  end

  round_shift #(
      .LANES(CPO),
      .BITS(ACTIVATION_BITS)
  ) u_round (
      .clk_i,
      .enable_i(round_enable),
      .value_i(whole),
      .shift_i({CPO{shift_line[LATENCY]}}),
      .zero_i(layer_i.pool_out_zero[ACTIVATION_BITS-1:0]),
      .low_i(layer_i.pool_low[ACTIVATION_BITS-1:0]),
      .high_i(layer_i.pool_high[ACTIVATION_BITS-1:0]),
      .result_o(pixel_o)
  );
  assign valid_o = rounding[ROUND-1];

endmodule
