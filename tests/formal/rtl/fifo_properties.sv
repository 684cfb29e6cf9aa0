// SPDX-License-Identifier: Apache-2.0
// fifo: never more than its items, an item stands until it is taken, and every item comes out once, in its place.
module fifo_properties #(
    parameter int WIDTH = 2,
    parameter int DEPTH = 4
) (
    input logic             clk_i,
    input logic             rst_i,
    input logic             valid_i,
    input logic             ready_i,
    input logic [WIDTH-1:0] data_i,
    input logic             mark_i
);
  localparam bit BLOCK = DEPTH >= 64;
  localparam int MOST = DEPTH + 32'(BLOCK);
  localparam int ADDRESS = $clog2(DEPTH);
  localparam int COUNT = $clog2(MOST + 1);

  logic ready, valid;
  logic [WIDTH-1:0] data;

  starts_reset start (.*);

  fifo #(
      .WIDTH(WIDTH),
      .DEPTH(DEPTH)
  ) dut (
      .clk_i,
      .rst_i,
      .valid_i,
      .ready_o(ready),
      .data_i,
      .valid_o(valid),
      .ready_i,
      .data_o (data)
  );

  // Any one item: what it is, and how many go before it.
  wire push = valid_i && ready;
  wire pop = valid && ready_i;
  logic inside_q, waits_q;
  logic [COUNT-1:0] level_q, ahead_q;
  logic [WIDTH-1:0] marked_q, data_q;

  always_ff @(posedge clk_i) begin
    waits_q <= valid && !ready_i && !rst_i;
    data_q  <= data;
    if (rst_i) begin
      inside_q <= 1'b0;
      level_q  <= '0;
    end else begin
      level_q <= level_q + COUNT'(push) - COUNT'(pop);
      if (push && mark_i && !inside_q) begin
        inside_q <= 1'b1;
        ahead_q  <= level_q - COUNT'(pop);
        marked_q <= data_i;
      end else if (inside_q && pop) begin
        inside_q <= ahead_q != '0;
        ahead_q  <= ahead_q - COUNT'(1);
      end
    end
  end

  always_comb begin
    if (!rst_i) begin
      level: assert (32'(level_q) <= MOST);
      stands: assert (!waits_q || (valid && data == data_q));
      holds: assert (!valid || level_q != '0);
      order: assert (!inside_q || ahead_q != '0 || !valid || data == marked_q);
      accepts: assert (ready || 32'(level_q) >= DEPTH);
    end
  end

  // How its registers stand to what was seen.
  wire [ADDRESS:0] stored = dut.write_q - dut.read_q;
  wire [ADDRESS-1:0] place = dut.read_q[ADDRESS-1:0] + ADDRESS'(ahead_q) - ADDRESS'(BLOCK && valid);
  logic [WIDTH-1:0] item;

  if (BLOCK) begin : g_block
    assign item = valid && ahead_q == '0 ? data : dut.g_block.memory[place];
  end else begin : g_distributed
    assign item = dut.g_distributed.memory[place];
  end

  always_comb begin
    if (!rst_i) begin
      of_level: assert (32'(level_q) == 32'(stored) + 32'(BLOCK && valid));
      of_stored: assert (32'(stored) <= DEPTH);
      of_item: assert (!inside_q || (ahead_q < level_q && item == marked_q));
    end
  end

endmodule
