// SPDX-License-Identifier: Apache-2.0
// multiply: signed products a*b of LANES lanes, a set each clock, after LATENCY clocks. Stage s loads when enable_i[s].
// USE_DSP = 1: multiplier blocks; 0: logic, a sum over pairs of bits of b, so b should be the narrower operand.
module multiply #(
    parameter int unsigned LANES = 1,
    parameter int unsigned A_BITS = 32,
    parameter int unsigned B_BITS = 32,
    parameter bit SHARED_A = 0,  // one a for all lanes
    parameter bit USE_DSP = 1,
    parameter int unsigned LATENCY = post_pkg::multiply_latency(B_BITS)
) (
    input logic clk_i,
    input logic [LATENCY-1:0] enable_i,
    input logic [(SHARED_A ? 1 : LANES)*A_BITS-1:0] a_i,
    input logic [LANES*B_BITS-1:0] b_i,
    output logic [LANES*(A_BITS+B_BITS)-1:0] product_o
);
  localparam int unsigned PRODUCT = A_BITS + B_BITS;

  if (LATENCY < post_pkg::multiply_latency(B_BITS) || LATENCY < 4) begin : g_check
    $error("multiply: LATENCY must be at least 4 and that of post_pkg, not %0d", LATENCY);
  end

  if (USE_DSP) begin : g_blocks
    localparam int unsigned INPUTS = 2;  // registers before the product; those behind it move into the blocks
    localparam int unsigned OUTPUTS = LATENCY - INPUTS;
    logic signed [A_BITS-1:0] a[INPUTS][LANES];
    logic signed [B_BITS-1:0] b[INPUTS][LANES];
    logic signed [PRODUCT-1:0] product[OUTPUTS-1][LANES];

    always_ff @(posedge clk_i) begin
      if (enable_i[0]) begin
        for (int lane = 0; lane < LANES; ++lane) begin
          a[0][lane] <= a_i[(SHARED_A?0:lane)*A_BITS+:A_BITS];
          b[0][lane] <= b_i[lane*B_BITS+:B_BITS];
        end
      end
      if (enable_i[1]) begin
        a[1] <= a[0];
        b[1] <= b[0];
      end
      if (enable_i[INPUTS]) begin
        for (int lane = 0; lane < LANES; ++lane) product[0][lane] <= PRODUCT'(a[1][lane]) * PRODUCT'(b[1][lane]);
      end
      for (int s = 1; s < OUTPUTS - 1; ++s) begin
        if (enable_i[INPUTS+s]) product[s] <= product[s-1];
      end
      if (enable_i[LATENCY-1]) begin
        for (int lane = 0; lane < LANES; ++lane) product_o[lane*PRODUCT+:PRODUCT] <= product[OUTPUTS-2][lane];
      end
    end
  end else begin : g_logic
    localparam int unsigned PAIRS = (B_BITS + 1) / 2;

    // Each pair of bits of b, with the bit below it, is a digit from -2 to 2 (Booth). A node of level s is the product of a and
    // 2**s digits, but for the 1 that completes the complement of its last multiple: `carry` says so, and that 1 is added where
    // the node's right neighbour, once shifted, has zeros.
    for (genvar s = 0; s < LATENCY; ++s) begin : g_level
      localparam int unsigned NODES = (PAIRS + (1 << s) - 1) >> s;
      localparam int unsigned BITS = A_BITS + ((2 << s) < 2 * PAIRS ? 2 << s : 2 * PAIRS);
      logic signed [BITS-1:0] node[LANES*NODES];
      // The last node has none.
      // verilator lint_off UNUSEDSIGNAL
      logic carry[LANES*NODES];
      // verilator lint_on UNUSEDSIGNAL
      if (s == 0) begin : g_digits
        always_ff @(posedge clk_i) begin
          if (enable_i[0]) begin
            for (int lane = 0; lane < LANES; ++lane) begin
              logic signed [BITS-1:0] a, multiple;
              logic [2*PAIRS:0] b;
              a = BITS'(signed'(a_i[(SHARED_A?0:lane)*A_BITS+:A_BITS]));
              b = {(2 * PAIRS)'(signed'(b_i[lane*B_BITS+:B_BITS])), 1'b0};
              for (int i = 0; i < PAIRS; ++i) begin
                multiple = b[2*i+1] != b[2*i] ? a : b[2*i+2] != b[2*i+1] ? a <<< 1 : '0;
                if (b[2*i+2]) multiple = ~multiple;
                // Nothing stands right of the last digit.
                node[lane*NODES+i] <= i == PAIRS - 1 ? multiple + BITS'(b[2*i+2]) : multiple;
                carry[lane*NODES+i] <= i != PAIRS - 1 && b[2*i+2];
              end
            end
          end
        end
      end else begin : g_sums
        localparam int unsigned BELOW = (PAIRS + (1 << (s - 1)) - 1) >> (s - 1);
        always_ff @(posedge clk_i) begin
          if (enable_i[s]) begin
            for (int lane = 0; lane < LANES; ++lane) begin
              for (int i = 0; i < NODES; ++i) begin
                logic signed [BITS-1:0] left, right;
                left = BITS'(g_level[s-1].node[lane*BELOW+2*i]);
                right = '0;
                carry[lane*NODES+i] <= g_level[s-1].carry[lane*BELOW+2*i];
                if (2 * i + 1 < BELOW) begin
                  right = BITS'(g_level[s-1].node[lane*BELOW+(2*i+1)%BELOW]) <<< (1 << s);
                  right[(1<<s)-2] = g_level[s-1].carry[lane*BELOW+2*i];
                  carry[lane*NODES+i] <= g_level[s-1].carry[lane*BELOW+(2*i+1)%BELOW];
                end
                node[lane*NODES+i] <= left + right;
              end
            end
          end
        end
      end
    end

    for (genvar lane = 0; lane < LANES; ++lane) begin : g_lane
      assign product_o[lane*PRODUCT+:PRODUCT] = g_level[LATENCY-1].node[lane][PRODUCT-1:0];
    end
  end

endmodule
