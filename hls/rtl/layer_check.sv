// SPDX-License-Identifier: Apache-2.0
// layer_check: the first rule that a descriptor breaks (docs/program.md, section 6), as broken_rule of hls/cpp/rules.h. It works through
// the list of layer_rules, a step a clock: every stage below does one thing with one operand. `status_o` holds still from done to start.
module layer_check
  import kernel_pkg::*;
  import descriptor_pkg::*;
#(
    parameter int unsigned CPI = 8,
    parameter int unsigned CPO = 8,
    parameter int unsigned ACTIVATION_BITS = 8,
    parameter int unsigned POOL_WINDOW = 8,
    parameter int unsigned POOL_WIDTH = 1024
) (
    input logic clk_i,
    input logic rst_i,
    // verilator lint_off UNUSEDSIGNAL
    input layer_descriptor_t layer_i,  // holds still from start to done; not all of its fields limit anything
    // verilator lint_on UNUSEDSIGNAL
    input logic start_i,
    output logic done_o,  // pulse
    output logic [7:0] status_o
);
  localparam int unsigned STAGES = 4;  // behind the list
  localparam int unsigned FIELDS = 75;  // words that rules may name

  // The list.
  logic [7:0] number;
  logic running, last, first, listed_valid;
  logic [STAGES:0] ends;
  // verilator lint_off UNUSEDSIGNAL
  rule_step_t listed, selected, summed;  // what is done with of a step falls away
  // verilator lint_on UNUSEDSIGNAL
  layer_rules #(
      .CPI(CPI), .CPO(CPO), .ACTIVATION_BITS(ACTIVATION_BITS), .POOL_WINDOW(POOL_WINDOW), .POOL_WIDTH(POOL_WIDTH)
  ) i_rules (
      .clk_i, .number_i(number), .last_o(last), .step_o(listed)
  );

  always_ff @(posedge clk_i) begin
    first <= start_i;
    listed_valid <= running;
    number <= start_i ? '0 : number + 8'd1;
    if (start_i) running <= 1'b1;
    else if (last) running <= 1'b0;
    ends <= {ends[STAGES-1:0], running && last};
    done_o <= ends[STAGES];
    if (rst_i || start_i) {ends, done_o} <= '0;
    if (rst_i) {running, listed_valid} <= '0;
  end

  // The field.
  logic [127:0][31:0] words;
  always_comb begin
    words = '0;
    words[FIELDS-1:0] = layer_i[32*FIELDS-1:0];
  end
  logic [31:0] field, value, operand;
  // Its sum with the offset; how it compares with the limit.
  rule_operation_t operation;
  logic [7:0] members, code;
  logic beyond, exceeds, member;
  always_ff @(posedge clk_i) begin
    selected <= listed;
    if (!listed_valid) selected.operation <= RULE_WAIT;
    field <= words[listed.field];
    summed <= selected;
    value <= field + selected.offset;
    operation <= summed.operation;
    members <= summed.limit[7:0];
    code <= summed.code;
    operand <= value;
    beyond <= value[31:3] != '0;
    exceeds <= value > summed.limit;
  end
  assign member = members[beyond ? 3'd7 : operand[2:0]];

  // The accumulator, and its products.
  logic signed [40:0] total;
  logic [23:0] factor;
  logic [16:0] times;
  logic [39:0] product, product_held;
  logic [2:0] multiplying;
  logic active, below, above, failed;
  rule_operation_t done_operation;
  logic [7:0] done_code;
  wire plain = operation == RULE_ADD || operation == RULE_SUBTRACT;
  wire signed [40:0] operand_wide = signed'({9'd0, operand});
  wire count = active && (plain || operation == RULE_SET);
  always_ff @(posedge clk_i) begin
    if (first) active <= 1'b1;
    else if (operation == RULE_WHEN) active <= member;
    else if (operation == RULE_AND) active <= active && member;

    factor <= total[23:0];
    times <= operand[16:0];
    product_held <= 40'(factor) * 40'(times);
    product <= product_held;
    multiplying <= {multiplying[1:0], active && operation == RULE_MULTIPLY};

    if (multiplying[2]) total <= {1'b0, product};
    else if (active && operation == RULE_LOW) total <= {25'd0, total[15:0]};
    else if (count)
      total <= (plain ? total : '0) + (operation == RULE_SUBTRACT ? ~operand_wide : operand_wide) +
          41'(operation == RULE_SUBTRACT);

    below <= total < operand_wide;
    above <= total > operand_wide;
    failed <= active && ((operation == RULE_IN && !member) || (operation == RULE_RANGE && exceeds));
    done_operation <= active ? operation : RULE_WAIT;
    done_code <= code;
  end

  // The first failure counts.
  always_ff @(posedge clk_i) begin
    if (first) status_o <= STATUS_OK;
    else if (status_o == STATUS_OK && (failed || (done_operation == RULE_AT_MOST && above) ||
        (done_operation == RULE_AT_LEAST && below) || (done_operation == RULE_EQUALS && (below || above))))
      status_o <= done_code;
  end

endmodule
