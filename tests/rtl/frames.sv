// SPDX-License-Identifier: Apache-2.0
// frames: load, banks, pad and cvt wired as in the kernel: strips in, frames out.
module frames
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned BANK_WORDS = 512,
    parameter int unsigned CREDITS = 8,
    parameter int unsigned WORD = CPI * ACTIVATION_BITS,
    parameter int unsigned LOAD_WORDS = BEAT_BITS / WORD < 8 ? BEAT_BITS / WORD : 8
) (
    input logic clk_i,
    input logic rst_i,
    input logic [$bits(descriptor_pkg::layer_descriptor_t)-1:0] layer_i,
    input logic [$bits(shape_t)-1:0] shape_i,
    input logic load_valid_i,
    output logic load_ready_o,
    input logic [$bits(load_cmd_t)-1:0] load_cmd_i,
    input logic pad_valid_i,
    output logic pad_ready_o,
    input logic [$bits(pad_cmd_t)-1:0] pad_cmd_i,
    output logic arvalid_o,
    input logic arready_i,
    output logic [63:0] araddr_o,
    output logic [7:0] arlen_o,
    input logic rvalid_i,
    output logic rready_o,
    input logic [BEAT_BITS-1:0] rdata_i,
    input logic [1:0] rresp_i,
    input logic rlast_i,
    input logic abort_i,
    output logic quiet_o,
    output logic error_o,
    input logic block_ready_i,
    input logic bias_ready_i,
    input logic credit_i,
    output logic take_block_o,
    output logic take_bias_o,
    output logic frame_valid_o,
    output logic [$bits(frame_flags_t)-1:0] frame_flags_o,
    output logic [TAPS*WORD-1:0] frame_o
);
  logic write, write_buffer, write_pointwise, advance, read, read_buffer, loaded, release_strip, row_valid, row_ready;
  logic [3:0] write_bank, write_count;
  logic [1:0] write_class, strip;
  logic [19:0] write_address;
  logic [LOAD_WORDS*WORD-1:0] write_data;
  logic [TAPS*20-1:0] read_address;
  logic [TAPS*WORD-1:0] read_data;
  logic [15:0] loaded_slices, loaded_rows;
  frame_row_t row;
  load #(.WORD(WORD), .LOAD_WORDS(LOAD_WORDS), .DEPTH(32)) i_load (
      .clk_i, .rst_i, .cmd_valid_i(load_valid_i), .cmd_ready_o(load_ready_o), .cmd_i(load_cmd_i), .arvalid_o, .arready_i,
      .araddr_o, .arlen_o, .rvalid_i, .rready_o, .rdata_i, .rresp_i, .rlast_i, .abort_i, .quiet_o, .error_o,
      .write_o(write), .write_buffer_o(write_buffer), .write_pointwise_o(write_pointwise), .write_bank_o(write_bank),
      .write_class_o(write_class), .write_address_o(write_address), .write_count_o(write_count),
      .write_data_o(write_data), .strip_i(strip), .release_i(release_strip), .loaded_o(loaded),
      .loaded_slices_o(loaded_slices), .loaded_rows_o(loaded_rows)
  );
  banks #(.WORD(WORD), .BANK_WORDS(BANK_WORDS), .LOAD_WORDS(LOAD_WORDS)) i_banks (
      .clk_i, .write_i(write), .write_buffer_i(write_buffer), .write_pointwise_i(write_pointwise),
      .write_bank_i(write_bank), .write_class_i(write_class), .write_address_i(write_address),
      .write_count_i(write_count), .write_data_i(write_data), .advance_i(advance), .read_i(read),
      .read_buffer_i(read_buffer), .read_address_i(read_address), .read_data_o(read_data)
  );
  pad i_pad (
      .clk_i, .rst_i, .layer_i, .shape_i, .cmd_valid_i(pad_valid_i), .cmd_ready_o(pad_ready_o), .cmd_i(pad_cmd_i),
      .strip_o(strip), .loaded_i(loaded), .loaded_slices_i(loaded_slices), .loaded_rows_i(loaded_rows),
      .row_valid_o(row_valid), .row_ready_i(row_ready), .row_o(row)
  );
  cvt #(.CPI(CPI), .ACTIVATION_BITS(ACTIVATION_BITS), .CREDITS(CREDITS)) i_cvt (
      .clk_i, .rst_i, .layer_i, .shape_i, .row_valid_i(row_valid), .row_ready_o(row_ready), .row_i(row),
      .advance_o(advance), .read_o(read), .read_buffer_o(read_buffer), .read_address_o(read_address),
      .read_data_i(read_data), .release_o(release_strip), .block_ready_i, .bias_ready_i, .credit_i, .take_block_o,
      .take_bias_o, .frame_valid_o, .frame_flags_o, .frame_o
  );
endmodule
