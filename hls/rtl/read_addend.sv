// SPDX-License-Identifier: Apache-2.0
// read_addend: the second operand of the residual add, a pixel a clock, in the order of the array. The slices of an output
// group are read side by side, some beats of each in turn. Reads ahead as far as its FIFOs go, also into the next strip.
module read_addend #(
    parameter int CPI             = 8,
    parameter int CPO             = 8,
    parameter int ACTIVATION_BITS = 8,
    parameter int DEPTH           = 128
) (
    input  logic                           clk_i,
    input  logic                           rst_i,
    input  logic                           cmd_valid_i,
    output logic                           cmd_ready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [                   63:0] cmd_address_i,   // whole words: the lowest bits of these two are zero
    input  logic [                   39:0] cmd_plane_i,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [                   31:0] cmd_pixels_i,
    input  logic [                   31:0] cmd_outs_i,
    input  logic [                   31:0] cmd_slices_i,
    output logic                           addend_valid_o,
    input  logic                           addend_ready_i,
    output logic [CPO*ACTIVATION_BITS-1:0] addend_data_o,
    output logic                           arvalid_o,
    input  logic                           arready_i,
    output logic [                   63:0] araddr_o,
    output logic [                    7:0] arlen_o,
    input  logic                           rvalid_i,
    output logic                           rready_o,
    input  logic [                  511:0] rdata_i,
    input  logic [                    1:0] rresp_i,
    input  logic                           rlast_i,
    input  logic                           abort_i,
    output logic                           quiet_o,
    output logic                           error_o
);

  localparam int WORD = CPI * ACTIVATION_BITS;
  localparam int RATIO = CPO / CPI;
  localparam int SHIFT = $clog2(WORD / 8);  // bytes of a word
  // Beats of one part in turn. A part never runs further ahead of another than two turns, so its FIFO cannot block.
  localparam int TURN = RATIO <= 4 ? 16 : 64 / RATIO;

  if (WORD < 16 || WORD > 512 || WORD != 8 << SHIFT || RATIO > 16 || CPO != CPI << $clog2(RATIO)) begin : g_check
    $error("read_addend: a word has 2 to 64 bytes, a power of two; CPO is CPI times a power of two, at most 16");
  end
  localparam int WORDS = 512 / WORD;
  localparam int INDEX = WORDS == 1 ? 1 : $clog2(WORDS);
  localparam int LENGTH = $clog2(TURN) + 1;
  localparam int PART = RATIO == 1 ? 1 : $clog2(RATIO);
  localparam int TURNS = 32;  // under way

  // A strip goes to both ends: to what asks for beats, and to what makes pixels of them.
  logic any, turns_ready, order_ready, order_valid, order_take;
  logic [INDEX-1:0] order_index, order_plane;
  logic [31:0] order_pixels, order_outs, order_slices;

  assign any         = cmd_pixels_i != '0;
  assign cmd_ready_o = turns_ready && order_ready;

  fifo #(
      .WIDTH(2 * INDEX + 96),
      .DEPTH(2)
  ) orders (
      .clk_i,
      .rst_i,
      .valid_i(cmd_valid_i && turns_ready && any),
      .ready_o(order_ready),
      .data_i ({cmd_address_i[SHIFT+:INDEX], cmd_plane_i[SHIFT+:INDEX], cmd_pixels_i, cmd_outs_i, cmd_slices_i}),
      .valid_o(order_valid),
      .ready_i(order_take),
      .data_o ({order_index, order_plane, order_pixels, order_outs, order_slices})
  );

  logic turn_valid, turn_ready, tag_ready, port_ready;
  logic [57:0] turn_beat;
  logic [LENGTH-1:0] turn_length;
  logic [PART-1:0] turn_part;

  assign turn_ready = tag_ready && port_ready;

  read_addend_turns #(
      .RATIO   (RATIO),
      .TURN    (TURN),
      .WORDS   (WORDS),
      .POSITION(64 - SHIFT),
      .PLANE   (40 - SHIFT),
      .PART    (PART)
  ) turns (
      .clk_i,
      .rst_i,
      .cmd_valid_i   (cmd_valid_i && order_ready),
      .cmd_ready_o   (turns_ready),
      .cmd_position_i(cmd_address_i[63:SHIFT]),
      .cmd_plane_i   (cmd_plane_i[39:SHIFT]),
      .cmd_pixels_i,
      .cmd_outs_i,
      .cmd_slices_i,
      .turn_valid_o  (turn_valid),
      .turn_ready_i  (turn_ready),
      .turn_beat_o   (turn_beat),
      .turn_length_o (turn_length),
      .turn_part_o   (turn_part)
  );

  logic beat_valid, beat_ready;
  logic [511:0] beat;

  read_port #(
      .DEPTH(DEPTH),
      .BURST(TURN)
  ) port (
      .clk_i,
      .rst_i,
      .cmd_valid_i  (turn_valid && tag_ready),
      .cmd_ready_o  (port_ready),
      .cmd_address_i({turn_beat, 6'd0}),
      .cmd_beats_i  (32'(turn_length)),
      .beat_valid_o (beat_valid),
      .beat_ready_i (beat_ready),
      .beat_data_o  (beat),
      .arvalid_o,
      .arready_i,
      .araddr_o,
      .arlen_o,
      .rvalid_i,
      .rready_o,
      .rdata_i,
      .rresp_i,
      .rlast_i,
      .abort_i,
      .quiet_o,
      .error_o
  );

  // Beats to their parts.
  logic [RATIO-1:0] part_valid, part_ready;
  logic [RATIO*512-1:0] part_beat;

  if (RATIO == 1) begin : g_single
    assign tag_ready  = 1'b1;
    assign beat_ready = part_ready;
    assign part_valid = beat_valid;
    assign part_beat  = beat;
    // verilator lint_off UNUSEDSIGNAL
    logic unused;  // there is but one part
    assign unused = turn_part;
    // verilator lint_on UNUSEDSIGNAL
  end else begin : g_parts
    logic tag_valid, turn_end;
    logic [LENGTH-1:0] tag_length, seen_q;
    logic [PART-1:0] tag_part;
    logic [RATIO-1:0] room;

    assign beat_ready = tag_valid && room[tag_part];
    assign turn_end   = beat_valid && beat_ready && seen_q == tag_length - 1'b1;

    always_ff @(posedge clk_i) begin
      if (rst_i) seen_q <= '0;
      else if (beat_valid && beat_ready) seen_q <= turn_end ? '0 : seen_q + 1'b1;
    end

    fifo #(
        .WIDTH(PART + LENGTH),
        .DEPTH(TURNS)
    ) tags (
        .clk_i,
        .rst_i,
        .valid_i(turn_valid && port_ready),
        .ready_o(tag_ready),
        .data_i ({turn_part, turn_length}),
        .valid_o(tag_valid),
        .ready_i(turn_end),
        .data_o ({tag_part, tag_length})
    );

    for (genvar part = 0; part < RATIO; part++) begin : g_part
      fifo #(
          .WIDTH(512),
          .DEPTH(2 * TURN)
      ) beats (
          .clk_i,
          .rst_i,
          .valid_i(beat_valid && tag_valid && tag_part == PART'(part)),
          .ready_o(room[part]),
          .data_i (beat),
          .valid_o(part_valid[part]),
          .ready_i(part_ready[part]),
          .data_o (part_beat[512*part+:512])
      );
    end
  end

  read_addend_join #(
      .WORD (WORD),
      .RATIO(RATIO),
      .INDEX(INDEX)
  ) join_parts (
      .clk_i,
      .rst_i,
      .cmd_valid_i  (order_valid),
      .cmd_ready_o  (order_take),
      .cmd_index_i  (order_index),
      .cmd_plane_i  (order_plane),
      .cmd_pixels_i (order_pixels),
      .cmd_outs_i   (order_outs),
      .cmd_slices_i (order_slices),
      .beat_valid_i (part_valid),
      .beat_ready_o (part_ready),
      .beat_data_i  (part_beat),
      .pixel_valid_o(addend_valid_o),
      .pixel_ready_i(addend_ready_i),
      .pixel_data_o (addend_data_o)
  );

endmodule
