// SPDX-License-Identifier: Apache-2.0
// cvt: nine bank reads and a rotation make a frame, a frame a clock. Four clocks from a row's first column to its frame.
// The whole pipeline waits while the weights or the bias of a frame at its end are missing.
module cvt
  import kernel_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WORD = CPI * ACTIVATION_BITS,
    parameter int unsigned CREDITS = 64,  // sums that add's output can hold
    parameter int unsigned PASS_SPACING = 3  // clocks from a pass to the next, so that sums are written before they are read
) (
    input logic clk_i,
    input logic rst_i,
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,  // neither takes all of it
    input shape_t shape_i,
    // verilator lint_on UNUSEDSIGNAL
    input logic row_valid_i,
    output logic row_ready_o,
    input frame_row_t row_i,
    // banks: data follow two advances behind their addresses
    output logic advance_o,
    output logic read_o,
    output logic read_buffer_o,
    output logic [TAPS*20-1:0] read_address_o,
    input logic [TAPS*WORD-1:0] read_data_i,
    // the strip's last read has been made
    output logic release_o,
    // frames
    input logic block_ready_i,  // the weights of the next pass are complete
    input logic bias_ready_i,  // the bias of the next output group is there
    input logic credit_i,  // a sum left
    output logic take_block_o,
    output logic take_bias_o,
    output logic frame_valid_o,
    output frame_flags_t frame_flags_o,
    output logic [TAPS*WORD-1:0] frame_o
);
  typedef struct packed {
    logic [2:0][1:0] row_class;
    logic [2:0][1:0] column_class;
    logic [TAPS-1:0] in_map;
    logic [TAPS-1:0] used;
    frame_flags_t flags;
  } stage_t;

  // Decoded once; the layer stands still from before its first row.
  logic pointwise;
  logic [15:0] width_less_one;
  always_ff @(posedge clk_i) begin
    pointwise <= layer_i.op == descriptor_pkg::OP_POINTWISE;
    width_less_one <= layer_i.conv_width[15:0] - 16'd1;
  end

  // Columns of the row at hand.
  coordinate_t [2:0] columns;
  logic [15:0] column;
  logic in_row;
  coordinate_t [2:0] now;
  assign now = in_row ? columns : row_i.columns;
  wire last_column = column == width_less_one;
  wire pass_begins = row_i.first_row && !in_row;

  logic [$clog2(CREDITS+1)-1:0] credits;
  logic [1:0] since;
  wire advance;
  wire may_issue = row_valid_i && (!row_i.last_pass || credits != 0) && (!pass_begins || since == 2'(PASS_SPACING - 1));
  wire issue = may_issue && advance;
  assign row_ready_o = issue && last_column;

  logic [2:0] in_map_x;
  stage_t next;
  logic [TAPS*20-1:0] next_address;
  always_comb begin
    for (int k = 0; k < 3; ++k) begin
      in_map_x[k] = now[pointwise ? 0 : k].at >= 0 && now[pointwise ? 0 : k].at < signed'(layer_i.in_width);
      next.column_class[k] = pointwise ? 2'(k) : now[k].residue;
    end
    next.row_class = row_i.row_class;
    next.used = row_i.used;
    for (int k = 0; k < 3; ++k) begin
      for (int tap = 0; tap < 3; ++tap) next.in_map[3*k+tap] = row_i.in_map[k] && in_map_x[tap];
    end
    next.flags.first_frame = pass_begins;
    next.flags.last_frame = row_i.last_row && last_column;
    next.flags.first_pass = row_i.first_pass;
    next.flags.last_pass = row_i.last_pass;
    next.flags.last_of_strip = row_i.last_of_strip && last_column;
    for (int j = 0; j < 3; ++j) begin  // class of bank columns
      logic [19:0] column_word;
      column_word = now[0].word;
      for (int tap = 1; tap < 3; ++tap) begin
        if (!pointwise && now[tap].residue == 2'(j)) column_word = now[tap].word;
      end
      for (int i = 0; i < 3; ++i) next_address[(3*i+j)*20+:20] = row_i.word[i] + column_word;
    end
  end

  always_ff @(posedge clk_i) begin
    if (issue) begin
      for (int k = 0; k < 3; ++k) columns[k] <= move(now[k], shape_i.stride_x, 20'd1);
      column <= last_column ? '0 : column + 16'd1;
      in_row <= !last_column;
    end
    if (issue && pass_begins) since <= '0;
    else if (advance && since != 2'(PASS_SPACING - 1)) since <= since + 2'd1;
    credits <= credits + ($bits(credits))'(credit_i) - ($bits(credits))'(issue && row_i.last_pass);
    if (rst_i) begin
      column <= '0;
      in_row <= 1'b0;
      since <= 2'(PASS_SPACING - 1);
      credits <= ($bits(credits))'(CREDITS);
    end
  end

  // Address, bank read, choice of the subbank (both in banks), rotation.
  stage_t address_stage, read_stage, word_stage;
  logic address_valid, read_valid, word_valid;
  assign advance = !(word_valid && word_stage.flags.first_frame &&
                     (!block_ready_i || (word_stage.flags.first_pass && !bias_ready_i)));
  assign advance_o = advance;
  assign read_o = address_valid;
  assign take_block_o = advance && word_valid && word_stage.flags.first_frame;
  assign take_bias_o = take_block_o && word_stage.flags.first_pass;
  assign release_o = advance && read_valid && read_stage.flags.last_of_strip;

  always_ff @(posedge clk_i) begin
    if (advance) begin
      if (issue) begin
        address_stage <= next;
        read_address_o <= next_address;
        read_buffer_o <= row_i.buffer;
      end
      if (address_valid) read_stage <= address_stage;
      if (read_valid) word_stage <= read_stage;
      if (word_valid) frame_flags_o <= word_stage.flags;
      address_valid <= issue;
      read_valid <= address_valid;
      word_valid <= read_valid;
    end
    frame_valid_o <= advance && word_valid;
    if (rst_i) {address_valid, read_valid, word_valid, frame_valid_o} <= '0;
  end

  // What a tap shows: its bank's word, the padding value, or nothing.
  logic [WORD-1:0] padding;
  always_ff @(posedge clk_i) padding <= {CPI{layer_i.pad_value[ACTIVATION_BITS-1:0]}};
  for (genvar tap = 0; tap < TAPS; ++tap) begin : g_tap
    wire [1:0] i = word_stage.row_class[tap/3];
    wire [1:0] j = word_stage.column_class[tap%3];
    wire [3:0] bank = {2'd0, i} + {1'b0, i, 1'b0} + {2'd0, j};
    always_ff @(posedge clk_i) begin
      if (advance && word_valid) begin
        frame_o[tap*WORD+:WORD] <= !word_stage.used[tap] ? '0 :
            !word_stage.in_map[tap] ? padding : read_data_i[bank*WORD+:WORD];
      end
    end
  end

endmodule
