// SPDX-License-Identifier: Apache-2.0
// fifo: first-word fall-through queue, an item a clock in and out.
// Latency one clock (LUT RAM), two if DEPTH >= 64 (block RAM; holds one item more than DEPTH).
module fifo #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2
) (
    input  logic             clk_i,
    input  logic             rst_i,
    input  logic             valid_i,
    output logic             ready_o,
    input  logic [WIDTH-1:0] data_i,
    output logic             valid_o,
    input  logic             ready_i,
    output logic [WIDTH-1:0] data_o
);

  localparam int ADDRESS = $clog2(DEPTH);

`ifndef __ICARUS__  // knows no elaboration tasks
  if (WIDTH < 1 || DEPTH < 2 || DEPTH != 1 << ADDRESS) begin : g_check
    $error("fifo: DEPTH must be a power of two of at least 2, WIDTH at least 1");
  end
`endif

  // One bit more than an address tells full from empty.
  logic [ADDRESS:0] write_q, read_q;
  logic empty, push, fetch;

  assign empty   = write_q == read_q;
  assign ready_o = write_q != {~read_q[ADDRESS], read_q[ADDRESS-1:0]};
  assign push    = valid_i && ready_o;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      write_q <= '0;
      read_q  <= '0;
    end else begin
      if (push) write_q <= write_q + 1'b1;
      if (fetch) read_q <= read_q + 1'b1;
    end
  end

  if (DEPTH >= 64) begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    logic valid_q;
    logic [WIDTH-1:0] data_q;

    // The memory's output register is the first item.
    assign fetch   = !empty && (!valid_q || ready_i);
    assign valid_o = valid_q;
    assign data_o  = data_q;

    always_ff @(posedge clk_i) begin
      if (push) memory[write_q[ADDRESS-1:0]] <= data_i;
      if (fetch) data_q <= memory[read_q[ADDRESS-1:0]];
    end

    always_ff @(posedge clk_i) begin
      if (rst_i) valid_q <= 1'b0;
      else if (fetch) valid_q <= 1'b1;
      else if (ready_i) valid_q <= 1'b0;
    end
  end else begin : g_distributed
    (* ram_style = "distributed" *) logic [WIDTH-1:0] memory[DEPTH];

    assign fetch   = !empty && ready_i;
    assign valid_o = !empty;
    assign data_o  = memory[read_q[ADDRESS-1:0]];

    always_ff @(posedge clk_i) begin
      if (push) memory[write_q[ADDRESS-1:0]] <= data_i;
    end
  end

endmodule
