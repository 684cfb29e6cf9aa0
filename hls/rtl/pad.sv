// SPDX-License-Identifier: Apache-2.0
// pad: for every row of frames, where its taps lie in the banks and which of them are padding. A row a clock; padding costs nothing.
module pad
  import kernel_pkg::*;
(
    input logic clk_i,
    input logic rst_i,
    // verilator lint_off UNUSEDSIGNAL
    input descriptor_pkg::layer_descriptor_t layer_i,  // neither takes all of it
    input shape_t shape_i,
    // verilator lint_on UNUSEDSIGNAL
    // one strip
    input logic cmd_valid_i,
    output logic cmd_ready_o,
    input pad_cmd_t cmd_i,
    // how far the strip is loaded: all of it, or whole slices and rows of the slice behind them
    output logic [1:0] strip_o,  // number of the strip, modulo 4
    input logic loaded_i,
    input logic [15:0] loaded_slices_i,
    input logic [15:0] loaded_rows_i,
    // rows
    output logic row_valid_o,
    input logic row_ready_i,
    output frame_row_t row_o
);
  typedef enum logic [1:0] {IDLE, SECOND, THIRD, RUN} state_t;
  typedef coordinate_t [2:0] axis_t;

  state_t state;
  logic [15:0] in_rows, map_rows;
  logic [19:0] slice_words;
  axis_t rows, pass_rows, first_rows, columns, first_columns;
  logic [15:0] row, window_y, window_x, step;
  logic [1:0] plane;
  logic [31:0] out;
  logic [15:0] last_slice, slices_left;
  logic [19:0] step_words;

  // What the layer is, decoded once; it stands still from before its first strip.
  logic pointwise, one_window_x, one_window_y, one_step, one_plane, one_out;
  logic [15:0] first_last_slice;  // last slice of the first step
  logic [2:0] used_rows, used_columns;
  logic [1:0] lowest_tap;
  always_ff @(posedge clk_i) begin
    pointwise <= layer_i.op == descriptor_pkg::OP_POINTWISE;
    one_window_x <= layer_i.windows_x[15:0] == 16'd1;
    one_window_y <= layer_i.windows_y[15:0] == 16'd1;
    one_step <= shape_i.steps == 16'd1;
    one_plane <= layer_i.weight_planes[1:0] == 2'd1;
    one_out <= layer_i.out_count == 32'd1;
    first_last_slice <= !pointwise ? 16'd0 : layer_i.in_slices > 32'd9 ? 16'd8 : layer_i.in_slices[15:0] - 16'd1;
    used_rows <= 3'((4'd1 << layer_i.taps_y[1:0]) - 4'd1);
    used_columns <= 3'((4'd1 << layer_i.taps_x[1:0]) - 4'd1);
    lowest_tap <= 2'(layer_i.taps_y[1:0] - 2'd1);
  end

  // Counters that stand at their ends, and first ones at their beginnings.
  logic one_row, last_row, last_window_x, last_window_y, last_step, last_plane, last_out, first_row, first_pass;
  wire last_pass = last_window_x && last_window_y && last_step && last_plane;

  function automatic axis_t move_axis(axis_t from, coordinate_t by, logic [19:0] carry);
    for (int k = 0; k < 3; ++k) move_axis[k] = move(from[k], by, carry);
  endfunction

  // What a row needs is in the banks: the strip, all slices of the pass, or the rows down to its lowest tap. Registers say so, from
  // the clock after the one in which they could know; the last two are forgotten when the input step or the row changes.
  logic strip_loaded, slices_loaded, rows_loaded;
  logic [15:0] loaded_slices, loaded_rows;
  wire signed [31:0] lowest = rows[lowest_tap].at;
  (* keep *) logic emit;
  logic spare_valid;
  assign emit = state == RUN && (strip_loaded || slices_loaded || rows_loaded) && !spare_valid;
  always_ff @(posedge clk_i) begin
    strip_loaded <= loaded_i;
    loaded_slices <= loaded_slices_i;
    loaded_rows <= loaded_rows_i;
    slices_loaded <= state == RUN && !(emit && last_row && last_window_x && last_window_y) && loaded_slices > last_slice;
    rows_loaded <= state == RUN && !emit && (lowest < 0 || (loaded_slices == last_slice &&
        (signed'({16'd0, loaded_rows}) > lowest || loaded_rows >= in_rows)));
  end

  assign cmd_ready_o = state == IDLE;

  // Taps not in use take a neighbour's place, so that the residues of the three always differ.
  localparam coordinate_t NEXT = '{at: 32'sd1, word: 20'd0, residue: 2'd1};
  coordinate_t dilation_y, dilation_x;
  always_ff @(posedge clk_i) begin
    dilation_y <= layer_i.taps_y > 32'd1 ? shape_i.dilation_y : NEXT;
    dilation_x <= layer_i.taps_x > 32'd1 ? shape_i.dilation_x : NEXT;
  end

  always_ff @(posedge clk_i) begin
    case (state)
      IDLE:
      if (cmd_valid_i) begin
        in_rows <= cmd_i.in_rows;
        map_rows <= cmd_i.map_rows;
        one_row <= cmd_i.map_rows == 16'd1;
        slice_words <= cmd_i.slice_words;
        first_rows[0] <= cmd_i.first_y;
        first_columns[0] <= shape_i.first_x;
        state <= SECOND;
      end
      SECOND: begin
        first_rows[1] <= move(first_rows[0], dilation_y, shape_i.row_carry);
        first_columns[1] <= move(first_columns[0], dilation_x, 20'd1);
        state <= THIRD;
      end
      THIRD: begin
        first_rows[2] <= move(first_rows[1], dilation_y, shape_i.row_carry);
        first_columns[2] <= move(first_columns[1], dilation_x, 20'd1);
        rows <= {move(first_rows[1], dilation_y, shape_i.row_carry), first_rows[1], first_rows[0]};
        pass_rows <= {move(first_rows[1], dilation_y, shape_i.row_carry), first_rows[1], first_rows[0]};
        columns <= {move(first_columns[1], dilation_x, 20'd1), first_columns[1], first_columns[0]};
        {row, window_y, window_x, step, plane, out, step_words} <= '0;
        {first_row, first_pass} <= '1;
        last_row <= one_row;
        last_window_x <= one_window_x;
        last_window_y <= one_window_y;
        last_step <= one_step;
        last_plane <= one_plane;
        last_out <= one_out;
        last_slice <= first_last_slice;
        slices_left <= layer_i.in_slices[15:0];
        state <= RUN;
      end
      RUN: if (emit) begin
        first_row <= last_row;
        if (!last_row) begin
          row <= row + 16'd1;
          last_row <= row + 16'd2 == map_rows;
          rows <= move_axis(rows, shape_i.stride_y, shape_i.row_carry);
        end else begin
          row <= '0;
          last_row <= one_row;
          next_pass();
        end
      end
    endcase
    if (rst_i) begin
      state <= IDLE;
      strip_o <= '0;
    end else if (emit && last_row && last_pass && last_out) begin
      state <= IDLE;
      strip_o <= strip_o + 2'd1;
    end
  end

  // Window column, window row, input step, plane, output group: the first that is not at its end moves on.
  task automatic next_pass();
    axis_t lower;
    lower = move_axis(pass_rows, shape_i.step_y, shape_i.row_carry);
    first_pass <= last_pass;
    if (!last_window_x) begin
      window_x <= window_x + 16'd1;
      last_window_x <= window_x + 16'd2 == layer_i.windows_x[15:0];
      columns <= move_axis(columns, shape_i.step_x, 20'd1);
      rows <= pass_rows;
    end else begin
      window_x <= '0;
      last_window_x <= one_window_x;
      columns <= first_columns;
      if (!last_window_y) begin
        window_y <= window_y + 16'd1;
        last_window_y <= window_y + 16'd2 == layer_i.windows_y[15:0];
        rows <= lower;
        pass_rows <= lower;
      end else begin
        window_y <= '0;
        last_window_y <= one_window_y;
        rows <= first_rows;
        pass_rows <= first_rows;
        if (!last_step) begin
          step <= step + 16'd1;
          last_step <= step + 16'd2 == shape_i.steps;
          step_words <= step_words + slice_words;
          last_slice <= !pointwise ? last_slice + 16'd1 : slices_left > 16'd18 ? last_slice + 16'd9 : layer_i.in_slices[15:0] - 16'd1;
          slices_left <= slices_left - 16'd9;
        end else begin
          step <= '0;
          last_step <= one_step;
          step_words <= '0;
          last_slice <= first_last_slice;
          slices_left <= layer_i.in_slices[15:0];
          if (!last_plane) begin
            plane <= plane + 2'd1;
            last_plane <= plane + 2'd2 == layer_i.weight_planes[1:0];
          end else begin
            plane <= '0;
            last_plane <= one_plane;
            out <= out + 32'd1;
            last_out <= out + 32'd2 == layer_i.out_count;
          end
        end
      end
    end
  endtask

  // The row as cvt sees it.
  frame_row_t next_row;
  always_comb begin
    next_row.columns = columns;
    for (int k = 0; k < 3; ++k) begin
      next_row.in_map[k] = rows[pointwise ? 0 : k].at >= 0 && rows[pointwise ? 0 : k].at < signed'({16'd0, in_rows});
      next_row.row_class[k] = pointwise ? 2'(k) : rows[k].residue;
      next_row.word[k] = rows[0].word + step_words;
      for (int tap = 0; tap < 3; ++tap) begin
        if (!pointwise && rows[tap].residue == 2'(k)) next_row.word[k] = rows[tap].word + step_words;
      end
      for (int tap = 0; tap < 3; ++tap) begin
        next_row.used[3*k+tap] = pointwise ? slices_left > 16'(3 * k + tap) : used_rows[k] && used_columns[tap];
      end
    end
    next_row.first_row = first_row;
    next_row.last_row = last_row;
    next_row.first_pass = first_pass;
    next_row.last_pass = last_pass;
    next_row.last_of_strip = last_row && last_pass && last_out;
    next_row.buffer = strip_o[0];
  end

  // A place for one more row, so that `emit` does not wait for what takes them.
  frame_row_t spare;
  always_ff @(posedge clk_i) begin
    if (!row_valid_o || row_ready_i) begin
      row_o <= spare_valid ? spare : next_row;
      row_valid_o <= spare_valid || emit;
      spare_valid <= 1'b0;
    end else if (emit) begin
      spare_valid <= 1'b1;
    end
    if (!spare_valid) spare <= next_row;
    if (rst_i) {row_valid_o, spare_valid} <= '0;
  end

endmodule
