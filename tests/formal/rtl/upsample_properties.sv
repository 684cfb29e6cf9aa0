// SPDX-License-Identifier: Apache-2.0
// upsample: every pixel comes out repeat_y * repeat_x times before it is taken, and copies stand.
module upsample_properties #(
    parameter int BITS = 3  // of the repeats that vary
) (
    input logic            clk_i,
    input logic            rst_i,
    input logic [BITS-1:0] repeat_y_i,
    input logic [BITS-1:0] repeat_x_i,
    input logic            pixel_valid_i,
    input logic            pixel_data_i,
    input logic            copy_ready_i
);
  logic pixel_ready, copy_valid, copy_data;
  logic [BITS-1:0] repeat_y_q, repeat_x_q;
  logic was_reset_q, offered_q, pixel_q, waits_q, copy_q;
  logic [2*BITS-1:0] copies_q;

  starts_reset start (.*);

  upsample #(
      .WIDTH(1)
  ) dut (
      .clk_i,
      .rst_i,
      .repeat_y_i   (16'(repeat_y_i)),
      .repeat_x_i   (16'(repeat_x_i)),
      .pixel_valid_i,
      .pixel_ready_o(pixel_ready),
      .pixel_data_i,
      .copy_valid_o (copy_valid),
      .copy_ready_i,
      .copy_data_o  (copy_data)
  );

  // The repeats are the layer's; pixels are a stream.
  always_comb begin
    assume (repeat_y_i != '0 && repeat_x_i != '0);
    assume (was_reset_q || (repeat_y_i == repeat_y_q && repeat_x_i == repeat_x_q));
    assume (!offered_q || (pixel_valid_i && pixel_data_i == pixel_q));
  end

  wire copied = copy_valid && copy_ready_i;
  wire [2*BITS-1:0] all = (2 * BITS)'(repeat_y_i) * (2 * BITS)'(repeat_x_i);

  always_ff @(posedge clk_i) begin
    was_reset_q <= rst_i;
    repeat_y_q  <= repeat_y_i;
    repeat_x_q  <= repeat_x_i;
    offered_q   <= pixel_valid_i && !pixel_ready && !rst_i;
    pixel_q     <= pixel_data_i;
    waits_q     <= copy_valid && !copy_ready_i && !rst_i;
    copy_q      <= copy_data;
    if (rst_i) copies_q <= '0;
    else if (pixel_valid_i && pixel_ready) copies_q <= '0;
    else if (copied) copies_q <= copies_q + 1'b1;
  end

  always_comb begin
    if (!rst_i) begin
      stands: assert (!waits_q || (copy_valid && copy_data == copy_q));
      is_pixel: assert (!copy_valid || (pixel_valid_i && copy_data == pixel_data_i));
      is_last: assert (!(pixel_valid_i && pixel_ready) || (copied && copies_q == all - 1'b1));
      no_more: assert (!copied || pixel_ready || copies_q < all - 1'b1);
    end
  end

endmodule
