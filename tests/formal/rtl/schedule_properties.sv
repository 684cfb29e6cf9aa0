// SPDX-License-Identifier: Apache-2.0
// schedule: commands stand until they are taken, a layer stands until its last response, a launch ends once and leaves nothing
// open, and after an error nothing goes on before every transfer has ended.
module schedule_properties
  import kernel_pkg::*;
  import descriptor_pkg::*;
(
    input logic clk_i,
    input logic rst_i,
    input logic start_i,
    input logic [63:0] act_in_i,
    input logic [63:0] act_add_i,
    input logic [63:0] act_out_i,
    input logic [31:0] first_i,
    input logic [31:0] count_i,
    input logic fetch_ready_i,
    input logic beat_valid_i,
    input logic [BEAT_BITS-1:0] beat_i,
    input logic weights_ready_i,
    input logic block_ready_i,
    input logic lanes_ready_i,
    input logic [4:0] strip_ready_i,
    input logic frame_i,
    input logic drained_i,
    input logic memory_error_i,
    input logic stop_i,
    input logic [31:0] watchdog_i,
    input logic progress_i,
    input logic quiet_i
);
  logic done, idle, log_write, fetch_valid, beat_ready, weights_valid, block_valid, lanes_valid, abort, soft_reset;
  logic [31:0] status;
  logic [63:0] fetch_address;
  logic [4:0] strip_valid;
  layer_descriptor_t layer;
  load_cmd_t load;
  pad_cmd_t pad;
  pool_cmd_t pool;
  addend_cmd_t addend;
  write_cmd_t write;

  starts_reset first (.*);

  schedule #(
      .CPI(2),
      .CPO(4)
  ) dut (
      .clk_i,
      .rst_i,
      .start_i,
      .done_o         (done),
      .idle_o         (idle),
      .status_o       (status),
      .program_i      ('0),
      .act_in_i,
      .act_add_i,
      .act_out_i,
      .first_i,
      .count_i,
      .log_write_o    (log_write),
      .fetch_valid_o  (fetch_valid),
      .fetch_ready_i,
      .fetch_address_o(fetch_address),
      .beat_valid_i,
      .beat_ready_o   (beat_ready),
      .beat_i,
      .layer_o        (layer),
      .weights_valid_o(weights_valid),
      .weights_ready_i,
      .block_valid_o  (block_valid),
      .block_ready_i,
      .lanes_valid_o  (lanes_valid),
      .lanes_ready_i,
      .strip_valid_o  (strip_valid),
      .strip_ready_i,
      .load_o         (load),
      .pad_o          (pad),
      .pool_o         (pool),
      .addend_o       (addend),
      .write_o        (write),
      .frame_i,
      .drained_i,
      .memory_error_i,
      .stop_i,
      .watchdog_i,
      .progress_i,
      .abort_o        (abort),
      .quiet_i,
      .soft_reset_o   (soft_reset)
  );

  // A launch starts when none does (s_axi_control).
  logic running_q, failed_q;
  always_ff @(posedge clk_i) begin
    running_q <= !rst_i && (start_i || (running_q && !done));
    failed_q  <= !rst_i && !start_i && (failed_q || abort);
  end
  always_comb assume (!start_i || !running_q);

  // What was offered a clock ago and not taken. A stop may withdraw it.
  logic stopped_q, reset_q, quiet_q, fetch_waits_q, open_q;
  logic [4:0] waits_q;
  logic [1:0] ahead_q;
  logic [63:0] address_q;
  logic [31:0] op_q;
  load_cmd_t load_q;
  pad_cmd_t pad_q;
  pool_cmd_t pool_q;
  addend_cmd_t addend_q;
  write_cmd_t write_q;

  always_ff @(posedge clk_i) begin
    stopped_q     <= abort && !rst_i;
    reset_q       <= soft_reset && !rst_i;
    quiet_q       <= quiet_i;
    waits_q       <= rst_i ? '0 : strip_valid & ~strip_ready_i;
    fetch_waits_q <= fetch_valid && !fetch_ready_i && !rst_i;
    ahead_q       <= rst_i ? '0 : {weights_valid && !weights_ready_i, block_valid && !block_ready_i};
    address_q     <= fetch_address;
    {load_q, pad_q, pool_q, addend_q, write_q} <= {load, pad, pool, addend, write};
    op_q   <= layer.op;
    open_q <= !rst_i && !abort && !log_write && (open_q || strip_valid != '0);
  end

  always_comb begin
    if (!rst_i) begin
      strips_stand: assert (stopped_q || (strip_valid & waits_q) == waits_q);
      load_stands: assert (!waits_q[0] || load == load_q);
      pad_stands: assert (!waits_q[1] || pad == pad_q);
      pool_stands: assert (!waits_q[2] || pool == pool_q);
      addend_stands: assert (!waits_q[3] || addend == addend_q);
      write_stands: assert (!waits_q[4] || write == write_q);
      fetch_stands: assert (!fetch_waits_q || abort || (fetch_valid && fetch_address == address_q));
      ahead_stands: assert (stopped_q || ({weights_valid, block_valid} & ahead_q) == ahead_q);
      layer_stands: assert (!open_q || layer.op == op_q);
      log_of_a_layer: assert (!log_write || (drained_i && (open_q || strip_valid != '0)));
      runs: assert (idle == !running_q);
      ends: assert (!done || running_q);
      ends_drained: assert (!done || (!open_q && strip_valid == '0));
      stop_waits: assert (!stopped_q || abort || (quiet_q && soft_reset));
      reset_quiet: assert (!soft_reset || reset_q || (stopped_q && quiet_q));
      reset_bare: assert (!soft_reset || (!fetch_valid && strip_valid == '0 && !weights_valid && !block_valid && !lanes_valid));
      status_says: assert (!done || (status != '0) == failed_q);
    end
  end

endmodule
