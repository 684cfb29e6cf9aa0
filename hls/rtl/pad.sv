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

  wire pointwise = layer_i.op == descriptor_pkg::OP_POINTWISE;
  wire last_row = row + 16'd1 == map_rows;
  wire last_window_x = window_x + 16'd1 == layer_i.windows_x[15:0];
  wire last_window_y = window_y + 16'd1 == layer_i.windows_y[15:0];
  wire last_step = step + 16'd1 == shape_i.steps;
  wire last_plane = plane + 2'd1 == layer_i.weight_planes[1:0];
  wire last_out = out + 32'd1 == layer_i.out_count;
  wire first_pass = window_x == 0 && window_y == 0 && step == 0 && plane == 0;
  wire last_pass = last_window_x && last_window_y && last_step && last_plane;

  function automatic axis_t move_axis(axis_t from, coordinate_t by, logic [19:0] carry);
    for (int k = 0; k < 3; ++k) move_axis[k] = move(from[k], by, carry);
  endfunction

  // Rows of the slice that the row's taps touch; the ones above them have been loaded before.
  wire signed [31:0] reach = rows[2'(layer_i.taps_y[1:0] - 2'd1)].at + 32'sd1;
  wire signed [31:0] available = signed'({16'd0, in_rows});
  wire signed [31:0] needed = reach > available ? available : reach;
  wire is_loaded = loaded_i || needed <= 0 || loaded_slices_i > last_slice ||
      (loaded_slices_i == last_slice && signed'({16'd0, loaded_rows_i}) >= needed);
  wire emit = state == RUN && is_loaded && (!row_valid_o || row_ready_i);

  assign cmd_ready_o = state == IDLE;

  // Taps not in use take a neighbour's place, so that the residues of the three always differ.
  localparam coordinate_t NEXT = '{at: 32'sd1, word: 20'd0, residue: 2'd1};
  coordinate_t dilation_y, dilation_x;
  always_comb begin
    dilation_y = layer_i.taps_y > 32'd1 ? shape_i.dilation_y : NEXT;
    dilation_x = layer_i.taps_x > 32'd1 ? shape_i.dilation_x : NEXT;
  end

  always_ff @(posedge clk_i) begin
    case (state)
      IDLE:
      if (cmd_valid_i) begin
        in_rows <= cmd_i.in_rows;
        map_rows <= cmd_i.map_rows;
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
        last_slice <= pointwise ? (layer_i.in_slices > 32'd9 ? 16'd8 : layer_i.in_slices[15:0] - 16'd1) : 16'd0;
        slices_left <= layer_i.in_slices[15:0];
        state <= RUN;
      end
      RUN: if (emit) begin
        if (!last_row) begin
          row <= row + 16'd1;
          rows <= move_axis(rows, shape_i.stride_y, shape_i.row_carry);
        end else begin
          row <= '0;
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
    if (!last_window_x) begin
      window_x <= window_x + 16'd1;
      columns <= move_axis(columns, shape_i.step_x, 20'd1);
      rows <= pass_rows;
    end else begin
      window_x <= '0;
      columns <= first_columns;
      if (!last_window_y) begin
        window_y <= window_y + 16'd1;
        rows <= lower;
        pass_rows <= lower;
      end else begin
        window_y <= '0;
        rows <= first_rows;
        pass_rows <= first_rows;
        if (!last_step) begin
          step <= step + 16'd1;
          step_words <= step_words + slice_words;
          last_slice <= !pointwise ? last_slice + 16'd1 : slices_left > 16'd18 ? last_slice + 16'd9 : layer_i.in_slices[15:0] - 16'd1;
          slices_left <= slices_left - 16'd9;
        end else begin
          step <= '0;
          step_words <= '0;
          last_slice <= pointwise ? (layer_i.in_slices > 32'd9 ? 16'd8 : layer_i.in_slices[15:0] - 16'd1) : 16'd0;
          slices_left <= layer_i.in_slices[15:0];
          if (!last_plane) begin
            plane <= plane + 2'd1;
          end else begin
            plane <= '0;
            out <= out + 32'd1;
          end
        end
      end
    end
  endtask

  // The row as cvt sees it.
  frame_row_t next_row;
  wire [2:0] used_rows = 3'((4'd1 << layer_i.taps_y[1:0]) - 4'd1);
  wire [2:0] used_columns = 3'((4'd1 << layer_i.taps_x[1:0]) - 4'd1);
  always_comb begin
    next_row.columns = columns;
    for (int k = 0; k < 3; ++k) begin
      next_row.in_map[k] = rows[pointwise ? 0 : k].at >= 0 && rows[pointwise ? 0 : k].at < available;
      next_row.row_class[k] = pointwise ? 2'(k) : rows[k].residue;
      next_row.word[k] = rows[0].word + step_words;
      for (int tap = 0; tap < 3; ++tap) begin
        if (!pointwise && rows[tap].residue == 2'(k)) next_row.word[k] = rows[tap].word + step_words;
      end
      for (int tap = 0; tap < 3; ++tap) begin
        next_row.used[3*k+tap] = pointwise ? slices_left > 16'(3 * k + tap) : used_rows[k] && used_columns[tap];
      end
    end
    next_row.first_row = row == 0;
    next_row.last_row = last_row;
    next_row.first_pass = first_pass;
    next_row.last_pass = last_pass;
    next_row.last_of_strip = last_row && last_pass && last_out;
    next_row.buffer = strip_o[0];
  end

  always_ff @(posedge clk_i) begin
    if (emit) row_o <= next_row;
    if (rst_i) row_valid_o <= 1'b0;
    else if (emit) row_valid_o <= 1'b1;
    else if (row_ready_i) row_valid_o <= 1'b0;
  end

endmodule
