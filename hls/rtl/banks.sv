// SPDX-License-Identifier: Apache-2.0
// banks: the window buffer, twice. Nine banks, each of LOAD_WORDS interleaved memories, so that a bank takes several neighbouring words
// in a clock. Convolutions keep row y, column x in bank (y % 3)*3 + x % 3; POINTWISE keeps slice s in bank s % 9.
// Reads take two advances: memory, then the choice of the interleaved memory.
module banks
  import kernel_pkg::*;
#(
    parameter int unsigned WORD = 64,
    parameter int unsigned BANK_WORDS = 4096,
    parameter int unsigned LOAD_WORDS = 8  // a power of two, at most 8
) (
    input logic clk_i,
    // `write_count_i` neighbouring words of one row
    input logic write_i,
    input logic write_buffer_i,
    input logic write_pointwise_i,
    input logic [3:0] write_bank_i,  // POINTWISE: the bank; else the row's class
    input logic [1:0] write_class_i,  // class of the first word's column
    input logic [19:0] write_address_i,  // of the first word
    input logic [3:0] write_count_i,
    input logic [LOAD_WORDS*WORD-1:0] write_data_i,
    // frames
    input logic advance_i,
    input logic read_i,
    input logic read_buffer_i,
    input logic [TAPS*20-1:0] read_address_i,
    output logic [TAPS*WORD-1:0] read_data_o
);
  localparam int unsigned LANE_BITS = LOAD_WORDS > 1 ? $clog2(LOAD_WORDS) : 1;
  localparam int unsigned ROWS = 2 * BANK_WORDS / LOAD_WORDS;
  localparam int unsigned ROW_BITS = $clog2(ROWS) - 1;  // of one buffer
  localparam int unsigned SHIFT = $clog2(LOAD_WORDS);

  if (LOAD_WORDS > 8 || 2 ** SHIFT != LOAD_WORDS) begin : g_check_load
    $error("LOAD_WORDS must be 1, 2, 4 or 8, not %0d", LOAD_WORDS);
  end
  if (BANK_WORDS % LOAD_WORDS != 0 || 2 ** $clog2(BANK_WORDS) != BANK_WORDS) begin : g_check_words
    $error("BANK_WORDS must be a power of two and a multiple of %0d, not %0d", LOAD_WORDS, BANK_WORDS);
  end

  // Words for each class of bank columns: the first one's place among the words that come in, and its address.
  logic [2:0][3:0] place;
  logic [2:0][19:0] address;
  always_comb begin
    for (int j = 0; j < 3; ++j) begin
      logic wraps;
      wraps = 2'(j) < write_class_i;
      place[j] = write_pointwise_i ? 4'd0 : {2'd0, 2'(j) - write_class_i} + (wraps ? 4'd3 : 4'd0);
      place[j][3:2] = 2'd0;
      address[j] = write_address_i + ((!write_pointwise_i && wraps) ? 20'd1 : 20'd0);
    end
  end

  // For each class of bank columns and each of the interleaved memories: which word it takes, and where. A register stage, so that the
  // memories see registers only; what is written may be read three clocks later.
  logic [TAPS-1:0] hit;
  logic [LOAD_WORDS*WORD-1:0] data;
  logic [2:0][LOAD_WORDS-1:0] take;
  logic [2:0][LOAD_WORDS-1:0][LANE_BITS-1:0] source;
  logic [2:0][LOAD_WORDS-1:0][ROW_BITS:0] row;
  always_ff @(posedge clk_i) begin
    data <= write_data_i;
    for (int bank = 0; bank < TAPS; ++bank) begin
      hit[bank] <= write_i && (write_pointwise_i ? write_bank_i == 4'(bank) : write_bank_i == 4'(bank / 3));
    end
    for (int j = 0; j < 3; ++j) begin
      for (int q = 0; q < LOAD_WORDS; ++q) begin
        // Number of the word, among those of this class, that this memory takes; then among all that come in.
        logic [19:0] offset;
        // verilator lint_off UNUSEDSIGNAL
        logic [19:0] write_address;  // the lowest bits say which memory
        // verilator lint_on UNUSEDSIGNAL
        logic [4:0] word;
        offset = (20'(q) - address[j]) & 20'(LOAD_WORDS - 1);
        write_address = address[j] + offset;
        word = write_pointwise_i ? {1'b0, offset[3:0]} : {1'b0, place[j]} + {1'b0, offset[3:0]} + {offset[3:0], 1'b0};
        take[j][q] <= word < {1'b0, write_count_i} && (write_pointwise_i || offset < 20'd3);
        source[j][q] <= word[LANE_BITS-1:0];
        row[j][q] <= {write_buffer_i, write_address[SHIFT+:ROW_BITS]};
      end
    end
  end

  for (genvar bank = 0; bank < TAPS; ++bank) begin : g_bank
    localparam int unsigned J = bank % 3;
    wire [19:0] read_address = read_address_i[bank*20+:20];
    wire [ROW_BITS:0] read_row = {read_buffer_i, read_address[SHIFT+:ROW_BITS]};
    logic [LOAD_WORDS*WORD-1:0] raw;
    logic [LANE_BITS-1:0] lane;

    for (genvar q = 0; q < LOAD_WORDS; ++q) begin : g_lane
      (* ram_style = "block" *) logic [WORD-1:0] memory[ROWS];
      always_ff @(posedge clk_i) begin
        if (hit[bank] && take[J][q]) memory[row[J][q]] <= data[source[J][q]*WORD+:WORD];
        if (advance_i && read_i) raw[q*WORD+:WORD] <= memory[read_row];
      end
    end

    logic raw_valid;
    always_ff @(posedge clk_i) begin
      if (advance_i) begin
        raw_valid <= read_i;
        if (read_i) lane <= LANE_BITS'(read_address & 20'(LOAD_WORDS - 1));
        if (raw_valid) read_data_o[bank*WORD+:WORD] <= raw[lane*WORD+:WORD];
      end
    end
  end

endmodule
