// SPDX-License-Identifier: Apache-2.0
// mul_tree: the multipliers and adder trees of mul, as synthesis sees them. 1 clock for the products, 1 for the sums of four,
// 1 for each further factor of four.
module mul_tree #(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned WEIGHT_BITS = 8,
    parameter int unsigned PACK = 1,
    parameter int unsigned LUT_TAPS = 0,
    parameter int unsigned TERMS = 72,
    parameter int unsigned PARTIAL = 23
) (
    input logic clk_i,
    input logic take_block_i,
    input logic [TERMS*CPO*WEIGHT_BITS-1:0] block_i,
    input logic [TERMS*ACTIVATION_BITS-1:0] frame_i,
    output logic [CPO*PARTIAL-1:0] partial_o
);
  localparam int unsigned PRODUCT = ACTIVATION_BITS + WEIGHT_BITS;
  localparam int unsigned QUADS = (TERMS + 3) / 4;
  localparam int unsigned QUAD = PRODUCT + 2;  // bits of the sum of four products
  localparam int unsigned LOGIC_TERMS = LUT_TAPS * CPI;  // the first terms, one product each
  localparam int unsigned FIELD = 18;  // place of the upper product in a packed one

  logic [TERMS*CPO*WEIGHT_BITS-1:0] weights;
  always_ff @(posedge clk_i) if (take_block_i) weights <= block_i;

  function automatic logic signed [WEIGHT_BITS-1:0] weight(logic [TERMS*CPO*WEIGHT_BITS-1:0] all, int unsigned term, int unsigned lane);
    weight = all[(term*CPO+lane)*WEIGHT_BITS+:WEIGHT_BITS];
  endfunction

  // Sums of four products, for every lane.
  logic [CPO*QUADS*QUAD-1:0] quads;
  for (genvar quad = 0; quad < QUADS; ++quad) begin : g_quad
    localparam int unsigned FIRST = 4 * quad;
    localparam int unsigned COUNT = FIRST + 4 > TERMS ? TERMS - FIRST : 4;
    // A quad with a product made of logic is not packed.
    if (PACK != 0 && FIRST >= LOGIC_TERMS) begin : g_packed
      for (genvar pair = 0; pair < CPO / 2; ++pair) begin : g_pair
        logic signed [FIELD+PRODUCT+1:0] products[4];
        logic signed [FIELD+QUAD+1:0] total;
        for (genvar k = 0; k < 4; ++k) begin : g_term
          if (k < COUNT) begin : g_used
            wire signed [ACTIVATION_BITS-1:0] activation = frame_i[(FIRST+k)*ACTIVATION_BITS+:ACTIVATION_BITS];
            wire signed [FIELD+WEIGHT_BITS:0] packed_weights =
                ((FIELD + WEIGHT_BITS + 1)'(weight(weights, FIRST + k, 2 * pair + 1)) <<< FIELD) +
                (FIELD + WEIGHT_BITS + 1)'(weight(weights, FIRST + k, 2 * pair));
            always_ff @(posedge clk_i) products[k] <= (FIELD + PRODUCT + 2)'(packed_weights * activation);
          end else begin : g_unused
            assign products[k] = '0;
          end
        end
        assign total = (FIELD + QUAD + 2)'(products[0]) + (FIELD + QUAD + 2)'(products[1]) +
                       (FIELD + QUAD + 2)'(products[2]) + (FIELD + QUAD + 2)'(products[3]);
        wire borrow = total[FIELD-1];
        always_ff @(posedge clk_i) begin
          quads[(2*pair*QUADS+quad)*QUAD+:QUAD] <= total[QUAD-1:0];
          quads[((2*pair+1)*QUADS+quad)*QUAD+:QUAD] <= total[FIELD+:QUAD] + QUAD'(borrow);
        end
      end
    end else begin : g_single
      for (genvar lane = 0; lane < CPO; ++lane) begin : g_lane
        logic signed [PRODUCT-1:0] products[4];
        for (genvar k = 0; k < 4; ++k) begin : g_term
          if (k < COUNT) begin : g_used
            mul_product #(
                .A_BITS(ACTIVATION_BITS), .B_BITS(WEIGHT_BITS), .USE_DSP(FIRST + k >= LOGIC_TERMS ? 1 : 0)
            ) i_product (
                .clk_i, .a_i(frame_i[(FIRST+k)*ACTIVATION_BITS+:ACTIVATION_BITS]),
                .b_i(weight(weights, FIRST + k, lane)), .product_o(products[k])
            );
          end else begin : g_unused
            assign products[k] = '0;
          end
        end
        always_ff @(posedge clk_i)
          quads[(lane*QUADS+quad)*QUAD+:QUAD] <=
              QUAD'(products[0]) + QUAD'(products[1]) + QUAD'(products[2]) + QUAD'(products[3]);
      end
    end
  end

  for (genvar lane = 0; lane < CPO; ++lane) begin : g_sum
    adder_tree #(.TERMS(QUADS), .TERM(QUAD), .TOTAL(PARTIAL)) i_tree (
        .clk_i, .terms_i(quads[lane*QUADS*QUAD+:QUADS*QUAD]), .total_o(partial_o[lane*PARTIAL+:PARTIAL])
    );
  end

endmodule
