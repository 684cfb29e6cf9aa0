// SPDX-License-Identifier: Apache-2.0
// burst_writer: the kernel's AXI write port and the bridge at the memory's write port. A burst outside the memory writes
// nothing and is answered with DECERR. One burst at a time; its response waits for nobody, as the kernel is always ready.
module burst_writer #(
    parameter int unsigned ROW_BITS = 10
) (
    input  logic                clk_i,
    input  logic                rst_i,
    input  logic                awvalid_i,
    output logic                awready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [        63:0] awaddr_i,  // bursts begin at beats
    // verilator lint_on UNUSEDSIGNAL
    input  logic                wvalid_i,
    output logic                wready_o,
    input  logic [       511:0] wdata_i,
    input  logic [        63:0] wstrb_i,
    input  logic                wlast_i,
    output logic                bvalid_o,
    output logic [         1:0] bresp_o,
    // A word of the bridge: taken in a clock without a beat.
    input  logic                bridge_write_i,
    output logic                bridge_taken_o,
    input  logic [ROW_BITS-1:0] bridge_row_i,
    input  logic [         3:0] bridge_word_i,
    input  logic [        31:0] bridge_data_i,
    output logic                memory_write_o,
    output logic [ROW_BITS-1:0] memory_row_o,
    output logic [        63:0] memory_strobe_o,
    output logic [       511:0] memory_data_o
);
  localparam logic [1:0] OKAY = 2'b00, DECERR = 2'b11;

  logic busy_q, outside_q;
  logic [ROW_BITS-1:0] row_q;
  logic beat;

  assign awready_o = !busy_q;
  assign wready_o = busy_q;
  assign beat = busy_q && wvalid_i;
  assign bridge_taken_o = bridge_write_i && !beat;

  always_ff @(posedge clk_i) begin
    if (!busy_q) begin
      busy_q <= awvalid_i;
      row_q <= awaddr_i[6+:ROW_BITS];
      outside_q <= awaddr_i[63:6+ROW_BITS] != '0;
    end else if (wvalid_i) begin
      row_q  <= row_q + 1'b1;
      busy_q <= !wlast_i;
    end
    bvalid_o <= beat && wlast_i;
    bresp_o <= outside_q ? DECERR : OKAY;
    memory_write_o <= (beat && !outside_q) || bridge_taken_o;
    memory_row_o <= beat ? row_q : bridge_row_i;
    memory_data_o <= beat ? wdata_i : {16{bridge_data_i}};
    memory_strobe_o <= beat ? wstrb_i : 64'hf << {bridge_word_i, 2'b00};
    if (rst_i) begin
      busy_q <= 1'b0;
      bvalid_o <= 1'b0;
      memory_write_o <= 1'b0;
    end
  end

endmodule
