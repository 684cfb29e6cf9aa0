// SPDX-License-Identifier: Apache-2.0
// burst_reader: the kernel's four AXI read ports and the bridge take turns at the memory's read port, burst by burst.
// A burst outside the memory is answered with DECERR. The kernel is always ready for data (hls/rtl/README.md).
module burst_reader #(
    parameter int unsigned ROW_BITS = 10,
    parameter int unsigned PORTS = 4
) (
    input  logic                         clk_i,
    input  logic                         rst_i,
    input  logic [PORTS-1:0]             arvalid_i,
    output logic [PORTS-1:0]             arready_o,
    input  logic [PORTS-1:0][      63:0] araddr_i,
    input  logic [PORTS-1:0][       7:0] arlen_i,
    input  logic [PORTS-1:0]             arid_i,
    output logic [PORTS-1:0]             rvalid_o,
    output logic [    511:0]             rdata_o,
    output logic                         rid_o,
    output logic [      1:0]             rresp_o,
    output logic                         rlast_o,
    // A single read of the bridge: taken in a clock without a burst, data with bridge_valid_o.
    input  logic                         bridge_read_i,
    output logic                         bridge_taken_o,
    input  logic [ROW_BITS-1:0]          bridge_row_i,
    output logic                         bridge_valid_o,
    output logic [ROW_BITS-1:0]          memory_row_o,
    input  logic [    511:0]             memory_data_i
);
  localparam int unsigned PORT_BITS = $clog2(PORTS);
  localparam logic [1:0] OKAY = 2'b00, DECERR = 2'b11;

  // What a read is, beside its row; it travels with the data.
  typedef struct packed {
    logic valid;
    logic bridge;
    logic last;
    logic id;
    logic outside;
    logic [PORT_BITS-1:0] port;
  } read_t;

  logic busy_q;
  logic [PORT_BITS-1:0] turn_q;
  logic [ROW_BITS-1:0] row_q;
  logic [7:0] left_q;
  read_t asked, asked_q, fetched_q, found_q;
  logic id_q, outside_q;
  logic [PORT_BITS-1:0] port_q;
  logic take, last;

  assign take = !busy_q && arvalid_i[turn_q];
  assign last = left_q == '0;
  assign bridge_taken_o = bridge_read_i && !busy_q && !take;

  always_comb begin
    arready_o = '0;
    arready_o[turn_q] = !busy_q;
    asked = '{
        valid: busy_q || bridge_taken_o,
        bridge: !busy_q,
        last: last,
        id: id_q,
        outside: outside_q,
        port: port_q
    };
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      busy_q <= 1'b1;
      row_q <= araddr_i[turn_q][6+:ROW_BITS];
      left_q <= arlen_i[turn_q];
      id_q <= arid_i[turn_q];
      port_q <= turn_q;
      outside_q <= araddr_i[turn_q][63:6+ROW_BITS] != '0;
    end else if (busy_q) begin
      row_q  <= row_q + 1'b1;
      left_q <= left_q - 8'd1;
      busy_q <= !last;
    end
    if (!busy_q && !take) turn_q <= turn_q == PORT_BITS'(PORTS - 1) ? '0 : turn_q + 1'b1;
    if (busy_q && last) turn_q <= turn_q == PORT_BITS'(PORTS - 1) ? '0 : turn_q + 1'b1;  // nobody twice in a row
    memory_row_o <= busy_q ? row_q : bridge_row_i;
    asked_q <= asked;
    fetched_q <= asked_q;
    found_q <= fetched_q;
    if (rst_i) begin
      busy_q <= 1'b0;
      turn_q <= '0;
      {asked_q.valid, fetched_q.valid, found_q.valid} <= '0;
    end
  end

  // memory_row_o is a register, the memory has two more: found_q stands beside its data.
  assign rdata_o = memory_data_i;
  assign rid_o = found_q.id;
  assign rlast_o = found_q.last;
  assign rresp_o = found_q.outside ? DECERR : OKAY;
  assign bridge_valid_o = found_q.valid && found_q.bridge;
  always_comb begin
    rvalid_o = '0;
    rvalid_o[found_q.port] = found_q.valid && !found_q.bridge;
  end

endmodule
