#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void f(uint64_t plane, hls::stream<uint32_t>& in, hls::stream<uint64_t>& out) {
  for (int n = 0; n < 64; ++n) {
#pragma HLS pipeline II = 1
    out.write(plane * in.read());  // refused
  }
}
