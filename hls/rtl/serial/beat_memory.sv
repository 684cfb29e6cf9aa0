// SPDX-License-Identifier: Apache-2.0
// beat_memory: on-chip memory of 64-byte rows with one read port and one write port. Data comes two clocks after its row.
// What is read of a row in the clock in which it is written is undefined: nobody does that.
module beat_memory #(
    parameter int unsigned ROWS = 1024,
    localparam int unsigned ROW_BITS = $clog2(ROWS)
) (
    input  logic                clk_i,
    input  logic [ROW_BITS-1:0] read_row_i,
    output logic [       511:0] read_data_o,
    input  logic                write_i,
    input  logic [ROW_BITS-1:0] write_row_i,
    input  logic [        63:0] write_strobe_i,
    input  logic [       511:0] write_data_i
);

  // Sixteen bits wide, as small devices' block RAM with byte enables is.
  for (genvar n = 0; n < 32; ++n) begin : g_part
    (* ram_style = "block", no_rw_check *)
    logic [15:0] memory[ROWS];
    logic [15:0] data_q;
    always_ff @(posedge clk_i) begin
      if (write_i && write_strobe_i[2*n]) memory[write_row_i][7:0] <= write_data_i[16*n+:8];
      if (write_i && write_strobe_i[2*n+1]) memory[write_row_i][15:8] <= write_data_i[16*n+8+:8];
      data_q <= memory[read_row_i];
      read_data_o[16*n+:16] <= data_q;
    end
  end

endmodule
