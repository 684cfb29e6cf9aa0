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
  logic asking, place_free, run_ready, ask_last_slice;
  logic [15:0] ask_slice;
  logic [3:0] ask_bank;
  logic [63:0] ask_group, ask_band, ask_run;  // first bytes of the nine slices, of their band, of the run
  logic [39:0] ask_left;  // bytes of a slice that no band before has
  wire ask_last_band = ask.one_run || ask_left <= ask.band_bytes;
  wire [39:0] ask_bytes = ask.one_run ? ask.bytes : ask_last_band ? ask_left : ask.band_bytes;
  // A run goes through two registers, for its bytes and for its beats, so that the port's readiness does not reach the asking.
  logic run_valid, run_place, order_valid, order_ready;
  logic [63:0] run_from;
  logic [39:0] run_bytes;
  logic [57:0] order_beat;
  logic [31:0] order_beats;
  wire [39:0] covered = run_bytes + {34'd0, run_from[5:0]} + 40'd63;
  assign run_ready = !run_valid || run_place;
  always_ff @(posedge clk_i) begin
    if (run_ready) begin
      run_valid <= asking;
      run_from <= ask_run;
      run_bytes <= ask_bytes;
    end
    if (rst_i) run_valid <= 1'b0;
  end
  fifo #(.WIDTH(90), .DEPTH(2)) i_orders (
      .clk_i, .rst_i, .valid_i(run_valid), .ready_o(run_place), .data_i({run_from[63:6], 32'(covered >> 6)}),
      .valid_o(order_valid), .ready_i(order_ready), .data_o({order_beat, order_beats})
  );
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
      ask_last_slice <= cmd_i.one_run || cmd_i.slices == 16'd1;
      asking <= cmd_i.rows != 0;
    end else if (asking && run_ready) begin
      if (!ask_group_ends) begin  // the same band of the next slice
        ask_slice <= ask_slice + 16'd1;
        ask_last_slice <= ask_slice + 16'd2 == ask.slices;
        ask_bank <= ask_bank + 4'd1;
        ask_run <= ask_next_run;
      end else if (!ask_last_band) begin  // the next band of the same slices
        ask_slice <= ask_slice - {12'd0, ask_bank};
        ask_last_slice <= ask_last_slice && ask_bank == '0;
        ask_bank <= '0;
        ask_left <= ask_left - ask.band_bytes;
        ask_band <= ask_next_band;
        ask_run <= ask_next_band;
      end else begin
        ask_slice <= ask_slice + 16'd1;
        ask_last_slice <= ask_slice + 16'd2 == ask.slices;
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
      .cmd_valid_i(order_valid), .cmd_ready_o(order_ready), .cmd_address_i({order_beat, 6'd0}), .cmd_beats_i(order_beats),
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

  // The next placement: its words, whether they are the last of the row, of the beat. Registers, made when the one before is.
  typedef struct packed {
    logic [3:0] count;
    logic row_ends;
    logic beat_ends;
  } placement_t;
  function automatic placement_t placement(logic [15:0] in_row, logic [OFFSET_BITS:0] in_beat);
    logic row_first;  // the row ends before the beat, or with it
    row_first = in_row <= 16'(in_beat);
    placement.row_ends = in_row <= 16'(LOAD_WORDS) && row_first;
    placement.beat_ends = 32'(in_beat) <= LOAD_WORDS && 16'(in_beat) <= in_row;
    placement.count = placement.row_ends ? in_row[3:0] : placement.beat_ends ? 4'(in_beat) : 4'(LOAD_WORDS);
  endfunction
  placement_t now;
  logic [15:0] row_left, next_row_left;
  logic [OFFSET_BITS:0] beat_left, next_beat_left;
  wire [3:0] count = now.count;
  wire row_ends = now.row_ends;
  wire beat_ends = now.beat_ends;

  // Flags of the counters: the band's last row, a band of one row, the strip's last band, the last slice.
  logic last_row, one_row, last_band, last_slice;
  logic first_one_row, first_last_band;  // of a slice's first band
  logic [15:0] band_end;  // first row behind the band
  wire [15:0] first_band_end = strip.rows <= strip.band_rows ? strip.rows : strip.band_rows;
  wire [15:0] rows_behind = strip.rows - band_end;
  wire next_one_row = strip.band_rows == 16'd1 || rows_behind == 16'd1;
  wire next_last_band = rows_behind <= strip.band_rows;

  (* keep *) wire place = placing && beat_valid;
  wire group_ends = !strip.pointwise || bank == 4'd8 || last_slice;
  wire band_ends = row_ends && last_row;
  wire strip_ends = band_ends && group_ends && last_band && last_slice;
  wire run_ends = strip_ends || (band_ends && !strip.one_run);
  wire [19:0] next_base = group_base + strip.slice_words;
  wire [63:0] following_band = band_address + {24'd0, strip.band_bytes};
  wire [63:0] following_group =
      group_address + {24'd0, strip.plane} + (strip.pointwise ? {21'd0, strip.plane, 3'd0} : 64'd0);
  wire [63:0] following_run = !group_ends ? run_address + {24'd0, strip.plane} : !last_band ? following_band : following_group;
  function automatic logic [OFFSET_BITS-1:0] word_offset(logic [5:0] byte_address);
    word_offset = BEAT_WORDS > 1 ? OFFSET_BITS'(byte_address >> WORD_SHIFT) : '0;
  endfunction

  // Words of a beat from an address on.
  function automatic logic [OFFSET_BITS:0] beat_rest(logic [5:0] byte_address);
    beat_rest = (OFFSET_BITS + 1)'(BEAT_WORDS) - {1'b0, word_offset(byte_address)};
  endfunction

  always_comb begin
    next_row_left = row_ends ? strip.width : row_left - {12'd0, count};
    next_beat_left = run_ends ? beat_rest(following_run[5:0]) :
        beat_ends ? (OFFSET_BITS + 1)'(BEAT_WORDS) : beat_left - (OFFSET_BITS + 1)'(count);
  end
  assign beat_ready = place && (beat_ends || run_ends);
  wire start = !placing && queued_valid && 2'(done - released) != 2'd2;
  assign queued_ready = start;
  wire [2:0] columns_on = {1'b0, column_class} + 3'(count % 4'd3);
  wire wraps = columns_on >= 3'd3;
  always_ff @(posedge clk_i) begin
    if (start) begin
      strip <= queued;
      group_address <= queued.address;
      band_address <= queued.address;
      run_address <= queued.address;
      offset <= word_offset(queued.address[5:0]);
      row_left <= queued.width;
      beat_left <= beat_rest(queued.address[5:0]);
      now <= placement(queued.width, beat_rest(queued.address[5:0]));
      band_end <= queued.rows <= queued.band_rows ? queued.rows : queued.band_rows;
      {last_row, one_row, first_one_row} <= {3{queued.rows == 16'd1 || queued.band_rows == 16'd1}};
      {last_band, first_last_band} <= {2{queued.rows <= queued.band_rows}};
      last_slice <= queued.slices == 16'd1;
      {slice, band, row, column, group_base, band_base, row_base, third} <= '0;
      {row_class, column_class, bank} <= '0;
    end else if (place) begin
      if (BEAT_WORDS > 1) offset <= offset + OFFSET_BITS'(count);
      column <= column + {12'd0, count};
      row_left <= next_row_left;
      beat_left <= next_beat_left;
      now <= placement(next_row_left, next_beat_left);
      column_class <= wraps ? 2'(columns_on - 3'd3) : columns_on[1:0];
      third <= third + {16'd0, count / 4'd3} + {19'd0, wraps};
      if (row_ends) begin
        {column, third, column_class} <= '0;
        row <= row + 16'd1;
        last_row <= row + 16'd2 == band_end;
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
      last_slice <= slice + 16'd2 == strip.slices;
      bank <= bank + 4'd1;
      row <= band;
      last_row <= one_row;
      row_base <= band_base;
    end else if (!last_band) begin  // POINTWISE only: row_base already stands at the next row
      slice <= slice - {12'd0, bank};
      last_slice <= last_slice && bank == '0;
      bank <= '0;
      band <= row + 16'd1;
      band_end <= next_last_band ? strip.rows : band_end + strip.band_rows;
      {last_row, one_row} <= {2{next_one_row}};
      last_band <= next_last_band;
      band_base <= row_base + strip.row_words;
      band_address <= following_band;
    end else begin
      slice <= slice + 16'd1;
      last_slice <= slice + 16'd2 == strip.slices;
      {bank, band, row, row_class} <= '0;
      band_end <= first_band_end;
      {last_row, one_row} <= {2{first_one_row}};
      last_band <= first_last_band;
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
