// SPDX-License-Identifier: Apache-2.0
// read_addend_turns: which beats read_addend asks for: the runs of an output group's parts side by side, up to TURN beats of
// each in turn; turns end at multiples of TURN beats. A turn a clock.
module read_addend_turns #(
    parameter int RATIO    = 1,
    parameter int TURN     = 16,
    parameter int WORDS    = 8,   // words of a beat
    parameter int POSITION = 61,  // bits of a word address
    parameter int PLANE    = 37,  // bits of the distance between two parts in words
    parameter int PART     = 1    // bits of a part's number
) (
    input  logic                    clk_i,
    input  logic                    rst_i,
    input  logic                    cmd_valid_i,
    output logic                    cmd_ready_o,
    input  logic [POSITION-1:0]     cmd_position_i,
    input  logic [PLANE-1:0]        cmd_plane_i,
    input  logic [31:0]             cmd_pixels_i,
    input  logic [31:0]             cmd_outs_i,
    input  logic [31:0]             cmd_slices_i,
    output logic                    turn_valid_o,
    input  logic                    turn_ready_i,
    output logic [57:0]             turn_beat_o,     // address / 64
    output logic [$clog2(TURN):0]   turn_length_o,
    output logic [PART-1:0]         turn_part_o
);

  localparam int OFFSET = $clog2(TURN);
  localparam int INDEX = $clog2(WORDS);

  logic busy_q, first_q, more_q;
  logic [PLANE-1:0] plane_q;
  logic [31:0] pixels_q, outs_q, slices_q;
  logic [PART-1:0] part_q;
  logic [POSITION-1:0] start_q;  // first word of the next part; of part_q in the first round

  // What is left of each part after the first round.
  logic [57:0] beats_q[RATIO];
  logic [31:0] lefts_q[RATIO];

  logic [32:0] span;  // from the beginning of the first beat to the last pixel's word
  logic [57:0] beat;
  logic [31:0] left;
  logic [OFFSET:0] to_boundary, length;
  logic exists, step, round_end, more, last;

  if (INDEX == 0) begin : g_whole
    assign span = {1'b0, pixels_q} - 33'd1;
  end else begin : g_words
    assign span = {1'b0, pixels_q} + 33'(start_q[INDEX-1:0]) - 33'd1;
  end

  assign exists        = slices_q > 32'(part_q);
  assign beat          = first_q ? start_q[POSITION-1-:58] : beats_q[part_q];
  assign left          = !exists ? '0 : first_q ? 32'(span >> INDEX) + 32'd1 : lefts_q[part_q];
  assign to_boundary   = (OFFSET + 1)'(TURN) - {1'b0, beat[OFFSET-1:0]};
  assign last          = left <= 32'(to_boundary);
  assign length        = last ? left[OFFSET:0] : to_boundary;
  assign turn_valid_o  = busy_q && left != '0;
  assign turn_beat_o   = beat;
  assign turn_length_o = length;
  assign turn_part_o   = part_q;
  assign step          = busy_q && (turn_ready_i || !turn_valid_o);
  assign round_end     = part_q == PART'(RATIO - 1);
  assign more          = more_q || !last;
  assign cmd_ready_o   = !busy_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) busy_q <= 1'b0;
    else if (cmd_ready_o) busy_q <= cmd_valid_i && cmd_pixels_i != '0;
    else if (step && round_end && !more && outs_q == 32'd1) busy_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (cmd_valid_i && cmd_ready_o) begin
      start_q  <= cmd_position_i;
      plane_q  <= cmd_plane_i;
      pixels_q <= cmd_pixels_i;
      outs_q   <= cmd_outs_i;
      slices_q <= cmd_slices_i;
      part_q   <= '0;
      first_q  <= 1'b1;
      more_q   <= 1'b0;
    end else if (step) begin
      part_q <= round_end ? '0 : part_q + 1'b1;
      more_q <= !round_end && more;
      if (first_q) start_q <= start_q + POSITION'(plane_q);
      if (round_end) begin
        first_q <= !more;
        if (!more) begin
          outs_q   <= outs_q - 32'd1;
          slices_q <= slices_q - 32'(RATIO);
        end
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (step) begin
      beats_q[part_q] <= beat + 58'(length);
      lefts_q[part_q] <= left - 32'(length);
    end
  end

endmodule
