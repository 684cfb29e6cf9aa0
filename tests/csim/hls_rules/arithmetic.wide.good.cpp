#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void f(uint64_t plane, uint16_t rows, hls::stream<uint16_t>& in, hls::stream<uint64_t>& out) {
  const uint64_t size = plane * rows;
  uint64_t position = 0;
  for (int n = 0; n < 64; ++n) {
#pragma HLS pipeline II = 1
    const uint32_t offset = static_cast<uint32_t>(in.read()) * rows;
    for (int part = 0; part < 4; ++part) {
#pragma HLS unroll
      out.write(position + part * plane + offset);
    }
    position += size;
  }
}
