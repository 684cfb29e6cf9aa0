#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void consume(hls::stream<int>& in) { in.read(); }

void inner(hls::stream<int>& data) {
#pragma HLS dataflow
  consume(data);
}

void outer(hls::stream<int>& data) {
#pragma HLS dataflow
  inner(data);  // refused
}
