// SPDX-License-Identifier: Apache-2.0
// adder_tree: sums terms, four a clock: one register for each factor of four; none for a single term.
module adder_tree #(
    parameter int unsigned TERMS = 18,
    parameter int unsigned TERM = 18,
    parameter int unsigned TOTAL = 23
) (
    // verilator lint_off UNUSEDSIGNAL
    input logic clk_i,  // a single term needs none
    // verilator lint_on UNUSEDSIGNAL
    input logic [TERMS*TERM-1:0] terms_i,
    output logic signed [TOTAL-1:0] total_o
);
  localparam int unsigned NEXT = (TERMS + 3) / 4;
  localparam int unsigned WIDE = TERM + 2 < TOTAL ? TERM + 2 : TOTAL;

  if (TERMS == 1) begin : g_end
    assign total_o = TOTAL'(signed'(terms_i));
  end else begin : g_level
    logic [NEXT*WIDE-1:0] sums;
    for (genvar n = 0; n < NEXT; ++n) begin : g_sum
      logic signed [WIDE-1:0] total;
      always_comb begin
        total = '0;
        for (int k = 4 * n; k < 4 * n + 4 && k < TERMS; ++k) total += WIDE'(signed'(terms_i[k*TERM+:TERM]));
      end
      always_ff @(posedge clk_i) sums[n*WIDE+:WIDE] <= total;
    end
    adder_tree #(.TERMS(NEXT), .TERM(WIDE), .TOTAL(TOTAL)) i_rest (.clk_i, .terms_i(sums), .total_o);
  end
endmodule
