// SPDX-License-Identifier: Apache-2.0
// round_shift: clamp(zero + value / 2**shift) with the quotient rounded to nearest, ties to even; 0 <= shift <= 62.
// A set of lanes each clock, after post_pkg::ROUND_LATENCY clocks. Stage s loads when enable_i[s].
module round_shift #(
    parameter int unsigned LANES = 1,
    parameter int unsigned BITS = 8  // of zero, limits and result, all signed
) (
    input logic clk_i,
    input logic [post_pkg::ROUND_LATENCY-1:0] enable_i,
    input logic [LANES*64-1:0] value_i,
    input logic [LANES*6-1:0] shift_i,
    input logic signed [BITS-1:0] zero_i,
    input logic signed [BITS-1:0] low_i,
    input logic signed [BITS-1:0] high_i,
    output logic [LANES*BITS-1:0] result_o
);
  // Quotients beyond QUOTIENT bits are clamped whatever the zero point is. They saturate after the coarse shift, which
  // keeps everything behind it narrow.
  localparam int unsigned QUOTIENT = BITS + 2;
  localparam int unsigned COARSE = QUOTIENT + 7;

  typedef struct packed {
    logic signed [COARSE:0] value;  // the lowest bit is a half
    logic sticky;  // something was lost below it
    logic [2:0] shift;  // left to do
  } coarse_t;
  typedef struct packed {
    logic signed [QUOTIENT:0] value;
    logic sticky;
  } fine_t;

  function automatic coarse_t shift_bytes(logic signed [63:0] value, logic [5:0] shift);
    logic signed [63:0] shifted;
    logic [63:0] lost;
    logic [64-COARSE:0] high;
    shifted = value >>> {shift[5:3], 3'd0};
    lost = ~({64{1'b1}} << {shift[5:3], 3'd0});
    high = shifted[63:COARSE-1];
    shift_bytes.value[COARSE:1] = high == '0 || high == '1 ? shifted[COARSE-1:0] : {value[63], {COARSE - 1{!value[63]}}};
    shift_bytes.value[0] = (value & (lost & ~(lost >> 1))) != '0;
    shift_bytes.sticky = (value & (lost >> 1)) != '0;
    shift_bytes.shift = shift[2:0];
  endfunction

  function automatic fine_t shift_bits(coarse_t from);
    logic signed [COARSE:0] shifted;
    logic [COARSE-QUOTIENT:0] high;
    shifted = from.value >>> from.shift;
    high = shifted[COARSE:QUOTIENT];
    shift_bits.value = high == '0 || high == '1 ? shifted[QUOTIENT:0] : {from.value[COARSE], {QUOTIENT{!from.value[COARSE]}}};
    shift_bits.sticky = from.sticky || (from.value & ~({COARSE + 1{1'b1}} << from.shift)) != '0;
  endfunction

  coarse_t coarse[LANES];
  fine_t fine[LANES];
  logic signed [QUOTIENT:0] total[LANES];

  always_ff @(posedge clk_i) begin
    if (enable_i[0]) begin
      for (int lane = 0; lane < LANES; ++lane) coarse[lane] <= shift_bytes(value_i[lane*64+:64], shift_i[lane*6+:6]);
    end
    if (enable_i[1]) begin
      for (int lane = 0; lane < LANES; ++lane) fine[lane] <= shift_bits(coarse[lane]);
    end
    if (enable_i[2]) begin
      for (int lane = 0; lane < LANES; ++lane) begin
        total[lane] <= (QUOTIENT + 1)'(signed'(fine[lane].value[QUOTIENT:1])) + (QUOTIENT + 1)'(zero_i) +
            signed'((QUOTIENT + 1)'(fine[lane].value[0] && (fine[lane].sticky || fine[lane].value[1])));
      end
    end
    if (enable_i[3]) begin
      for (int lane = 0; lane < LANES; ++lane) begin
        result_o[lane*BITS+:BITS] <= total[lane] < (QUOTIENT + 1)'(low_i) ? low_i :
            total[lane] > (QUOTIENT + 1)'(high_i) ? high_i : total[lane][BITS-1:0];
      end
    end
  end

endmodule
