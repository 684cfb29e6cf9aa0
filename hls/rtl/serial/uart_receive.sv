// SPDX-License-Identifier: Apache-2.0
// uart_receive: bytes from a serial line, 8 data bits, no parity, 1 stop bit. A byte is valid for one clock; one whose
// stop bit is missing is dropped.
module uart_receive #(
    parameter int unsigned DIVISOR = 25  // clocks of a bit
) (
    input  logic       clk_i,
    input  logic       rst_i,
    input  logic       line_i,
    output logic       valid_o,
    output logic [7:0] byte_o
);
  localparam int unsigned BITS = $clog2(2 * DIVISOR);

  logic [2:0] line_q;  // two registers against metastability, one to look at
  logic busy_q;
  logic [3:0] left_q;  // bits to come, the stop bit included
  logic [BITS-1:0] count_q;
  logic line, sample;

  assign line   = line_q[2];
  assign sample = busy_q && count_q == '0;

  always_ff @(posedge clk_i) begin
    line_q  <= {line_q[1:0], line_i};
    valid_o <= 1'b0;
    if (!busy_q) begin
      busy_q  <= !line;
      left_q  <= 4'd9;
      count_q <= BITS'(DIVISOR + DIVISOR / 2 - 2);  // the middle of the first data bit
    end else if (!sample) begin
      count_q <= count_q - 1'b1;
    end else begin
      count_q <= BITS'(DIVISOR - 1);
      left_q  <= left_q - 4'd1;
      if (left_q == 4'd1) begin
        busy_q  <= 1'b0;
        valid_o <= line;
      end else begin
        byte_o <= {line, byte_o[7:1]};
      end
    end
    if (rst_i) begin
      line_q  <= '1;
      busy_q  <= 1'b0;
      valid_o <= 1'b0;
    end
  end

endmodule
