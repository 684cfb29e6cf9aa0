// SPDX-License-Identifier: Apache-2.0
// read_weights: the weight blocks of a layer, a beat a clock, in the order in which they are used. Reads ahead as far as its
// FIFO goes, also into the next layer.
module read_weights #(
    parameter int DEPTH = 256,
    parameter int BURST = 64
) (
    input  logic         clk_i,
    input  logic         rst_i,
    input  logic         cmd_valid_i,
    output logic         cmd_ready_o,
    input  logic [ 63:0] cmd_address_i,
    input  logic [ 31:0] cmd_run_beats_i,
    input  logic [ 31:0] cmd_group_stride_i,
    input  logic [ 31:0] cmd_group_count_i,
    input  logic [ 31:0] cmd_strip_count_i,
    output logic         beat_valid_o,
    input  logic         beat_ready_i,
    output logic [511:0] beat_data_o,
    output logic         arvalid_o,
    input  logic         arready_i,
    output logic [ 63:0] araddr_o,
    output logic [  7:0] arlen_o,
    input  logic         rvalid_i,
    output logic         rready_o,
    input  logic [511:0] rdata_i,
    input  logic [  1:0] rresp_i,
    input  logic         rlast_i,
    input  logic         abort_i,
    output logic         quiet_o,
    output logic         error_o
);

  logic run_valid, run_ready;
  logic [63:0] run_address;
  logic [31:0] run_beats;

  read_runs runs (
      .clk_i,
      .rst_i,
      .cmd_valid_i,
      .cmd_ready_o,
      .cmd_address_i,
      .cmd_run_beats_i,
      .cmd_group_stride_i,
      .cmd_group_count_i,
      .cmd_strip_count_i,
      .run_valid_o  (run_valid),
      .run_ready_i  (run_ready),
      .run_address_o(run_address),
      .run_beats_o  (run_beats)
  );

  read_port #(
      .DEPTH(DEPTH),
      .BURST(BURST)
  ) port (
      .clk_i,
      .rst_i,
      .cmd_valid_i  (run_valid),
      .cmd_ready_o  (run_ready),
      .cmd_address_i(run_address),
      .cmd_beats_i  (run_beats),
      .beat_valid_o,
      .beat_ready_i,
      .beat_data_o,
      .arvalid_o,
      .arready_i,
      .araddr_o,
      .arlen_o,
      .rvalid_i,
      .rready_o,
      .rdata_i,
      .rresp_i,
      .rlast_i,
      .abort_i,
      .quiet_o,
      .error_o
  );

endmodule
