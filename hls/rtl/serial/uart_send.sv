// SPDX-License-Identifier: Apache-2.0
// uart_send: bytes onto a serial line, 8 data bits, no parity, 1 stop bit.
module uart_send #(
    parameter int unsigned DIVISOR = 25  // clocks of a bit
) (
    input  logic       clk_i,
    input  logic       rst_i,
    input  logic       valid_i,
    output logic       ready_o,
    input  logic [7:0] byte_i,
    output logic       line_o
);
  localparam int unsigned BITS = $clog2(DIVISOR);

  logic [3:0] left_q;
  logic [BITS-1:0] count_q;
  logic [8:0] shift_q;  // start bit and data; ones follow

  assign ready_o = left_q == '0;
  assign line_o  = shift_q[0];

  always_ff @(posedge clk_i) begin
    if (ready_o) begin
      if (valid_i) begin
        shift_q <= {byte_i, 1'b0};
        left_q  <= 4'd10;
        count_q <= BITS'(DIVISOR - 1);
      end
    end else if (count_q != '0) begin
      count_q <= count_q - 1'b1;
    end else begin
      shift_q <= {1'b1, shift_q[8:1]};
      left_q  <= left_q - 4'd1;
      count_q <= BITS'(DIVISOR - 1);
    end
    if (rst_i) begin
      shift_q <= '1;
      left_q  <= '0;
    end
  end

endmodule
