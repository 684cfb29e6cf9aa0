// SPDX-License-Identifier: Apache-2.0
// multiply: signed products a*b of LANES lanes, a set each clock, after LATENCY clocks. Stage s loads when enable_i[s].
// USE_DSP = 1: multiplier blocks; 0: logic, as sums over pairs of bits of b, so b should be the narrower operand.
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

    // A node of level s is the product of a and of 2**(s+1) bits of b.
    for (genvar s = 0; s < LATENCY; ++s) begin : g_level
      localparam int unsigned NODES = (PAIRS + (1 << s) - 1) >> s;
      localparam int unsigned BITS = A_BITS + ((2 << s) < 2 * PAIRS ? 2 << s : 2 * PAIRS);
      logic signed [BITS-1:0] node[LANES*NODES];
      if (s == 0) begin : g_pairs
        always_ff @(posedge clk_i) begin
          if (enable_i[0]) begin
            for (int lane = 0; lane < LANES; ++lane) begin
              logic signed [A_BITS-1:0] a;
              logic signed [2*PAIRS-1:0] b;
              logic signed [BITS-1:0] once, twice;
              a = a_i[(SHARED_A?0:lane)*A_BITS+:A_BITS];
              b = (2 * PAIRS)'(signed'(b_i[lane*B_BITS+:B_BITS]));
              for (int i = 0; i < PAIRS; ++i) begin
                once = b[2*i] ? BITS'(a) : '0;
                twice = b[2*i+1] ? {a[A_BITS-1], a, 1'b0} : '0;
                // The highest bit of b counts negative.
                node[lane*NODES+i] <= i == PAIRS - 1 ? once - twice : once + twice;
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
                node[lane*NODES+i] <= 2 * i + 1 < BELOW ?
                    BITS'(g_level[s-1].node[lane*BELOW+2*i]) +
                    (BITS'(g_level[s-1].node[lane*BELOW+(2*i+1)%BELOW]) <<< (1 << s)) :
                    BITS'(g_level[s-1].node[lane*BELOW+2*i]);
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
