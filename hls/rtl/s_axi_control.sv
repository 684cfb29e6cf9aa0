// SPDX-License-Identifier: Apache-2.0
// s_axi_control: the registers of hls/rtl/README.md, with Vitis' ap_ctrl protocol, and the clock log of the layers.
// One write and one read at a time; a read answers two clocks after its address. All responses are OKAY, as Vitis' are.
module s_axi_control (
    input  logic         clk_i,
    input  logic         rst_i,
    input  logic         awvalid_i,
    output logic         awready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 14:0] awaddr_i,  // the lowest two bits say nothing
    // verilator lint_on UNUSEDSIGNAL
    input  logic         wvalid_i,
    output logic         wready_o,
    input  logic [ 31:0] wdata_i,
    input  logic [  3:0] wstrb_i,
    output logic         bvalid_o,
    input  logic         bready_i,
    output logic [  1:0] bresp_o,
    input  logic         arvalid_i,
    output logic         arready_o,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 14:0] araddr_i,  // the lowest two bits say nothing
    // verilator lint_on UNUSEDSIGNAL
    output logic         rvalid_o,
    input  logic         rready_i,
    output logic [ 31:0] rdata_o,
    output logic [  1:0] rresp_o,
    output logic         interrupt_o,
    output logic         start_o,
    input  logic         done_i,
    input  logic         idle_i,
    output logic [ 63:0] program_o,
    output logic [ 63:0] weights_o,
    output logic [ 63:0] act_in_o,
    output logic [ 63:0] act_add_o,
    output logic [ 63:0] act_out_o,
    output logic [ 31:0] first_o,
    output logic [ 31:0] count_o,
    output logic         abort_o,  // from the host's write until the launch has ended
    output logic [ 31:0] watchdog_o,
    input  logic [ 31:0] status_i,
    input  logic         log_write_i,
    input  logic [  9:0] log_index_i,
    input  logic [127:0] log_data_i,
    input  logic [127:0] debug_i
);

  // Register numbers: byte offsets / 4.
  localparam logic [12:0] CONTROL = 13'h00;
  localparam logic [12:0] INTERRUPT_GLOBAL = 13'h01;
  localparam logic [12:0] INTERRUPT_ENABLE = 13'h02;
  localparam logic [12:0] INTERRUPT_STATUS = 13'h03;
  localparam logic [12:0] PROGRAM = 13'h04;
  localparam logic [12:0] WEIGHTS = 13'h07;
  localparam logic [12:0] ACT_IN = 13'h0a;
  localparam logic [12:0] ACT_ADD = 13'h0d;
  localparam logic [12:0] ACT_OUT = 13'h10;
  localparam logic [12:0] FIRST = 13'h13;
  localparam logic [12:0] COUNT = 13'h15;
  localparam logic [12:0] STATUS = 13'h17;
  localparam logic [12:0] STATUS_VALID = 13'h18;
  localparam logic [12:0] ABORT = 13'h19;
  localparam logic [12:0] WATCHDOG = 13'h1a;
  localparam logic [12:0] DEBUG = 13'h1c;

  function automatic logic [31:0] merge(input logic [31:0] old, input logic [31:0] data, input logic [3:0] strobe);
    merge = old;
    for (int n = 0; n < 4; n++) if (strobe[n]) merge[8*n+:8] = data[8*n+:8];
  endfunction

  // Writes: address and data come in any order.
  logic address_held_q, data_held_q, write_now;
  logic [12:0] write_register_q;
  logic [31:0] write_data_q;
  logic [3:0] write_strobe_q;

  assign awready_o = !address_held_q;
  assign wready_o  = !data_held_q;
  assign write_now = address_held_q && data_held_q && !bvalid_o;
  assign bresp_o   = 2'b00;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      address_held_q <= 1'b0;
      data_held_q    <= 1'b0;
      bvalid_o       <= 1'b0;
    end else begin
      address_held_q <= address_held_q ? !write_now : awvalid_i;
      data_held_q    <= data_held_q ? !write_now : wvalid_i;
      bvalid_o       <= write_now || (bvalid_o && !bready_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (awvalid_i && awready_o) write_register_q <= awaddr_i[14:2];
    if (wvalid_i && wready_o) begin
      write_data_q   <= wdata_i;
      write_strobe_q <= wstrb_i;
    end
  end

  // Arguments.
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      program_o <= '0;
      weights_o <= '0;
      act_in_o  <= '0;
      act_add_o <= '0;
      act_out_o <= '0;
      first_o   <= '0;
      count_o   <= '0;
      watchdog_o <= '0;
    end else if (write_now) begin
      case (write_register_q)
        PROGRAM: program_o[31:0] <= merge(program_o[31:0], write_data_q, write_strobe_q);
        PROGRAM + 13'd1: program_o[63:32] <= merge(program_o[63:32], write_data_q, write_strobe_q);
        WEIGHTS: weights_o[31:0] <= merge(weights_o[31:0], write_data_q, write_strobe_q);
        WEIGHTS + 13'd1: weights_o[63:32] <= merge(weights_o[63:32], write_data_q, write_strobe_q);
        ACT_IN: act_in_o[31:0] <= merge(act_in_o[31:0], write_data_q, write_strobe_q);
        ACT_IN + 13'd1: act_in_o[63:32] <= merge(act_in_o[63:32], write_data_q, write_strobe_q);
        ACT_ADD: act_add_o[31:0] <= merge(act_add_o[31:0], write_data_q, write_strobe_q);
        ACT_ADD + 13'd1: act_add_o[63:32] <= merge(act_add_o[63:32], write_data_q, write_strobe_q);
        ACT_OUT: act_out_o[31:0] <= merge(act_out_o[31:0], write_data_q, write_strobe_q);
        ACT_OUT + 13'd1: act_out_o[63:32] <= merge(act_out_o[63:32], write_data_q, write_strobe_q);
        FIRST: first_o <= merge(first_o, write_data_q, write_strobe_q);
        COUNT: count_o <= merge(count_o, write_data_q, write_strobe_q);
        WATCHDOG: watchdog_o <= merge(watchdog_o, write_data_q, write_strobe_q);
        default: ;
      endcase
    end
  end

  // Start and end. `running_q`: from the start pulse to done.
  logic write_low, read, read_control, idle;
  logic [12:0] read_register;
  logic start_q, running_q, restart_q, done_q, ready_q, status_valid_q;
  logic global_q;
  logic [1:0] enable_q, interrupts_q;
  logic [31:0] status_q;

  assign write_low = write_now && write_strobe_q[0];
  assign start_o   = start_q && !running_q;
  assign idle      = idle_i && !start_q && !running_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      start_q        <= 1'b0;
      running_q      <= 1'b0;
      restart_q      <= 1'b0;
      done_q         <= 1'b0;
      ready_q        <= 1'b0;
      status_valid_q <= 1'b0;
      status_q       <= '0;
      abort_o        <= 1'b0;
    end else begin
      abort_o <= running_q && !done_i && (abort_o || (write_low && write_register_q == ABORT && write_data_q[0]));
      running_q <= start_o || (running_q && !done_i);
      if (write_low && write_register_q == CONTROL) restart_q <= write_data_q[7];
      if (write_low && write_register_q == CONTROL && write_data_q[0]) start_q <= 1'b1;
      else if (done_i) start_q <= restart_q;
      done_q         <= done_i || (done_q && !read_control);
      ready_q        <= done_i || (ready_q && !read_control);
      status_valid_q <= done_i || (status_valid_q && !(read && read_register == STATUS_VALID));
      if (done_i) status_q <= status_i;
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      global_q     <= 1'b0;
      enable_q     <= '0;
      interrupts_q <= '0;
    end else begin
      if (write_low && write_register_q == INTERRUPT_GLOBAL) global_q <= write_data_q[0];
      if (write_low && write_register_q == INTERRUPT_ENABLE) enable_q <= write_data_q[1:0];
      if (done_i || (write_low && write_register_q == INTERRUPT_STATUS)) begin
        for (int n = 0; n < 2; n++) begin
          if (done_i && enable_q[n]) interrupts_q[n] <= 1'b1;
          else if (write_low && write_register_q == INTERRUPT_STATUS) interrupts_q[n] <= interrupts_q[n] ^ write_data_q[n];
        end
      end
    end
  end

  assign interrupt_o = global_q && |(enable_q & interrupts_q);

  // Reads: the log's memory takes a clock, so the registers do too.
  (* ram_style = "block" *) logic [127:0] clock_log[1024];
  logic [127:0] log_q;
  logic [31:0] register_q;
  logic pending_q, from_log_q;
  logic [1:0] word_q;

  assign read_register = araddr_i[14:2];
  assign arready_o     = !pending_q && !rvalid_o;
  assign read          = arvalid_i && arready_o;
  assign read_control  = read && read_register == CONTROL;
  assign rresp_o       = 2'b00;

  always_ff @(posedge clk_i) begin
    if (log_write_i) clock_log[log_index_i] <= log_data_i;
    if (read) log_q <= clock_log[araddr_i[13:4]];
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      pending_q <= 1'b0;
      rvalid_o  <= 1'b0;
    end else begin
      pending_q <= read;
      rvalid_o  <= pending_q || (rvalid_o && !rready_i);
    end
  end

  always_ff @(posedge clk_i) begin
    if (read) begin
      from_log_q <= araddr_i[14];
      word_q     <= araddr_i[3:2];
      case (read_register)
        CONTROL: register_q <= {22'd0, interrupt_o, 1'b0, restart_q, 3'd0, ready_q, idle, done_q, start_q};
        INTERRUPT_GLOBAL: register_q <= {31'd0, global_q};
        INTERRUPT_ENABLE: register_q <= {30'd0, enable_q};
        INTERRUPT_STATUS: register_q <= {30'd0, interrupts_q};
        PROGRAM: register_q <= program_o[31:0];
        PROGRAM + 13'd1: register_q <= program_o[63:32];
        WEIGHTS: register_q <= weights_o[31:0];
        WEIGHTS + 13'd1: register_q <= weights_o[63:32];
        ACT_IN: register_q <= act_in_o[31:0];
        ACT_IN + 13'd1: register_q <= act_in_o[63:32];
        ACT_ADD: register_q <= act_add_o[31:0];
        ACT_ADD + 13'd1: register_q <= act_add_o[63:32];
        ACT_OUT: register_q <= act_out_o[31:0];
        ACT_OUT + 13'd1: register_q <= act_out_o[63:32];
        FIRST: register_q <= first_o;
        COUNT: register_q <= count_o;
        ABORT: register_q <= {31'd0, abort_o};
        WATCHDOG: register_q <= watchdog_o;
        STATUS: register_q <= status_q;
        STATUS_VALID: register_q <= {31'd0, status_valid_q};
        DEBUG: register_q <= debug_i[31:0];
        DEBUG + 13'd1: register_q <= debug_i[63:32];
        DEBUG + 13'd2: register_q <= debug_i[95:64];
        DEBUG + 13'd3: register_q <= debug_i[127:96];
        default: register_q <= '0;
      endcase
    end
    if (pending_q) rdata_o <= from_log_q ? log_q[32*word_q+:32] : register_q;
  end

endmodule
