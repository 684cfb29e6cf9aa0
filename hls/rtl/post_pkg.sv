// SPDX-License-Identifier: Apache-2.0
// Latencies that the units behind the accumulators share.
package post_pkg;

  localparam int unsigned ROUND_LATENCY = 4;  // round_shift

  // Shortest latency of `multiply` for an operand of b_bits: pairs of its bits, then a tree of sums.
  function automatic int unsigned multiply_latency(int unsigned b_bits);
    multiply_latency = 1 + $clog2((b_bits + 1) / 2);
  endfunction

  // Latency of requantize's product: that of the addend's product and the subtraction before it, so that both meet.
  function automatic int unsigned product_latency(int unsigned activation_bits);
    product_latency = multiply_latency(32);
    if (multiply_latency(activation_bits + 1) + 1 > product_latency) begin
      product_latency = multiply_latency(activation_bits + 1) + 1;
    end
  endfunction

endpackage
