// SPDX-License-Identifier: Apache-2.0
// load: the input rows of a strip, from memory into the banks, up to LOAD_WORDS words of a row a clock. It reads ahead of the buffers into
// its FIFO, fills one buffer while the array works on the other, and tells pad how far it is, so that the first frames need not wait.
module load
  import kernel_pkg::*;
#(
    parameter int unsigned WORD = 64,
    parameter int unsigned LOAD_WORDS = 8,
    parameter int unsigned DEPTH = 256
) (
    input logic clk_i,
    input logic rst_i,
    input logic cmd_valid_i,
    output logic cmd_ready_o,
    input load_cmd_t cmd_i,
    // AXI read channels
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
    // banks
    output logic write_o,
    output logic write_buffer_o,
    output logic write_pointwise_o,
    output logic [3:0] write_bank_o,
    output logic [1:0] write_class_o,
    output logic [19:0] write_address_o,
    output logic [3:0] write_count_o,
    output logic [LOAD_WORDS*WORD-1:0] write_data_o,
    // progress of the strip that pad works on; strips count modulo 4
    input logic [1:0] strip_i,
    input logic release_i,  // the last read of a strip has been made
    output logic loaded_o,
    output logic [15:0] loaded_slices_o,
    output logic [15:0] loaded_rows_o
);
  localparam int unsigned BEAT_WORDS = BEAT_BITS / WORD;
  localparam int unsigned OFFSET_BITS = BEAT_WORDS > 1 ? $clog2(BEAT_WORDS) : 1;
  localparam int unsigned WORD_SHIFT = $clog2(WORD / 8);

  // --- Reads. A run is a band of rows of one slice: all its rows, except for POINTWISE, whose nine slices come band by band, so that a
  // first frame is soon complete. Strips whose slices follow each other without a gap, in whole bands, are one run. ---
  // verilator lint_off UNUSEDSIGNAL
  load_cmd_t ask, strip;  // each end takes its part
  // verilator lint_on UNUSEDSIGNAL
  logic asking, place_free, run_ready;
  logic [15:0] ask_slice;
  logic [3:0] ask_bank;
  logic [63:0] ask_group, ask_band, ask_run;  // first bytes of the nine slices, of their band, of the run
  logic [39:0] ask_left;  // bytes of a slice that no band before has
  wire ask_last_band = ask.one_run || ask_left <= ask.band_bytes;
  wire [39:0] ask_bytes = ask.one_run ? ask.bytes : ask_last_band ? ask_left : ask.band_bytes;
  wire [39:0] covered = ask_bytes + {34'd0, ask_run[5:0]} + 40'd63;
  wire ask_last_slice = ask.one_run || ask_slice + 16'd1 == ask.slices;
  wire ask_group_ends = !ask.pointwise || ask_bank == 4'd8 || ask_last_slice;
  wire [63:0] ask_next_band = ask_band + {24'd0, ask.band_bytes};
  wire [63:0] ask_next_run = ask_run + {24'd0, ask.plane};
  wire [63:0] ask_next_group = ask_group + {24'd0, ask.plane} + (ask.pointwise ? {21'd0, ask.plane, 3'd0} : 64'd0);
  load_cmd_t queued;
  logic queued_valid, queued_ready;

  assign cmd_ready_o = !asking && place_free;
  always_ff @(posedge clk_i) begin
    if (cmd_valid_i && cmd_ready_o) begin
      ask <= cmd_i;
      {ask_slice, ask_bank} <= '0;
      ask_group <= cmd_i.address;
      ask_band <= cmd_i.address;
      ask_run <= cmd_i.address;
      ask_left <= cmd_i.bytes;
      asking <= cmd_i.rows != 0;
    end else if (asking && run_ready) begin
      if (!ask_group_ends) begin  // the same band of the next slice
        ask_slice <= ask_slice + 16'd1;
        ask_bank <= ask_bank + 4'd1;
        ask_run <= ask_next_run;
      end else if (!ask_last_band) begin  // the next band of the same slices
        ask_slice <= ask_slice - {12'd0, ask_bank};
        ask_bank <= '0;
        ask_left <= ask_left - ask.band_bytes;
        ask_band <= ask_next_band;
        ask_run <= ask_next_band;
      end else begin
        ask_slice <= ask_slice + 16'd1;
        ask_bank <= '0;
        ask_left <= ask.bytes;
        ask_group <= ask_next_group;
        ask_band <= ask_next_group;
        ask_run <= ask_next_group;
        if (ask_last_slice) asking <= 1'b0;
      end
    end
    if (rst_i) asking <= 1'b0;
  end

  fifo #(.WIDTH($bits(load_cmd_t)), .DEPTH(8)) i_strips (
      .clk_i, .rst_i,
      .valid_i(cmd_valid_i && !asking), .ready_o(place_free), .data_i(cmd_i),
      .valid_o(queued_valid), .ready_i(queued_ready), .data_o(queued)
  );

  logic beat_valid, beat_ready;
  logic [BEAT_BITS-1:0] beat;
  read_port #(.DEPTH(DEPTH), .BURST(16)) i_port (
      .clk_i, .rst_i,
      .cmd_valid_i(asking), .cmd_ready_o(run_ready), .cmd_address_i({ask_run[63:6], 6'd0}),
      .cmd_beats_i(32'(covered >> 6)),
      .beat_valid_o(beat_valid), .beat_ready_i(beat_ready), .beat_data_o(beat),
      .arvalid_o, .arready_i, .araddr_o, .arlen_o, .rvalid_i, .rready_o, .rdata_i, .rresp_i, .rlast_i,
      .abort_i, .quiet_o, .error_o
  );

  // --- Placing: the words of a beat that belong to one row. ---
  logic placing;
  logic [1:0] done, released;  // strips in the banks, strips that are no longer needed
  logic [15:0] slice, band, row, column;  // `band`: first row of the band
  logic [63:0] group_address, band_address, run_address;
  logic [OFFSET_BITS-1:0] offset;  // of the next word in the beat
  logic [19:0] group_base, band_base, row_base, third;
  logic [1:0] row_class, column_class;
  logic [3:0] bank;

  wire [15:0] row_left = strip.width - column;
  wire [OFFSET_BITS:0] beat_left = (OFFSET_BITS + 1)'(BEAT_WORDS) - {1'b0, offset};
  logic [3:0] count;
  always_comb begin
    count = 4'(LOAD_WORDS);
    if (row_left < {12'd0, count}) count = row_left[3:0];
    if (32'(beat_left) < {28'd0, count}) count = 4'(beat_left);
  end
  wire place = placing && beat_valid;
  wire row_ends = row_left == {12'd0, count};
  wire last_band = strip.rows - band <= strip.band_rows;
  wire last_slice = slice + 16'd1 == strip.slices;
  wire group_ends = !strip.pointwise || bank == 4'd8 || last_slice;
  wire band_ends = row_ends && (row + 16'd1 == strip.rows || row + 16'd1 == band + strip.band_rows);
  wire strip_ends = band_ends && group_ends && last_band && last_slice;
  wire beat_ends = 32'(beat_left) == {28'd0, count};
  wire run_ends = strip_ends || (band_ends && !strip.one_run);
  assign beat_ready = place && (beat_ends || run_ends);
  wire start = !placing && queued_valid && 2'(done - released) != 2'd2;
  assign queued_ready = start;
  wire [2:0] columns_on = {1'b0, column_class} + 3'(count % 4'd3);
  wire wraps = columns_on >= 3'd3;
  wire [19:0] next_base = group_base + strip.slice_words;
  wire [63:0] following_band = band_address + {24'd0, strip.band_bytes};
  wire [63:0] following_group =
      group_address + {24'd0, strip.plane} + (strip.pointwise ? {21'd0, strip.plane, 3'd0} : 64'd0);
  wire [63:0] following_run = !group_ends ? run_address + {24'd0, strip.plane} : !last_band ? following_band : following_group;

  function automatic logic [OFFSET_BITS-1:0] word_offset(logic [5:0] byte_address);
    word_offset = BEAT_WORDS > 1 ? OFFSET_BITS'(byte_address >> WORD_SHIFT) : '0;
  endfunction

  always_ff @(posedge clk_i) begin
    if (start) begin
      strip <= queued;
      group_address <= queued.address;
      band_address <= queued.address;
      run_address <= queued.address;
      offset <= word_offset(queued.address[5:0]);
      {slice, band, row, column, group_base, band_base, row_base, third} <= '0;
      {row_class, column_class, bank} <= '0;
    end else if (place) begin
      if (BEAT_WORDS > 1) offset <= offset + OFFSET_BITS'(count);
      column <= column + {12'd0, count};
      column_class <= wraps ? 2'(columns_on - 3'd3) : columns_on[1:0];
      third <= third + {16'd0, count / 4'd3} + {19'd0, wraps};
      if (row_ends) begin
        {column, third, column_class} <= '0;
        row <= row + 16'd1;
        row_class <= row_class == 2'd2 ? '0 : row_class + 2'd1;
        if (strip.pointwise || row_class == 2'd2) row_base <= row_base + strip.row_words;
      end
      if (band_ends) next_run();
    end

    if (start) placing <= queued.rows != 0;
    else if (place && strip_ends) placing <= 1'b0;
    if ((start && queued.rows == 0) || (place && strip_ends)) done <= done + 2'd1;
    if (release_i) released <= released + 2'd1;
    if (rst_i) {placing, done, released} <= '0;
  end

  // The next slice of the band, the next band, or the next slices.
  task automatic next_run();
    run_address <= following_run;
    if (run_ends) offset <= word_offset(following_run[5:0]);
    if (!group_ends) begin
      slice <= slice + 16'd1;
      bank <= bank + 4'd1;
      row <= band;
      row_base <= band_base;
    end else if (!last_band) begin  // POINTWISE only: row_base already stands at the next row
      slice <= slice - {12'd0, bank};
      bank <= '0;
      band <= row + 16'd1;
      band_base <= row_base + strip.row_words;
      band_address <= following_band;
    end else begin
      slice <= slice + 16'd1;
      {bank, band, row, row_class} <= '0;
      group_base <= next_base;
      band_base <= next_base;
      row_base <= next_base;
      group_address <= following_group;
      band_address <= following_group;
    end
  endtask

  wire mine = placing && done == strip_i;
  assign loaded_o = done != strip_i;  // pad is never ahead of it
  // POINTWISE: rows of the last of nine slices, which needs the other eight.
  wire [15:0] last_of_nine = slice - {12'd0, bank} + 16'd8;
  wire [15:0] reported = strip.pointwise ? (last_of_nine < strip.slices ? last_of_nine : strip.slices - 16'd1) : slice;
  assign loaded_slices_o = mine ? reported : '0;
  assign loaded_rows_o = mine ? (strip.pointwise ? band : row) : '0;

  // --- One register stage to the banks. ---
  always_ff @(posedge clk_i) begin
    write_o <= place && !rst_i;
    if (place) begin
      write_buffer_o <= done[0];
      write_pointwise_o <= strip.pointwise;
      write_bank_o <= strip.pointwise ? bank : {2'd0, row_class};
      write_class_o <= column_class;
      write_address_o <= row_base + (strip.pointwise ? {4'd0, column} : third);
      write_count_o <= count;
      write_data_o <= (LOAD_WORDS*WORD)'(beat >> (32'(offset) * WORD));
    end
  end

endmodule
