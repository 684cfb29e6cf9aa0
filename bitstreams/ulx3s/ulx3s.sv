// SPDX-License-Identifier: Apache-2.0
// ulx3s: the serial system (hls/rtl/serial) on a ULX3S board with an LFE5U-85F, on the board's own clock of 25 MHz.
module ulx3s #(
    parameter int unsigned CPI = 2,
    parameter int unsigned CPO = 2,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned BANK_WORDS = 2048,
    parameter int unsigned ACCUMULATOR_PIXELS = 1024,
    parameter int unsigned POOL_WINDOW = 2,
    parameter int unsigned POOL_WIDTH = 32,
    parameter int unsigned PACK = 0,
    parameter int unsigned LANE_MULTIPLIERS = 1,
    parameter int unsigned ROWS = 1024,
    parameter int unsigned DIVISOR = 25,
    parameter int unsigned CLOCK_KHZ = 25000,
    parameter int unsigned IDENTITY = 0
) (
    input  logic       clk_25mhz,
    input  logic       btn_pwr_n,
    input  logic       ftdi_txd,   // from the host
    output logic       ftdi_rxd,
    output logic [7:0] led
);

  // A light for an event of one clock stays on for a tenth of a second.
  localparam int unsigned SEEN = 2_500_000;
  logic [3:0] activity;
  logic [3:0][21:0] left_q;
  always_ff @(posedge clk_25mhz) begin
    for (int n = 0; n < 4; n++) begin
      if (activity[n]) left_q[n] <= 22'(SEEN);
      else if (left_q[n] != '0) left_q[n] <= left_q[n] - 1'b1;
      led[n] <= left_q[n] != '0;
    end
  end
  assign led[7:4] = 4'b1000;  // the bitstream is loaded

  sliceflow_serial #(
      .CPI(CPI),
      .CPO(CPO),
      .ACTIVATION_BITS(ACTIVATION_BITS),
      .WEIGHT_BITS(WEIGHT_BITS),
      .BANK_WORDS(BANK_WORDS),
      .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS),
      .POOL_WINDOW(POOL_WINDOW),
      .POOL_WIDTH(POOL_WIDTH),
      .PACK(PACK),
      .LANE_MULTIPLIERS(LANE_MULTIPLIERS),
      .ROWS(ROWS),
      .DIVISOR(DIVISOR),
      .CLOCK_KHZ(CLOCK_KHZ),
      .IDENTITY(IDENTITY)
  ) i_system (
      .clk_i(clk_25mhz),
      .rst_n_i(btn_pwr_n),
      .line_i(ftdi_txd),
      .line_o(ftdi_rxd),
      .activity_o(activity)
  );

endmodule
