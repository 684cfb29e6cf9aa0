#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void consume(hls::stream<int>& in) { in.read(); }

void region(hls::stream<int>& data) {
#pragma HLS dataflow
  consume(data);
}

void layer(hls::stream<int>& data) { region(data); }
