// SPDX-License-Identifier: Apache-2.0
// activation: any function of an 8-bit value, as a table of 256 entries with a copy for each lane. A pixel a clock, after 2 clocks.
// The four beats of a table are copied to the lanes, four entries a clock; until then `busy_o` is up.
module activation #(
    parameter int unsigned CPO = 8
) (
    input logic clk_i,
    input logic rst_i,
    input logic table_write_i,
    input logic [1:0] table_index_i,
    input logic [511:0] table_data_i,
    output logic busy_o,
    input logic valid_i,
    input logic [CPO*8-1:0] data_i,
    output logic valid_o,
    output logic [CPO*8-1:0] data_o
);
  (* ram_style = "distributed" *) logic [511:0] beats[4];
  logic filling;
  logic [5:0] fill_word;  // four entries
  logic write;
  logic [5:0] write_word;
  logic [31:0] write_data;

  always_ff @(posedge clk_i) begin
    if (table_write_i) beats[table_index_i] <= table_data_i;
  end

  always_ff @(posedge clk_i) begin
    if (filling) begin
      write_word <= fill_word;
      write_data <= beats[fill_word[5:4]][fill_word[3:0]*32+:32];
      fill_word <= fill_word + 6'd1;
      if (fill_word == '1) filling <= 1'b0;
    end
    if (table_write_i && table_index_i == 2'd3) filling <= 1'b1;
    write <= filling;
    if (table_write_i) busy_o <= 1'b1;
    else if (write && !filling) busy_o <= 1'b0;
    if (rst_i) begin
      filling <= 1'b0;
      fill_word <= '0;
      write <= 1'b0;
      busy_o <= 1'b0;
    end
  end

  logic read_valid;
  always_ff @(posedge clk_i) begin
    read_valid <= valid_i && !rst_i;
    valid_o <= read_valid && !rst_i;
  end

  for (genvar lane = 0; lane < CPO; ++lane) begin : g_lane
    logic [31:0] entries[64];
    logic [31:0] word;
    logic [1:0] entry;
    always_ff @(posedge clk_i) begin
      if (write) entries[write_word] <= write_data;
    end
    always_ff @(posedge clk_i) begin
      if (valid_i) begin
        word <= entries[{!data_i[lane*8+7], data_i[lane*8+2+:5]}];  // entry q + 128
        entry <= data_i[lane*8+:2];
      end
      if (read_valid) data_o[lane*8+:8] <= word[entry*8+:8];
    end
  end

endmodule
