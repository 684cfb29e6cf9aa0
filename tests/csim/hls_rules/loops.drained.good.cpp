#include <cstdint>
#include <hls_burst_maxi.h>
#include <hls_stream.h>

void flat(int height, int width, hls::stream<int>& in, hls::stream<int>& out) {
  int x = 0;
  for (int y = 0; y < height;) {
#pragma HLS loop_tripcount min = 1 max = 4096
#pragma HLS pipeline II = 1
    out.write(in.read());
    x = x + 1 == width ? 0 : x + 1;
    if (x == 0) ++y;
  }
}

void perfect(int height, hls::stream<int>& in, hls::stream<int>& out) {
  for (int y = 0; y < height; ++y) {
#pragma HLS loop_tripcount min = 1 max = 64
    for (int x = 0; x < 8; ++x) {
#pragma HLS pipeline II = 1
      out.write(in.read());
    }
  }
}
