// SPDX-License-Identifier: Apache-2.0
// serial_bridge: requests from a serial line become accesses to words of 32 bits. README.md has the protocol.
// A request is  opcode, words - 1, address (3 bytes), checksum (2 bytes)  and of a write  data, checksum (2 bytes).  It is
// answered with  OK, data of a read, checksum of the answer (2 bytes),  or with BAD alone if a checksum is wrong.
module serial_bridge #(
    parameter int unsigned SILENCE = 1 << 20  // clocks without a byte after which a request is given up
) (
    input  logic        clk_i,
    input  logic        rst_i,
    input  logic        received_i,
    input  logic [ 7:0] byte_i,
    output logic        send_o,
    input  logic        sent_i,
    output logic [ 7:0] byte_o,
    // One access at a time: held until it is done, which is in a later clock.
    output logic        access_o,
    output logic        write_o,
    output logic [23:0] address_o,  // of bytes; a multiple of 4
    output logic [31:0] data_o,
    input  logic        done_i,
    input  logic [31:0] data_i,
    output logic        toggle_o,  // the last register write's
    output logic        active_o
);
  localparam logic [7:0] WRITE = "W", READ = "R", OK = "K", BAD = "E";
  localparam logic [7:0] TOGGLE = 8'h20;  // the bit by which small letters differ from capitals
  localparam int unsigned QUIET_BITS = $clog2(SILENCE + 1);

  typedef enum logic [3:0] {
    OPCODE,
    HEADER,
    DATA,
    STORE,
    CHECK,
    JUDGE,
    REGISTER,
    ANSWER,
    FETCH,
    SEND,
    SEND_CHECK,
    NEXT,
    IGNORE
  } state_t;

  state_t state_q;
  logic is_write_q, toggle_q;
  logic has_data_q;  // a write's data has arrived
  logic [1:0] index_q;  // of a byte in its field
  logic [7:0] left_q;  // words behind this one
  logic [15:0] check_q, sent_check_q;
  logic begins_q;  // the next byte is the first of what a checksum covers
  logic [QUIET_BITS-1:0] quiet_q;
  logic is_register, waits;

  // CRC-16/CCITT: x^16 + x^12 + x^5 + 1, high bit first, from all ones.
  function automatic logic [15:0] checked(input logic [15:0] check, input logic [7:0] data);
    checked = check ^ {data, 8'd0};
    for (int n = 0; n < 8; n++) checked = {checked[14:0], 1'b0} ^ (checked[15] ? 16'h1021 : 16'h0000);
  endfunction

  assign is_register = address_o[23];
  assign waits = state_q inside {HEADER, DATA, CHECK, IGNORE};
  assign access_o = state_q inside {STORE, REGISTER, FETCH};
  assign write_o = is_write_q;
  assign send_o = state_q inside {ANSWER, SEND, SEND_CHECK};
  assign active_o = state_q != OPCODE;

  always_comb begin
    case (state_q)
      SEND: byte_o = data_o[7:0];
      SEND_CHECK: byte_o = index_q == '0 ? sent_check_q[15:8] : sent_check_q[7:0];
      default: byte_o = check_q == '0 ? OK : BAD;  // the checksum of a message with its checksum is zero
    endcase
  end

  always_ff @(posedge clk_i) begin
    quiet_q <= received_i || !waits ? '0 : quiet_q + 1'b1;
    if (received_i) check_q <= checked(begins_q ? '1 : check_q, byte_i);
    if (received_i) begins_q <= 1'b0;
    case (state_q)
      OPCODE:
      if (received_i && (byte_i | TOGGLE) inside {WRITE | TOGGLE, READ | TOGGLE}) begin
        is_write_q <= (byte_i | TOGGLE) == (WRITE | TOGGLE);
        toggle_q <= (byte_i & TOGGLE) != '0;
        has_data_q <= 1'b0;
        index_q <= '0;
        state_q <= HEADER;
      end
      HEADER:
      if (received_i) begin
        index_q <= index_q + 2'd1;
        if (index_q == '0) left_q <= byte_i;
        else address_o <= {byte_i, address_o[23:8]};
        if (index_q == 2'd3) state_q <= CHECK;
      end
      DATA:
      if (received_i) begin
        has_data_q <= 1'b1;
        data_o  <= {byte_i, data_o[31:8]};
        index_q <= index_q + 2'd1;
        if (index_q == 2'd3) state_q <= is_register ? CHECK : STORE;  // a register waits for the checksum
      end
      STORE:
      if (done_i) begin
        address_o <= address_o + 24'd4;
        left_q <= left_q - 8'd1;
        state_q <= left_q == '0 ? CHECK : DATA;
      end
      CHECK:
      if (received_i) begin
        index_q <= index_q + 2'd1;
        if (index_q == 2'd1) state_q <= JUDGE;
      end
      JUDGE: begin
        index_q <= '0;
        begins_q <= 1'b1;
        // Nothing is written at an address that was not checked. A write that is repeated because its answer was lost
        // must not start the kernel twice.
        if (is_write_q && !has_data_q && check_q == '0) state_q <= DATA;
        else if (is_write_q && is_register && check_q == '0 && toggle_q != toggle_o) state_q <= REGISTER;
        else state_q <= ANSWER;
      end
      REGISTER:
      if (done_i) begin
        toggle_o <= toggle_q;
        state_q  <= ANSWER;
      end
      ANSWER:
      if (sent_i) begin
        sent_check_q <= checked('1, byte_o);
        state_q <= check_q != '0 ? IGNORE : is_write_q ? SEND_CHECK : FETCH;
      end
      FETCH:
      if (done_i) begin
        data_o  <= data_i;
        state_q <= SEND;
      end
      SEND:
      if (sent_i) begin
        sent_check_q <= checked(sent_check_q, byte_o);
        data_o <= {8'd0, data_o[31:8]};
        index_q <= index_q + 2'd1;
        if (index_q == 2'd3) state_q <= NEXT;
      end
      NEXT: begin
        address_o <= address_o + 24'd4;
        left_q <= left_q - 8'd1;
        state_q <= left_q == '0 ? SEND_CHECK : FETCH;
      end
      SEND_CHECK:
      if (sent_i) begin
        index_q <= index_q + 2'd1;
        if (index_q == 2'd1) state_q <= OPCODE;
      end
      IGNORE: ;
      default: state_q <= OPCODE;
    endcase
    // IGNORE has no other end: what follows a bad request may be the rest of it.
    if (waits && quiet_q == QUIET_BITS'(SILENCE)) state_q <= OPCODE;
    if (state_q == OPCODE && !received_i) begins_q <= 1'b1;
    if (rst_i) begin
      state_q  <= OPCODE;
      toggle_o <= 1'b0;
      quiet_q  <= '0;
    end
  end

endmodule
