// SPDX-License-Identifier: Apache-2.0
// read_addend_join: pixels out of the beats of an output group's parts, each part with its own place in the beat; parts that
// do not exist are zero. A pixel a clock, one clock behind the beats.
module read_addend_join #(
    parameter int WORD  = 64,  // bits of a word
    parameter int RATIO = 1,
    parameter int INDEX = 3    // bits of a word's place in a beat, at least 1
) (
    input  logic                  clk_i,
    input  logic                  rst_i,
    input  logic                  cmd_valid_i,
    output logic                  cmd_ready_o,
    input  logic [     INDEX-1:0] cmd_index_i,    // place of the first pixel's word in the first part
    input  logic [     INDEX-1:0] cmd_plane_i,    // from one part to the next
    input  logic [          31:0] cmd_pixels_i,   // at least one
    input  logic [          31:0] cmd_outs_i,
    input  logic [          31:0] cmd_slices_i,
    input  logic [     RATIO-1:0] beat_valid_i,
    output logic [     RATIO-1:0] beat_ready_o,
    input  logic [ RATIO*512-1:0] beat_data_i,
    output logic                  pixel_valid_o,
    input  logic                  pixel_ready_i,
    output logic [RATIO*WORD-1:0] pixel_data_o
);

  logic busy_q;
  logic [INDEX-1:0] index_q, group_q, plane_q;
  logic [31:0] pixels_q, left_q, outs_q, slices_q;
  logic [RATIO-1:0] exists;
  // verilator lint_off UNUSEDSIGNAL
  logic [RATIO*INDEX-1:0] distance, index;  // a word that fills a beat has no place in it
  // verilator lint_on UNUSEDSIGNAL
  logic take, step, last;

  assign cmd_ready_o = !busy_q;
  assign take        = cmd_valid_i && cmd_ready_o;
  assign step        = busy_q && (beat_valid_i | ~exists) == '1 && (!pixel_valid_o || pixel_ready_i);
  assign last        = left_q == 32'd1;

  always_ff @(posedge clk_i) begin
    if (rst_i) busy_q <= 1'b0;
    else if (take) busy_q <= 1'b1;
    else if (step && last && outs_q == 32'd1) busy_q <= 1'b0;
  end

  always_ff @(posedge clk_i) begin
    if (take) begin
      index_q  <= cmd_index_i;
      group_q  <= cmd_index_i + INDEX'(32'(cmd_plane_i) << $clog2(RATIO));
      plane_q  <= cmd_plane_i;
      pixels_q <= cmd_pixels_i;
      left_q   <= cmd_pixels_i;
      outs_q   <= cmd_outs_i;
      slices_q <= cmd_slices_i;
    end else if (step) begin
      index_q <= last ? group_q : index_q + 1'b1;
      left_q  <= last ? pixels_q : left_q - 32'd1;
      if (last) begin
        group_q  <= group_q + INDEX'(32'(plane_q) << $clog2(RATIO));
        outs_q   <= outs_q - 32'd1;
        slices_q <= slices_q - 32'(RATIO);
      end
    end
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) pixel_valid_o <= 1'b0;
    else if (step) pixel_valid_o <= 1'b1;
    else if (pixel_ready_i) pixel_valid_o <= 1'b0;
  end

  for (genvar part = 0; part < RATIO; part++) begin : g_part
    if (part == 0) begin : g_first
      assign distance[INDEX-1:0] = '0;
    end else begin : g_further
      localparam int TOP = $clog2(part + 1) - 1;
      assign distance[INDEX*part+:INDEX] = distance[INDEX*(part-(1<<TOP))+:INDEX] + (plane_q << TOP);
    end

    assign index[INDEX*part+:INDEX] = index_q + distance[INDEX*part+:INDEX];
    assign exists[part]             = slices_q > 32'(part);

    if (WORD == 512) begin : g_whole
      assign beat_ready_o[part] = step && exists[part];

      always_ff @(posedge clk_i) begin
        if (step) pixel_data_o[WORD*part+:WORD] <= exists[part] ? beat_data_i[512*part+:512] : '0;
      end
    end else begin : g_words
      assign beat_ready_o[part] = step && exists[part] && (last || index[INDEX*part+:INDEX] == '1);

      always_ff @(posedge clk_i) begin
        if (step) begin
          pixel_data_o[WORD*part+:WORD] <= exists[part] ? beat_data_i[512*part+WORD*index[INDEX*part+:INDEX]+:WORD] : '0;
        end
      end
    end
  end

endmodule
