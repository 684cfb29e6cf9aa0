// SPDX-License-Identifier: Apache-2.0
// schedule: reads the descriptors of a launch and hands the strips of one layer after the other to the units. While a layer computes, the
// next one is read, checked and set up, and its weights and lane parameters are fetched; its first strip begins when the last response to
// the layer's writes has arrived. Whatever goes wrong ends in a stop that leaves no transfer open.
module schedule
  import kernel_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned BANK_WORDS = 4096,
    parameter int unsigned ACCUMULATOR_PIXELS = 8192,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024
) (
    input logic clk_i,
    input logic rst_i,
    // launch
    input logic start_i,
    output logic done_o,
    output logic idle_o,
    output logic [31:0] status_o,
    input logic [63:0] program_i,
    input logic [63:0] act_in_i,
    input logic [63:0] act_add_i,
    input logic [63:0] act_out_i,
    input logic [31:0] first_i,
    input logic [31:0] count_i,
    output logic log_write_o,
    output logic [9:0] log_index_o,
    output logic [127:0] log_data_o,
    output logic [31:0] debug_o,
    // descriptors
    output logic fetch_valid_o,
    input logic fetch_ready_i,
    output logic [63:0] fetch_address_o,
    input logic beat_valid_i,
    output logic beat_ready_o,
    input logic [BEAT_BITS-1:0] beat_i,
    // the layer that executes
    output layer_descriptor_t layer_o,
    output shape_t shape_o,
    // what is fetched ahead
    output logic weights_valid_o,
    input logic weights_ready_i,
    output logic block_valid_o,
    input logic block_ready_i,
    output logic lanes_valid_o,
    input logic lanes_ready_i,
    output layer_descriptor_t next_o,
    output layer_plan_t plan_o,
    // strips
    output logic [4:0] strip_valid_o,  // load, pad, pool, addend, write
    input logic [4:0] strip_ready_i,
    output load_cmd_t load_o,
    output pad_cmd_t pad_o,
    output pool_cmd_t pool_o,
    output addend_cmd_t addend_o,
    output write_cmd_t write_o,
    input logic frame_i,  // a frame enters the array
    input logic drained_i,  // no command waits and every write has its response
    // the stop
    input logic memory_error_i,
    input logic stop_i,  // the host gives the launch up
    input logic [31:0] watchdog_i,  // clocks without progress after which the launch ends; 0: any number
    input logic progress_i,  // a frame or a beat of a port
    output logic abort_o,
    input logic quiet_i,  // no transfer is open
    output logic soft_reset_o
);
  localparam int unsigned RATIO_SHIFT = $clog2(CPO / CPI);
  localparam int unsigned BEAT_WORDS = BEAT_BITS / (CPI * ACTIVATION_BITS);
  localparam int unsigned LOAD_WORDS = BEAT_WORDS < 8 ? BEAT_WORDS : 8;

  typedef enum logic [3:0] {
    IDLE, FETCH, COLLECT, CHECK, SETUP, STRIP, ADDRESS, BARRIER, ISSUE, NEXT, LAST_LAYER, REFUSE, ABORT, RESET, DONE
  } state_t;
  state_t state;

  layer_descriptor_t d;
  layer_plan_t plan;
  logic [31:0] index, remaining, clock, beats, status;
  logic [7:0] code;
  logic published;  // this layer executes
  logic weights_pending, block_pending, lanes_pending;
  logic [31:0] group, strip, strip_row;
  logic [39:0] group_in, group_add, group_out;
  logic [4:0] issue_pending;
  logic setup_start, setup_done, strip_start, strip_done, too_big;
  logic [2:0] reset_count;

  wire dense = is_dense(d.op);
  wire last_strip = strip + 32'd1 == d.strip_count;
  wire last_group = group + 32'd1 == d.group_count;
  wire [4:0] units = {1'b1, d.add_mode != ADD_OFF, 3'b111};
  wire has_tables = d.table_mode != TABLE_OFF || plan.scale_beats != 0;

  // The layer that executes, and its clocks.
  logic open, all_issued, framed;
  logic [9:0] log_index;
  logic [23:0] open_index;
  logic [31:0] began, first_frame, last_frame;
  wire close = open && all_issued && drained_i;
  assign log_write_o = close;
  assign log_index_o = log_index;
  assign log_data_o = {clock, last_frame, first_frame, began};

  assign idle_o = state == IDLE;
  assign done_o = state == DONE;
  assign status_o = status;
  assign debug_o = {open, all_issued, drained_i, quiet_i, state, open_index};

  // --- The two setups and their multiplier. ---
  logic [31:0] setup_a, strip_a, operand_a;
  logic [39:0] setup_b, strip_b, operand_b, product;
  always_ff @(posedge clk_i) begin
    operand_a <= setup_a | strip_a;
    operand_b <= setup_b | strip_b;
    product <= 40'(operand_a) * operand_b;
  end

  layer_setup #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .WEIGHT_BITS(WEIGHT_BITS)
  ) i_layer_setup (
      .clk_i, .rst_i, .layer_i(d), .start_i(setup_start), .done_o(setup_done), .plan_o(plan),
      .operand_a_o(setup_a), .operand_b_o(setup_b), .product_i(product)
  );

  logic [15:0] map_first, map_rows, pooled_first, pooled_rows, in_rows;
  logic [31:0] pixels;
  coordinate_t first_y;
  logic [19:0] slice_words;
  logic [39:0] in_offset, in_bytes, add_offset, out_offset;
  strip_setup #(
      .BANK_WORDS(BANK_WORDS), .ACCUMULATOR_PIXELS(ACCUMULATOR_PIXELS)
  ) i_strip_setup (
      .clk_i, .rst_i, .layer_i(d), .plan_i(plan), .start_i(strip_start), .first_row_i(strip_row),
      .last_strip_i(last_strip), .done_o(strip_done), .too_big_o(too_big), .map_first_o(map_first), .map_rows_o(map_rows),
      .pooled_first_o(pooled_first), .pooled_rows_o(pooled_rows), .in_rows_o(in_rows), .pixels_o(pixels),
      .first_y_o(first_y), .slice_words_o(slice_words), .in_offset_o(in_offset), .in_bytes_o(in_bytes),
      .add_offset_o(add_offset), .out_offset_o(out_offset),
      .operand_a_o(strip_a), .operand_b_o(strip_b), .product_i(product)
  );

  logic [7:0] problem;
  logic checked, check_done, setup_held;
  layer_check #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .POOL_WINDOW(POOL_WINDOW), .POOL_WIDTH(POOL_WIDTH)
  ) i_check (
      .clk_i, .rst_i, .layer_i(d), .start_i(setup_start), .done_o(check_done), .status_o(problem)
  );

  // The watchdog. `waited` counts from the last sign of progress.
  logic [31:0] waited;
  logic stuck;
  always_ff @(posedge clk_i) begin
    waited <= state == IDLE || progress_i ? '0 : waited + 32'd1;
    stuck <= watchdog_i != '0 && waited >= watchdog_i;
  end

  assign fetch_valid_o = state == FETCH && remaining != 0 && !(weights_pending || block_pending || lanes_pending);
  assign fetch_address_o = program_i + 64'({index, 9'd0});
  assign beat_ready_o = state == COLLECT;
  assign weights_valid_o = weights_pending;
  assign block_valid_o = block_pending;
  // Tables and scales are written into memories that the layer before still uses.
  assign lanes_valid_o = lanes_pending && !(has_tables && open && !published);
  assign next_o = d;
  assign plan_o = plan;
  assign strip_valid_o = issue_pending;
  assign abort_o = state == ABORT;
  assign soft_reset_o = state == RESET;

  always_ff @(posedge clk_i) begin
    clock <= state == IDLE ? '0 : clock + 32'd1;
    setup_start <= 1'b0;
    strip_start <= 1'b0;
    if (weights_ready_i) weights_pending <= 1'b0;
    if (block_ready_i) block_pending <= 1'b0;
    if (lanes_valid_o && lanes_ready_i) lanes_pending <= 1'b0;

    if (frame_i) begin
      last_frame <= clock;
      framed <= 1'b1;
      if (!framed) first_frame <= clock;
    end
    if (close) open <= 1'b0;

    case (state)
      IDLE:
      if (start_i) begin
        index <= first_i;
        remaining <= count_i;
        log_index <= '0;
        open_index <= first_i[23:0];
        status <= '0;
        state <= FETCH;
      end
      FETCH: begin
        beats <= '0;
        published <= 1'b0;
        if (remaining == 0) state <= LAST_LAYER;
        else if (fetch_valid_o && fetch_ready_i) state <= COLLECT;
      end
      COLLECT:
      if (beat_valid_i) begin
        d <= {beat_i, d[$bits(d)-1:BEAT_BITS]};
        beats <= beats + 32'd1;
        if (beats == 32'd7) state <= CHECK;
      end
      CHECK: begin
        setup_start <= 1'b1;
        {checked, setup_held} <= '0;
        state <= SETUP;
      end
      SETUP:
      if (checked && setup_held) begin
        code <= problem;
        {weights_pending, block_pending, lanes_pending} <= {3{problem == STATUS_OK}};
        group <= '0;
        strip <= '0;
        strip_row <= plan.strip_first_row;
        group_in <= plan.in_first;
        group_add <= plan.add_first;
        group_out <= plan.out_first;
        strip_start <= problem == STATUS_OK;
        state <= problem == STATUS_OK ? STRIP : REFUSE;
      end
      STRIP:
      if (strip_done) begin
        code <= STATUS_TOO_BIG;
        state <= too_big ? REFUSE : ADDRESS;
      end
      ADDRESS: begin
        prepare();
        state <= BARRIER;
      end
      BARRIER:
      if (published) begin
        issue_pending <= units;
        state <= ISSUE;
      end else if (!open && !(has_tables && lanes_pending)) begin
        layer_o <= d;
        shape_o <= plan.shape;
        published <= 1'b1;
        open <= 1'b1;
        open_index <= index[23:0];
        all_issued <= 1'b0;
        framed <= 1'b0;
        began <= clock;
        first_frame <= clock;
        last_frame <= clock;
        issue_pending <= units;
        state <= ISSUE;
      end
      ISSUE: begin
        issue_pending <= issue_pending & ~strip_ready_i;
        if ((issue_pending & ~strip_ready_i) == '0) state <= NEXT;
      end
      NEXT: begin
        strip <= strip + 32'd1;
        strip_row <= strip_row + d.strip_rows;
        strip_start <= 1'b1;
        state <= STRIP;
        if (last_strip) begin
          strip <= '0;
          strip_row <= plan.strip_first_row;
          group <= group + 32'd1;
          group_in <= group_in + plan.group_in;
          group_add <= group_add + plan.group_add;
          group_out <= group_out + plan.group_out;
          if (d.strip_count == 32'd1) begin  // the next group's strip differs in nothing but its addresses
            strip_start <= 1'b0;
            state <= ADDRESS;
          end
          if (last_group) begin
            strip_start <= 1'b0;
            all_issued <= 1'b1;
            index <= index + 32'd1;
            remaining <= remaining - 32'd1;
            state <= FETCH;
          end
        end
      end
      LAST_LAYER: if (!open) state <= DONE;
      REFUSE:  // the layers before come to their end
      if (!open || published) begin
        status <= {index[23:0], code};
        state <= ABORT;
      end
      ABORT: begin
        reset_count <= '0;
        if (quiet_i) state <= RESET;
      end
      RESET: begin
        reset_count <= reset_count + 3'd1;
        if (reset_count == 3'd7) state <= DONE;
      end
      DONE: state <= IDLE;
      default: state <= IDLE;
    endcase
    if (check_done) checked <= 1'b1;
    if (setup_done) setup_held <= 1'b1;
    if (close) log_index <= log_index + 10'd1;

    if ((memory_error_i || stop_i || stuck) && state != IDLE && state != ABORT && state != RESET && state != DONE) begin
      status <= {open ? open_index : index[23:0], memory_error_i ? STATUS_MEMORY : stop_i ? STATUS_ABORTED : STATUS_STUCK};
      state <= ABORT;
    end
    if (state == ABORT) {weights_pending, block_pending, lanes_pending, issue_pending, open} <= '0;
    if (rst_i) begin
      state <= IDLE;
      {weights_pending, block_pending, lanes_pending, issue_pending, open, all_issued, published} <= '0;
      {setup_start, strip_start, framed} <= '0;
      status <= '0;
    end
  end

  // The commands of a strip.
  wire [31:0] slices_left = dense ? d.out_slices - (d.out_first << RATIO_SHIFT) : 32'd1;
  // POINTWISE: bands of about eight clocks of each slice.
  wire [31:0] band_width = d.in_width << (3 - $clog2(LOAD_WORDS));
  wire [2:0] band_shift = band_width >= 32'd64 ? 3'd0 : band_width >= 32'd32 ? 3'd1 : band_width >= 32'd16 ? 3'd2 :
      band_width >= 32'd8 ? 3'd3 : 3'd4;
  wire banded = d.op == OP_POINTWISE && in_rows > (16'd1 << band_shift);
  wire one_run = in_bytes == plan.in_plane && !banded;
  task automatic prepare();
    load_o <= '{
        address: act_in_i + 64'(group_in) + 64'(in_offset), plane: plan.in_plane,
        bytes: one_run ? plan.group_in : in_bytes, band_bytes: banded ? plan.in_row << band_shift : in_bytes,
        band_rows: banded ? 16'd1 << band_shift : in_rows, slices: d.in_slices[15:0], rows: in_rows,
        width: d.in_width[15:0], slice_words: slice_words,
        row_words: d.op == OP_POINTWISE ? d.in_width[19:0] : {4'd0, plan.bank_columns}, pointwise: d.op == OP_POINTWISE,
        one_run: one_run};
    pad_o <= '{first_y: first_y, in_rows: in_rows, map_rows: map_rows, slice_words: slice_words};
    pool_o <= '{
        map_first: map_first, map_rows: map_rows, pooled_first: pooled_first, pooled_rows: pooled_rows,
        first_strip: strip == 0};
    addend_o <= '{
        address: act_add_i + 64'(group_add) + 64'(add_offset), plane: plan.add_plane, pixels: pixels,
        outs: d.out_count, slices: slices_left};
    write_o <= '{
        address: act_out_i + 64'(group_out) + 64'(out_offset), plane: plan.out_plane, rows: pooled_rows,
        width: d.pool_width[15:0], row: plan.out_row, repeat_y: d.upsample_y[15:0], repeat_x: d.upsample_x[15:0],
        outs: d.out_count, slices: slices_left};
  endtask

endmodule
