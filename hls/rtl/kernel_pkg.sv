// SPDX-License-Identifier: Apache-2.0
// What the units of the kernel tell each other. Sizes in bytes have 40 bits: an activation memory of 2^32 words fits.
// verilator lint_off UNUSEDPARAM
package kernel_pkg;

  localparam int unsigned TAPS = 9;
  localparam int unsigned BEAT_BITS = 512;
  localparam int unsigned BEAT_BYTES = 64;

  // Status codes of a launch (docs/program.md section 5).
  localparam logic [7:0] STATUS_OK = 8'd0;
  localparam logic [7:0] STATUS_VERSION = 8'd1;
  localparam logic [7:0] STATUS_TOO_BIG = 8'd3;
  localparam logic [7:0] STATUS_MEMORY = 8'd4;
  localparam logic [7:0] STATUS_ABORTED = 8'd5;
  localparam logic [7:0] STATUS_STUCK = 8'd6;

  // A step of a rule (layer_rules): its value is a field of the descriptor plus an offset. `limit` is a bound, or a set of values.
  typedef enum logic [3:0] {
    RULE_WHEN, RULE_AND, RULE_IN, RULE_RANGE, RULE_SET, RULE_ADD, RULE_SUBTRACT, RULE_MULTIPLY, RULE_LOW, RULE_AT_MOST,
    RULE_AT_LEAST, RULE_EQUALS, RULE_WAIT
  } rule_operation_t;
  typedef struct packed {
    rule_operation_t operation;
    logic [6:0] field;  // number of its word; that of the last word stands for zero
    logic [31:0] offset;
    logic [31:0] limit;
    logic [7:0] code;  // status if it fails
  } rule_step_t;

  // A row or column that moves: where it is, its address in a bank, and its residue modulo three (always 0 for POINTWISE).
  // Addresses are modulo 2^20: outside the input they mean nothing and are not used.
  typedef struct packed {
    logic signed [31:0] at;
    logic [19:0] word;
    logic [1:0] residue;
  } coordinate_t;

  // `carry`: what a third more adds to the address.
  function automatic coordinate_t move(coordinate_t from, coordinate_t by, logic [19:0] carry);
    logic [2:0] residue;
    logic wraps;
    residue = {1'b0, from.residue} + {1'b0, by.residue};
    wraps = residue >= 3'd3;
    move.at = from.at + by.at;
    move.word = from.word + by.word + (wraps ? carry : 20'd0);
    move.residue = wraps ? 2'(residue - 3'd3) : residue[1:0];
  endfunction

  // What pad and cvt need of a layer beside its descriptor.
  typedef struct packed {
    coordinate_t stride_y;
    coordinate_t dilation_y;
    coordinate_t step_y;
    coordinate_t stride_x;
    coordinate_t dilation_x;
    coordinate_t step_x;
    coordinate_t first_x;
    logic [19:0] row_carry;
    logic [15:0] steps;
  } shape_t;

  // What follows from a descriptor: sizes and offsets in bytes unless they say words, beats or rows.
  typedef struct packed {
    shape_t shape;
    logic [15:0] bank_columns;
    logic [39:0] in_row;
    logic [39:0] in_plane;
    logic [39:0] group_in;
    logic [39:0] in_first;
    logic [39:0] conv_row;
    logic [39:0] add_plane;
    logic [39:0] group_add;
    logic [39:0] add_first;
    logic [39:0] out_row;
    logic [39:0] out_band;       // all copies of a row
    logic [39:0] out_plane;
    logic [39:0] group_out;
    logic [39:0] out_first;
    logic [31:0] passes;
    logic [31:0] reach;          // input rows from a window's first to its last
    logic [31:0] group_beats;    // weights of an output group
    logic [31:0] weight_run;
    logic [31:0] weight_stride;  // of a group
    logic [39:0] weight_first;
    logic [31:0] lane_run;
    logic [31:0] lane_stride;
    logic [39:0] lane_first;
    logic [31:0] blocks;         // weight blocks of the whole layer
    logic [31:0] scale_beats;
    logic [31:0] strip_first_row;
    logic [31:0] pool_advance;   // map rows from a strip to the next under a windowed pool
  } layer_plan_t;

  // One strip for load: `slices` slices of `rows` rows, `plane` bytes apart. POINTWISE reads nine slices side by side, `band_rows` rows at a
  // time. With `one_run` all of it is one run of `bytes`; else `bytes` are those of a slice.
  typedef struct packed {
    logic [63:0] address;
    logic [39:0] plane;
    logic [39:0] bytes;
    logic [39:0] band_bytes;
    logic [15:0] band_rows;
    logic [15:0] slices;
    logic [15:0] rows;
    logic [15:0] width;
    logic [19:0] slice_words;
    logic [19:0] row_words;
    logic pointwise;
    logic one_run;
  } load_cmd_t;

  // One strip for pad.
  typedef struct packed {
    coordinate_t first_y;
    logic [15:0] in_rows;
    logic [15:0] map_rows;
    logic [19:0] slice_words;
  } pad_cmd_t;

  typedef struct packed {
    logic [15:0] map_first;
    logic [15:0] map_rows;
    logic [15:0] pooled_first;
    logic [15:0] pooled_rows;
    logic first_strip;
  } pool_cmd_t;

  typedef struct packed {
    logic [63:0] address;
    logic [39:0] plane;
    logic [31:0] pixels;
    logic [31:0] outs;
    logic [31:0] slices;
  } addend_cmd_t;

  typedef struct packed {
    logic [63:0] address;
    logic [39:0] plane;
    logic [15:0] rows;
    logic [15:0] width;
    logic [39:0] row;
    logic [15:0] repeat_y;
    logic [15:0] repeat_x;
    logic [31:0] outs;
    logic [31:0] slices;
  } write_cmd_t;

  // One row of frames, from pad to cvt.
  typedef struct packed {
    logic [2:0][19:0] word;        // address of the row in the banks of each row class
    logic [2:0][1:0] row_class;    // class of the bank that serves each tap row
    logic [2:0] in_map;            // tap row lies inside the input
    logic [TAPS-1:0] used;         // tap takes part
    coordinate_t [2:0] columns;    // tap columns of the row's first frame
    logic first_row;               // first row of a pass
    logic last_row;                // last row of a pass
    logic first_pass;              // of its output group
    logic last_pass;
    logic last_of_strip;
    logic buffer;
  } frame_row_t;

  // What travels beside a frame.
  typedef struct packed {
    logic first_frame;             // of its pass
    logic last_frame;
    logic first_pass;
    logic last_pass;
    logic last_of_strip;
  } frame_flags_t;

  function automatic logic is_dense(logic [31:0] op);
    is_dense = op == descriptor_pkg::OP_CONV || op == descriptor_pkg::OP_POINTWISE;
  endfunction

endpackage
// verilator lint_on UNUSEDPARAM
