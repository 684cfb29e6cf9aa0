// SPDX-License-Identifier: Apache-2.0
// write_part: one slice of the pixels that `write` takes: words packed into beats, and a burst announced when the last of its
// beats is stored. A word a clock; a beat is stored one clock after its last word.
module write_part #(
    parameter int WORD     = 64,  // bits of a word
    parameter int BURST    = 16,  // largest burst in beats; bursts end at multiples of it
    parameter int POSITION = 61,  // bits of a word address
    parameter int LOW      = 7,   // bits of a word's place in an aligned burst
    parameter int LENGTH   = 4    // bits of a burst's length
) (
    input  logic                clk_i,
    input  logic                rst_i,
    input  logic                word_valid_i,
    output logic                word_ready_o,
    input  logic [    WORD-1:0] word_data_i,
    input  logic [     LOW-1:0] word_low_i,        // its place
    input  logic [POSITION-1:0] word_position_i,   // its place, as announced
    input  logic                word_run_end_i,    // the next word lies elsewhere
    output logic                pending_o,         // a beat is to be stored
    output logic                beat_valid_o,
    input  logic                beat_ready_i,
    output logic [       511:0] beat_data_o,
    output logic [512/WORD-1:0] beat_words_o,      // words of the beat in use
    output logic                burst_valid_o,
    input  logic                burst_ready_i,
    output logic [POSITION-1:0] burst_position_o,  // the burst's last word
    output logic [  LENGTH-1:0] burst_length_o     // beats less one
);

  localparam int WORDS = 512 / WORD;
  localparam int BURSTS = 8;  // announced, not yet taken
  localparam int INDEX = WORDS == 1 ? 1 : $clog2(WORDS);

  logic [INDEX-1:0] index;
  logic beat_end, burst_end;

  if (WORDS == 1) begin : g_whole
    assign index    = 1'b0;
    assign beat_end = 1'b1;
  end else begin : g_words
    assign index    = word_low_i[INDEX-1:0];
    assign beat_end = word_run_end_i || index == '1;
  end

  assign burst_end = word_run_end_i || word_low_i == '1;

  // The beat in the making. `full_q`: it is to be stored, `last_q`: as the last one of its burst.
  logic full_q, last_q, fresh_q;
  logic [511:0] data_q;
  logic [WORDS-1:0] words_q;
  logic [LENGTH-1:0] before_q, length_q;
  logic [POSITION-1:0] position_q;
  logic beat_room, burst_room, store;

  assign store        = full_q && beat_room && (burst_room || !last_q);
  assign word_ready_o = !full_q || store;
  assign pending_o    = full_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      full_q   <= 1'b0;
      fresh_q  <= 1'b1;
      before_q <= '0;
    end else if (word_valid_i) begin
      full_q  <= beat_end;
      fresh_q <= beat_end;
      if (beat_end) before_q <= burst_end ? '0 : before_q + 1'b1;
    end else if (store) begin
      full_q <= 1'b0;
    end
  end

  always_ff @(posedge clk_i) begin
    if (word_valid_i) begin
      data_q[WORD*index+:WORD] <= word_data_i;
      words_q                  <= (fresh_q ? '0 : words_q) | WORDS'(1) << index;
      if (beat_end) begin
        last_q     <= burst_end;
        length_q   <= before_q;
        position_q <= word_position_i;
      end
    end
  end

  fifo #(
      .WIDTH(512 + WORDS),
      .DEPTH(2 * BURST)
  ) beats (
      .clk_i,
      .rst_i,
      .valid_i(store),
      .ready_o(beat_room),
      .data_i ({words_q, data_q}),
      .valid_o(beat_valid_o),
      .ready_i(beat_ready_i),
      .data_o ({beat_words_o, beat_data_o})
  );

  fifo #(
      .WIDTH(POSITION + LENGTH),
      .DEPTH(BURSTS)
  ) bursts (
      .clk_i,
      .rst_i,
      .valid_i(store && last_q),
      .ready_o(burst_room),
      .data_i ({position_q, length_q}),
      .valid_o(burst_valid_o),
      .ready_i(burst_ready_i),
      .data_o ({burst_position_o, burst_length_o})
  );

endmodule
