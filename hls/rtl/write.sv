// SPDX-License-Identifier: Apache-2.0
// write: pixels to memory, each in its slices. A pixel a clock, if the memory takes CPO activations a clock; every run of
// words costs at least a clock for each slice. A strip starts after the last burst of the strip before has been announced.
module write #(
    parameter int CPI             = 8,
    parameter int CPO             = 8,
    parameter int ACTIVATION_BITS = 8
) (
    input  logic                           clk_i,
    input  logic                           rst_i,
    input  logic                           cmd_valid_i,
    output logic                           cmd_ready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [                   63:0] cmd_address_i,  // whole words: the lowest bits of these three are zero
    input  logic [                   39:0] cmd_plane_i,
    input  logic [                   39:0] cmd_row_i,
    // verilator lint_on UNUSEDSIGNAL
    input  logic [                   15:0] cmd_rows_i,
    input  logic [                   15:0] cmd_width_i,
    input  logic [                   15:0] cmd_repeat_y_i,
    input  logic [                   15:0] cmd_repeat_x_i,
    input  logic [                   31:0] cmd_outs_i,
    input  logic [                   31:0] cmd_slices_i,
    input  logic                           pixel_valid_i,
    output logic                           pixel_ready_o,
    input  logic [CPO*ACTIVATION_BITS-1:0] pixel_data_i,
    output logic                           awvalid_o,
    input  logic                           awready_i,
    output logic [                   63:0] awaddr_o,
    output logic [                    7:0] awlen_o,
    output logic                           wvalid_o,
    input  logic                           wready_i,
    output logic [                  511:0] wdata_o,
    output logic [                   63:0] wstrb_o,
    output logic                           wlast_o,
    input  logic                           bvalid_i,
    output logic                           bready_o,
    input  logic [                    1:0] bresp_i,
    input  logic                           abort_i,
    output logic                           idle_o,
    output logic                           quiet_o,
    output logic                           error_o
);

  localparam int WORD = CPI * ACTIVATION_BITS;
  localparam int RATIO = CPO / CPI;
  localparam int SHIFT = $clog2(WORD / 8);  // bytes of a word
  localparam int POSITION = 64 - SHIFT;     // bits of a word address
  localparam int PLANE = 40 - SHIFT;
  // Many parts get short bursts, so that no more than 64 beats are left when a strip ends.
  localparam int BURST = RATIO <= 4 ? 16 : 64 / RATIO;
  localparam int LENGTH = $clog2(BURST);
  localparam int LOW = $clog2(512 / WORD) + LENGTH;

  if (WORD < 16 || WORD > 512 || WORD != 8 << SHIFT || RATIO > 16 || CPO != CPI << $clog2(RATIO)) begin : g_check
    $error("write: a word has 2 to 64 bytes, a power of two; CPO is CPI times a power of two, at most 16");
  end

  // The strip under way.
  logic active_q, single_q;
  logic [PLANE-1:0] plane_q, step_y_q;
  logic [15:0] rows_q, width_q, repeat_y_q, repeat_x_q;
  logic [15:0] row_q, column_q, y_q, x_q;  // left, this one included
  logic [31:0] outs_q, slices_q;
  logic take, step, run_end, x_end, y_end, column_end, row_end;

  assign x_end      = x_q == 16'd1;
  assign y_end      = y_q == 16'd1;
  assign column_end = column_q == 16'd1;
  assign row_end    = row_q == 16'd1;
  // Rows follow each other, unless each is written several times.
  assign run_end    = x_end && (!single_q || (column_end && row_end));

  logic [RATIO-1:0] part_ready, part_pending;
  logic sent;

  assign cmd_ready_o   = !active_q && sent;
  assign take          = cmd_valid_i && cmd_ready_o;
  assign pixel_ready_o = active_q && (&part_ready) && !abort_i;
  assign step          = pixel_valid_i && pixel_ready_o;
  assign idle_o        = !active_q && sent && quiet_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) active_q <= 1'b0;
    else if (take) active_q <= cmd_rows_i != '0;
    else if (step && x_end && y_end && column_end && row_end && outs_q == 32'd1) active_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      plane_q    <= cmd_plane_i[39:SHIFT];
      step_y_q   <= cmd_row_i[39:SHIFT] - PLANE'(cmd_repeat_x_i) + 1'b1;
      rows_q     <= cmd_rows_i;
      width_q    <= cmd_width_i;
      repeat_y_q <= cmd_repeat_y_i;
      repeat_x_q <= cmd_repeat_x_i;
      single_q   <= cmd_repeat_y_i == 16'd1;
      row_q      <= cmd_rows_i;
      column_q   <= cmd_width_i;
      y_q        <= cmd_repeat_y_i;
      x_q        <= cmd_repeat_x_i;
      outs_q     <= cmd_outs_i;
      slices_q   <= cmd_slices_i;
    end else if (step) begin
      x_q <= x_end ? repeat_x_q : x_q - 16'd1;
      if (x_end) y_q <= y_end ? repeat_y_q : y_q - 16'd1;
      if (x_end && y_end) column_q <= column_end ? width_q : column_q - 16'd1;
      if (x_end && y_end && column_end) row_q <= row_end ? rows_q : row_q - 16'd1;
      if (x_end && y_end && column_end && row_end) begin
        outs_q   <= outs_q - 32'd1;
        slices_q <= slices_q - 32'(RATIO);
      end
    end
  end

  // Where the pixel's word lies in the first part. The copies of a pixel below each other are a written row apart.
  logic [POSITION-1:0] position_q, pixel_q, group_q, right, next;
  logic top_q;  // the first of the copies below each other

  assign right = position_q + 1'b1;
  assign next  = x_end && !y_end ? position_q + POSITION'(step_y_q) : right;

  always_ff @(posedge clk_i) begin
    if (take) begin
      position_q <= cmd_address_i[63:SHIFT];
      group_q    <= cmd_address_i[63:SHIFT] + (POSITION'(cmd_plane_i[39:SHIFT]) << $clog2(RATIO));
      top_q      <= 1'b1;
    end else if (step) begin
      if (x_end) top_q <= y_end;
      if (x_end && top_q) pixel_q <= right;
      if (x_end && y_end && column_end && row_end) begin
        position_q <= group_q;
        group_q    <= group_q + (POSITION'(plane_q) << $clog2(RATIO));
      end else begin
        position_q <= x_end && y_end && !column_end && !single_q ? pixel_q : next;
      end
    end
  end

  // The parts, and the port that they share.
  logic [RATIO-1:0] beat_valid, beat_ready, burst_valid, burst_ready;
  logic [RATIO*512-1:0] beat_data;
  logic [RATIO*512/WORD-1:0] beat_words;
  logic [RATIO*POSITION-1:0] burst_position;
  logic [RATIO*LENGTH-1:0] burst_length;
  logic [RATIO*LOW-1:0] distance;  // from the first part, as far as a word's place in an aligned burst matters
  logic send_empty;

  assign sent = send_empty && part_pending == '0;

  for (genvar part = 0; part < RATIO; part++) begin : g_part
    if (part == 0) begin : g_first
      assign distance[LOW-1:0] = '0;
    end else begin : g_further
      localparam int TOP = $clog2(part + 1) - 1;
      assign distance[LOW*part+:LOW] = distance[LOW*(part-(1<<TOP))+:LOW] + (plane_q[LOW-1:0] << TOP);
    end

    write_part #(
        .WORD    (WORD),
        .BURST   (BURST),
        .POSITION(POSITION),
        .LOW     (LOW),
        .LENGTH  (LENGTH)
    ) words (
        .clk_i,
        .rst_i,
        .word_valid_i    (step && slices_q > 32'(part)),
        .word_ready_o    (part_ready[part]),
        .word_data_i     (pixel_data_i[WORD*part+:WORD]),
        .word_low_i      (position_q[LOW-1:0] + distance[LOW*part+:LOW]),
        .word_position_i (position_q),
        .word_run_end_i  (run_end),
        .pending_o       (part_pending[part]),
        .beat_valid_o    (beat_valid[part]),
        .beat_ready_i    (beat_ready[part]),
        .beat_data_o     (beat_data[512*part+:512]),
        .beat_words_o    (beat_words[512/WORD*part+:512/WORD]),
        .burst_valid_o   (burst_valid[part]),
        .burst_ready_i   (burst_ready[part]),
        .burst_position_o(burst_position[POSITION*part+:POSITION]),
        .burst_length_o  (burst_length[LENGTH*part+:LENGTH])
    );
  end

  write_send #(
      .WORD    (WORD),
      .RATIO   (RATIO),
      .BURST   (BURST),
      .POSITION(POSITION),
      .LENGTH  (LENGTH),
      .PLANE   (PLANE)
  ) sender (
      .clk_i,
      .rst_i,
      .plane_i         (plane_q),
      .burst_valid_i   (burst_valid),
      .burst_ready_o   (burst_ready),
      .burst_position_i(burst_position),
      .burst_length_i  (burst_length),
      .beat_valid_i    (beat_valid),
      .beat_ready_o    (beat_ready),
      .beat_data_i     (beat_data),
      .beat_words_i    (beat_words),
      .awvalid_o,
      .awready_i,
      .awaddr_o,
      .awlen_o,
      .wvalid_o,
      .wready_i,
      .wdata_o,
      .wstrb_o,
      .wlast_o,
      .bvalid_i,
      .bready_o,
      .bresp_i,
      .abort_i,
      .empty_o         (send_empty),
      .quiet_o,
      .error_o
  );

endmodule
